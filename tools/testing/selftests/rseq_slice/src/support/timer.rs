// SPDX-License-Identifier: GPL-2.0

//! Timers, and those that send a signal to the calling thread.

use std::mem;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::gettid;

/// When a timer expires, in nanoseconds.
#[derive(Clone, Copy)]
pub(crate) enum Due {
    /// From now.
    In(u64),
    /// Of `CLOCK_MONOTONIC`. Timers that are due at one moment expire in one interrupt.
    At(u64),
}

impl Due {
    /// The moment of [`clock`].
    pub(super) fn moment(self) -> Result<u64> {
        match self {
            Self::In(nanos) => Ok(clock()? + nanos),
            Self::At(nanos) => Ok(nanos),
        }
    }

    /// The flags and the setting for the two families of system calls, which agree.
    pub(super) fn settings(self) -> Result<(i32, libc::itimerspec)> {
        const _: () = assert!(libc::TIMER_ABSTIME == libc::TFD_TIMER_ABSTIME);
        let (flags, nanos) = match self {
            Self::In(nanos) => (0, nanos),
            Self::At(nanos) => (libc::TIMER_ABSTIME, nanos),
        };
        let spec = |nanos: u64| -> Result<_> {
            Ok(libc::timespec {
                tv_sec: i64::try_from(nanos / 1_000_000_000)?,
                tv_nsec: i64::try_from(nanos % 1_000_000_000)?,
            })
        };
        let setting = libc::itimerspec {
            it_interval: spec(0)?,
            it_value: spec(nanos)?,
        };
        Ok((flags, setting))
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`. May be a system call.
pub(crate) fn clock() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec())?)
}

/// Sleeps until that moment of [`clock`].
pub(super) fn sleep_until(moment: u64) -> Result<()> {
    let (flags, when) = Due::At(moment).settings()?;
    let clock = libc::CLOCK_MONOTONIC;
    // SAFETY: The structure lives through the call, and no rest is asked for.
    let errno = unsafe {
        libc::clock_nanosleep(clock, flags, &raw const when.it_value, std::ptr::null_mut())
    };
    match errno {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno).into()),
    }
}

/// A POSIX timer of the calling thread.
pub(crate) struct SignalTimer(libc::timer_t);

impl SignalTimer {
    pub(crate) fn new(signal: Signal) -> Result<Self> {
        // SAFETY: The structure is plain data, for which all zeros is valid.
        let mut event: libc::sigevent = unsafe { mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal as i32;
        event.sigev_notify_thread_id = gettid().as_raw();
        let mut timer = std::ptr::null_mut();
        // SAFETY: Both structures live through the call.
        let ret =
            unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
        Errno::result(ret)?;
        Ok(Self(timer))
    }

    /// Sends the signal when that is due.
    pub(crate) fn fire(&self, due: Due) -> Result<()> {
        let (flags, when) = due.settings()?;
        // SAFETY: The structure lives through the call, and no old value is asked for.
        let ret =
            unsafe { libc::timer_settime(self.0, flags, &raw const when, std::ptr::null_mut()) };
        Errno::result(ret)?;
        Ok(())
    }
}

impl Drop for SignalTimer {
    fn drop(&mut self) {
        // SAFETY: The timer was created by us and is not used any more.
        unsafe { libc::timer_delete(self.0) };
    }
}
