// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a process allows this crate.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

/// The system call that ends a grant. The kernel ends a grant at the entry of any system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exit {
    /// `rseq_slice_yield(2)`, or `getpid(2)` under a seccomp filter, which might kill for a call that
    /// it does not know.
    ///
    /// At its first grant the thread looks for a filter in `/proc/thread-self/status`. If a filter kills
    /// for `openat(2)`, or is installed after that grant and kills for `rseq_slice_yield(2)`, use
    /// [`Getpid`](Self::Getpid).
    #[default]
    Auto,
    /// Always `rseq_slice_yield(2)`.
    Yield,
    /// Always `getpid(2)`. The kernel counts such a grant as aborted; the effect is the same.
    Getpid,
}

/// What a process allows this crate to do for its threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Use the extension if it works.
    pub enabled: bool,
    /// If the C library's area is a legacy one, unregister it and register one of this crate's.
    ///
    /// Other users of the C library's area lose it: librseq, and the fast path of
    /// `sched_getcpu(3)`, which makes a system call then. Threads that are created by such a thread
    /// have no area of the C library. Nothing is taken over in a process that contains TCMalloc, or in
    /// a thread whose area is in use for restartable sequences.
    pub take_over: bool,
    /// How grants are ended.
    pub exit: Exit,
}

impl Policy {
    /// What is in force without [`set_policy`].
    pub const DEFAULT: Self = Self {
        enabled: true,
        take_over: false,
        exit: Exit::Auto,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A thread has been set up already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate;

impl fmt::Display for TooLate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a thread has used the extension already: set the policy before that")
    }
}

impl core::error::Error for TooLate {}

const OFF: u8 = 1 << 0;
const TAKE_OVER: u8 = 1 << 1;
const YIELD: u8 = 1 << 2;
const GETPID: u8 = 1 << 3;
/// A thread uses it.
const USED: u8 = 1 << 7;

static POLICY: AtomicU8 = AtomicU8::new(0);

/// Sets the policy of the process, before any of its threads begins its first section.
///
/// # Errors
///
/// [`TooLate`] if a thread has begun one, or has asked for its [`support`](crate::support).
pub fn set_policy(policy: Policy) -> Result<(), TooLate> {
    let mut bits = 0;
    if !policy.enabled {
        bits |= OFF;
    }
    if policy.take_over {
        bits |= TAKE_OVER;
    }
    bits |= match policy.exit {
        Exit::Auto => 0,
        Exit::Yield => YIELD,
        Exit::Getpid => GETPID,
    };
    let set = |old| (old & USED == 0).then_some(bits);
    POLICY
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, set)
        .map(drop)
        .map_err(|_| TooLate)
}

/// The policy, for a thread that uses it: it cannot be changed from then on.
pub(crate) fn fixed() -> Policy {
    let bits = POLICY.fetch_or(USED, Ordering::Relaxed);
    Policy {
        enabled: bits & OFF == 0,
        take_over: bits & TAKE_OVER != 0,
        exit: match bits & (YIELD | GETPID) {
            0 => Exit::Auto,
            YIELD => Exit::Yield,
            _ => Exit::Getpid,
        },
    }
}
