// SPDX-License-Identifier: GPL-2.0

//! Time, with and without system calls.

use std::hint;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

use crate::shared::shared;

fn ticks() -> u64 {
    // SAFETY: Every x86_64 processor has the instruction, and user mode may use it by default.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A moment of the time stamp counter.
pub(crate) struct Deadline(u64);

impl Deadline {
    /// So many nanoseconds from now.
    pub(crate) fn after(nanos: u64) -> Self {
        let scale = u128::from(shared().scale.load(Relaxed).max(1));
        Self(ticks() + ((u128::from(nanos) << 32) / scale) as u64)
    }

    pub(crate) fn is_over(&self) -> bool {
        ticks() >= self.0
    }

    /// What the counter shows then.
    pub(crate) fn ticks(&self) -> u64 {
        self.0
    }
}

/// Measures the speed of the time stamp counter, for all processes.
pub(crate) fn calibrate() -> Result<()> {
    let (start, clock) = (ticks(), Instant::now());
    while clock.elapsed() < Duration::from_millis(5) {
        hint::spin_loop();
    }
    let nanos = clock.elapsed().as_nanos();
    let scale = (nanos << 32) / u128::from(ticks() - start);
    shared().scale.store(u64::try_from(scale)?, Relaxed);
    Ok(())
}

/// Waits in user mode, without a system call, while `going` says so and for at most `nanos`. Returns
/// whether the time is up.
pub(crate) fn wait_while(nanos: u64, mut going: impl FnMut() -> bool) -> bool {
    let deadline = Deadline::after(nanos);
    while going() {
        if deadline.is_over() {
            return true;
        }
        // QEMU before 8.1 lets no other of its CPUs run without this.
        hint::spin_loop();
    }
    false
}

/// Nanoseconds of `CLOCK_MONOTONIC`.
pub(crate) fn now() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)?;
    Ok(u64::try_from(now.tv_sec() * 1_000_000_000 + now.tv_nsec())?)
}

pub(crate) fn timespec(nanos: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as i64,
        tv_nsec: (nanos % 1_000_000_000) as i64,
    }
}

/// Sleeps until that moment of [`now`].
pub(crate) fn sleep_until(moment: u64) -> Result<()> {
    let when = timespec(moment);
    let (clock, flags) = (libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME);
    loop {
        // SAFETY: The structure lives through the call, and no rest is asked for.
        match unsafe { libc::clock_nanosleep(clock, flags, &raw const when, std::ptr::null_mut()) }
        {
            0 => return Ok(()),
            libc::EINTR => {}
            errno => return Err(Errno::from_raw(errno).into()),
        }
    }
}

/// The next moment, at least `lead` nanoseconds from now, that is a fifth of a millisecond after the
/// last multiple of one.
///
/// Ticks come at multiples of their period, which are multiples of a millisecond with all
/// usual settings. What a tick brings along may make the kernel refuse a request, and rightly so.
pub(crate) fn quiet_moment(lead: u64) -> Result<u64> {
    const PERIOD: u64 = 1_000_000;
    const QUIET: u64 = 200_000;
    Ok((now()? + lead - QUIET).next_multiple_of(PERIOD) + QUIET)
}
