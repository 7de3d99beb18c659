// SPDX-License-Identifier: MIT OR Apache-2.0

//! Moments of `CLOCK_MONOTONIC`, in nanoseconds, and what happens then.

use std::fs::File;
use std::io::{self, Read};
use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr;

use libc::c_int;

/// `Ok` unless it is -1.
fn done(ret: c_int) -> io::Result<c_int> {
    match ret {
        -1 => Err(io::Error::last_os_error()),
        ret => Ok(ret),
    }
}

/// The current moment. May be a system call.
///
/// # Errors
///
/// None that the kernel would return for this clock.
pub fn monotonic() -> io::Result<u64> {
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: The structure lives through the call.
    done(unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) })?;
    // SAFETY: The call succeeded and has written it.
    let now = unsafe { now.assume_init() };
    Ok(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
}

/// Those nanoseconds as the kernel takes them.
pub const fn timespec(nanos: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (nanos / 1_000_000_000) as libc::time_t,
        tv_nsec: (nanos % 1_000_000_000) as libc::c_long,
    }
}

/// Sleeps until that moment, whatever signals are handled before.
///
/// # Errors
///
/// `EINVAL` for a moment centuries away.
pub fn sleep_until(moment: u64) -> io::Result<()> {
    let when = timespec(moment);
    let (clock, flags) = (libc::CLOCK_MONOTONIC, libc::TIMER_ABSTIME);
    loop {
        // SAFETY: The structure lives through the call, and no rest is asked for.
        match unsafe { libc::clock_nanosleep(clock, flags, &raw const when, ptr::null_mut()) } {
            0 => return Ok(()),
            libc::EINTR => {}
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Nanoseconds of which the period of the tick is a multiple, with all usual settings.
const TICK: u64 = 1_000_000;
/// Nanoseconds after a multiple of [`TICK`] at which the tick is over.
const QUIET: u64 = 200_000;

/// The first moment from `moment` on that is [`QUIET`] after a multiple of [`TICK`], or less than
/// `slack` later.
const fn quiet_from(moment: u64, slack: u64) -> u64 {
    let phase = moment % TICK;
    if QUIET <= phase && phase < QUIET + slack {
        return moment;
    }
    (moment - QUIET).next_multiple_of(TICK) + QUIET
}

/// Finds a moment with no tick near it that is at least `lead` nanoseconds away, waits until it is no
/// more than that, and returns it. Of the time between two ticks it takes the first moment that is far
/// enough from both, or one less than `slack` nanoseconds later.
///
/// The work that a tick brings along may make the kernel refuse a request, which is correct.
///
/// # Errors
///
/// As [`sleep_until`].
pub fn await_quiet(lead: u64, slack: u64) -> io::Result<u64> {
    let from = monotonic()? + lead;
    let quiet = quiet_from(from, slack);
    if quiet != from {
        sleep_until(quiet - lead)?;
    }
    Ok(quiet)
}

/// When a timer expires, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// From now.
    In(u64),
    /// At that moment. Timers that are due at one moment expire in one interrupt.
    At(u64),
    /// Not at all.
    Never,
}

impl Due {
    /// The moment; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`monotonic`].
    pub fn moment(self) -> io::Result<Option<u64>> {
        Ok(match self {
            Self::In(nanos) => Some(monotonic()? + nanos),
            Self::At(moment) => Some(moment),
            Self::Never => None,
        })
    }

    /// The flags and the setting for the two families of system calls, which agree.
    fn settings(self) -> (c_int, libc::itimerspec) {
        const _: () = assert!(libc::TIMER_ABSTIME == libc::TFD_TIMER_ABSTIME);
        let (flags, nanos) = match self {
            Self::In(nanos) => (0, nanos),
            Self::At(moment) => (libc::TIMER_ABSTIME, moment),
            Self::Never => (libc::TIMER_ABSTIME, 0),
        };
        let setting = libc::itimerspec {
            it_interval: timespec(0),
            it_value: timespec(nanos),
        };
        (flags, setting)
    }
}

/// A timer for [`set_alarm`] and [`each_event`].
///
/// # Errors
///
/// Those of `timerfd_create(2)`.
pub fn alarm() -> io::Result<File> {
    // SAFETY: The call takes no pointer.
    let fd = done(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) })?;
    // SAFETY: The kernel has just opened it for us.
    Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Has that timer expire when that is due, in an interrupt of the CPU that this is called on. Replaces
/// an earlier call whose time has not come.
///
/// # Errors
///
/// Those of `timerfd_settime(2)`.
pub fn set_alarm(timer: impl AsFd, due: Due) -> io::Result<()> {
    let (flags, when) = due.settings();
    let fd = timer.as_fd().as_raw_fd();
    // SAFETY: The structure lives through the call, and no old value is asked for.
    done(unsafe { libc::timerfd_settime(fd, flags, &raw const when, ptr::null_mut()) })?;
    Ok(())
}

/// Calls `act` whenever 8 bytes of `events` can be read, as of a timer that has expired. Sleeps in
/// between, and returns when reading fails.
pub fn each_event(mut events: &File, mut act: impl FnMut()) -> io::Error {
    let mut count = [0; 8];
    loop {
        match events.read_exact(&mut count) {
            Ok(()) => act(),
            Err(error) => return error,
        }
    }
}

/// A timer that sends a signal to the thread that created it.
#[derive(Debug)]
pub struct SignalTimer(libc::timer_t);

impl SignalTimer {
    /// A timer of the calling thread, which sends it the signal of that number.
    ///
    /// # Errors
    ///
    /// Those of `timer_create(2)`.
    pub fn new(signal: c_int) -> io::Result<Self> {
        // SAFETY: The structure is plain data, for which all zeros is valid.
        let mut event: libc::sigevent = unsafe { mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        // SAFETY: The call has no arguments.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut timer = ptr::null_mut();
        // SAFETY: Both structures live through the call.
        let ret =
            unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
        done(ret)?;
        Ok(Self(timer))
    }

    /// Sends the signal when that is due. Replaces an earlier call whose time has not come.
    ///
    /// # Errors
    ///
    /// Those of `timer_settime(2)`.
    pub fn fire(&self, due: Due) -> io::Result<()> {
        let (flags, when) = due.settings();
        // SAFETY: The structure lives through the call, and no old value is asked for.
        done(unsafe { libc::timer_settime(self.0, flags, &raw const when, ptr::null_mut()) })?;
        Ok(())
    }
}

impl Drop for SignalTimer {
    fn drop(&mut self) {
        // SAFETY: The timer was created by us and is not used any more.
        unsafe { libc::timer_delete(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn quiet_moments_are_away_from_ticks() {
        for (moment, slack, quiet) in [
            (5_000_000, 0, 5_200_000),
            (5_200_000, 0, 5_200_000),
            (5_200_001, 0, 6_200_000),
            (5_200_001, 400_000, 5_200_001),
            (5_599_999, 400_000, 5_599_999),
            (5_600_000, 400_000, 6_200_000),
            (5_199_999, 400_000, 5_200_000),
        ] {
            assert_eq!(quiet_from(moment, slack), quiet, "{moment} {slack}");
        }
    }

    #[test]
    fn a_quiet_moment_is_waited_for() {
        let lead = 300_000;
        let before = monotonic().unwrap();
        let quiet = await_quiet(lead, 0).unwrap();
        let after = monotonic().unwrap();
        assert_eq!(quiet % TICK, QUIET);
        assert!(quiet >= before + lead);
        assert!(
            after + lead >= quiet,
            "too early by {}",
            quiet - after - lead
        );
    }

    #[test]
    fn an_alarm_expires_when_it_is_due() {
        let timer = alarm().unwrap();
        let due = monotonic().unwrap() + 1_000_000;
        set_alarm(&timer, Due::In(1)).unwrap();
        set_alarm(&timer, Due::Never).unwrap();
        set_alarm(&timer, Due::At(due)).unwrap();
        (&timer).read_exact(&mut [0; 8]).unwrap();
        assert!(monotonic().unwrap() >= due);
    }

    #[test]
    fn each_event_is_acted_on_until_there_are_no_more() {
        let (mut writer, reader) = UnixStream::pair().unwrap();
        writer.write_all(&[0; 3 * 8 + 1]).unwrap();
        drop(writer);
        let mut events = 0;
        let error = each_event(&File::from(OwnedFd::from(reader)), || events += 1);
        assert_eq!(events, 3);
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn moments_of_what_is_due() {
        assert_eq!(Due::At(7).moment().unwrap(), Some(7));
        assert_eq!(Due::Never.moment().unwrap(), None);
        let before = monotonic().unwrap();
        let moment = Due::In(1_000).moment().unwrap().unwrap();
        assert!(moment >= before + 1_000);
    }
}
