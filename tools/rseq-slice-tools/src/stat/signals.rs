// SPDX-License-Identifier: MIT OR Apache-2.0

//! Signals that are waited for instead of handled.

use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, raise};

use crate::failure::Failure;

/// Those that end a program.
const ENDS: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGHUP,
];

/// Those signals and that of a child, blocked while this value lives. Children start with none
/// blocked. What is ignored, as by nohup(1), stays ignored.
pub(super) struct Signals(SigSet);

impl Signals {
    pub(super) fn block() -> Result<Self, Failure> {
        let ends = ENDS.into_iter().filter(|&signal| !is_ignored(signal));
        let set: SigSet = ends.chain([Signal::SIGCHLD]).collect();
        set.thread_block()
            .map_err(|error| Failure::system("sigprocmask", error))?;
        Ok(Self(set))
    }

    /// Waits for one of them, no longer than that.
    pub(super) fn within(&self, time: Duration) -> Result<Option<Signal>, Failure> {
        let time = libc::timespec {
            tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        // SAFETY: Set and time live through the call, which writes to neither.
        let signal =
            unsafe { libc::sigtimedwait(self.0.as_ref(), ptr::null_mut(), &raw const time) };
        match Errno::result(signal) {
            Ok(signal) => Ok(Signal::try_from(signal).ok()),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
            Err(error) => Err(Failure::system("sigtimedwait", error)),
        }
    }

    /// Ends the program by that signal, so that its parent sees why it ended.
    pub(super) fn die_of(self, signal: Signal) -> Failure {
        drop(self);
        match raise(signal) {
            Ok(()) => Failure::plain(128 + signal as u8, ""),
            Err(error) => Failure::system("raise", error),
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // The same call with the same set has succeeded before.
        let _ = self.0.thread_unblock();
    }
}

fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: The structure lives through the call, and no new action is given.
    let told = unsafe { libc::sigaction(signal as i32, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: Where the call has succeeded it has written the structure.
    told == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{SigHandler, signal};

    /// Whoever runs the tests may have ignored some.
    fn handle_by_default(number: Signal) {
        // SAFETY: The default runs no handler.
        unsafe { signal(number, SigHandler::SigDfl) }.unwrap();
    }

    #[test]
    fn a_signal_is_waited_for() {
        handle_by_default(Signal::SIGHUP);
        let signals = Signals::block().unwrap();
        assert_eq!(signals.within(Duration::from_millis(1)).unwrap(), None);
        raise(Signal::SIGHUP).unwrap();
        let signal = signals.within(Duration::from_secs(10)).unwrap();
        assert_eq!(signal, Some(Signal::SIGHUP));
    }

    #[test]
    fn what_is_ignored_stays_ignored() {
        handle_by_default(Signal::SIGQUIT);
        assert!(!is_ignored(Signal::SIGQUIT));
        // SAFETY: Ignoring a signal runs no handler.
        unsafe { signal(Signal::SIGQUIT, SigHandler::SigIgn) }.unwrap();
        assert!(is_ignored(Signal::SIGQUIT));
        let signals = Signals::block().unwrap();
        raise(Signal::SIGQUIT).unwrap();
        assert_eq!(signals.within(Duration::from_millis(1)).unwrap(), None);
    }
}
