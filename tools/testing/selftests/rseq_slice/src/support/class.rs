// SPDX-License-Identifier: GPL-2.0

//! Scheduling classes.

use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::Pid;
use rseq_slice_harness::scheduler::{Policy, set_policy_of};

use crate::env::Env;

/// The scheduling classes of the tests. Real-time threads keep the kernel's own threads, which are of
/// the normal class, from taking part; where only lazy reschedules are postponed, setups and
/// competitors are of the normal class, and those threads may disturb.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    /// `SCHED_IDLE`, which every thread of the normal class precedes.
    Idle,
    /// `SCHED_OTHER`.
    Fair,
    /// The thread that asks for extensions.
    Requester,
    /// The threads that want its CPU.
    Competitor,
    /// `SCHED_FIFO`, in front of all others.
    Realtime,
}

/// Puts the calling thread into a class. In the normal one it sleeps no longer than it is told to,
/// where 50 us more are the default.
pub(crate) fn set_class(env: Env, class: Class) -> Result<()> {
    set_class_of(env, Pid::from_raw(0), class)?;
    // SAFETY: The call takes no pointer.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) })?;
    Ok(())
}

/// Puts a thread into a class.
pub(crate) fn set_class_of(env: Env, thread: Pid, class: Class) -> Result<()> {
    let class = match class {
        Class::Requester if env.only_lazy() => Class::Idle,
        Class::Competitor if env.only_lazy() => Class::Fair,
        class => class,
    };
    let policy = match class {
        Class::Idle => Policy::Idle,
        Class::Fair => Policy::Other,
        Class::Requester => Policy::Fifo(10),
        Class::Competitor => Policy::Fifo(20),
        Class::Realtime => Policy::Fifo(30),
    };
    Ok(set_policy_of(thread.as_raw(), policy)?)
}
