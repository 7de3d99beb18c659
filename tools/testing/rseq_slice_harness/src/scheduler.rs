// SPDX-License-Identifier: MIT OR Apache-2.0

//! How the scheduler treats a thread, and what it treats all of them by.

use std::io;

use libc::pid_t;

use rseq_slice_debugfs::{DebugfsError, File};

/// A scheduling policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `SCHED_IDLE`, which every thread of the normal policy precedes.
    Idle,
    /// `SCHED_OTHER`, the normal one.
    Other,
    /// `SCHED_FIFO` with a priority, 1 to 99. Precedes the others and lower priorities.
    Fifo(i32),
}

/// Gives the calling thread a policy.
///
/// # Errors
///
/// As [`set_policy_of`].
pub fn set_policy(policy: Policy) -> io::Result<()> {
    set_policy_of(0, policy)
}

/// Gives a thread a policy.
///
/// # Errors
///
/// `EPERM` without the right to; `EINVAL` for a priority that is none; `ESRCH` if there is no such
/// thread.
pub fn set_policy_of(thread: pid_t, policy: Policy) -> io::Result<()> {
    let (policy, sched_priority) = match policy {
        Policy::Idle => (libc::SCHED_IDLE, 0),
        Policy::Other => (libc::SCHED_OTHER, 0),
        Policy::Fifo(priority) => (libc::SCHED_FIFO, priority),
    };
    let param = libc::sched_param { sched_priority };
    // SAFETY: The structure lives through the call.
    match unsafe { libc::sched_setscheduler(thread, policy, &raw const param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

const FEATURES: File = File {
    path: "/sys/kernel/debug/sched/features",
    config: "CONFIG_DEBUG_FS",
};

/// Whether a feature of the scheduler, such as `HRTICK`, is on.
///
/// # Errors
///
/// [`DebugfsError`].
pub fn has_feature(name: &str) -> Result<bool, DebugfsError> {
    Ok(is_on(&FEATURES.read()?, name))
}

fn is_on(features: &str, name: &str) -> bool {
    features.split_whitespace().any(|word| word == name)
}

/// Turns a feature of the scheduler on or off, for the whole system.
///
/// # Errors
///
/// [`DebugfsError`]: with `EINVAL` if the kernel does not know the feature.
pub fn set_feature(name: &str, on: bool) -> Result<(), DebugfsError> {
    FEATURES.write(&format!("{}{name}", if on { "" } else { "NO_" }))
}

/// A feature of the scheduler that is off while this value lives.
#[derive(Debug)]
pub struct FeatureOff {
    name: &'static str,
    was_on: bool,
}

impl FeatureOff {
    /// Turns the feature off for the whole system, if it was on.
    ///
    /// # Errors
    ///
    /// [`DebugfsError`].
    pub fn new(name: &'static str) -> Result<Self, DebugfsError> {
        let was_on = has_feature(name)?;
        if was_on {
            set_feature(name, false)?;
        }
        Ok(Self { name, was_on })
    }
}

impl Drop for FeatureOff {
    fn drop(&mut self) {
        if self.was_on {
            // It could be written once, so it can be written again.
            let _ = set_feature(self.name, true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_feature_is_a_whole_word() {
        assert!(is_on("NO_PARANOID_AVG HRTICK HRTICK_DL\n", "HRTICK"));
        assert!(!is_on("NO_HRTICK HRTICK_DL\n", "HRTICK"));
    }

    #[test]
    fn a_thread_has_the_policy_that_it_was_given() {
        let policy = thread::spawn(|| {
            set_policy(Policy::Idle).unwrap();
            // SAFETY: The call takes no pointer.
            unsafe { libc::sched_getscheduler(0) }
        });
        assert_eq!(policy.join().unwrap(), libc::SCHED_IDLE);
        let error = set_policy(Policy::Fifo(100)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
    }
}
