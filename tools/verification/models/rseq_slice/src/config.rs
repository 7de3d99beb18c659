// SPDX-License-Identifier: GPL-2.0

//! What a run explores.

use crate::{
    abi::Layout,
    thread::{Call, Tid, Work},
};

/// One instruction of a thread in user mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum UserOp {
    /// Requests an extension, in its layout.
    Request,
    /// Clears the request.
    Clear,
    /// Inverts the bit of the grant in the control word.
    ForgeGrant,
    /// Sets a bit of the control word that has no meaning.
    SetUndefinedBit,
    /// Begins a restartable sequence.
    Begin,
    /// Commits it.
    Commit,
    /// Accesses a page that is not present.
    Touch,
    /// Makes a system call.
    Call(Call),
}

/// What a run explores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Config {
    pub(crate) name: &'static str,
    /// The first mode of the threads.
    pub(crate) layout: Layout,
    /// `rseq_debug`.
    pub(crate) debug: bool,
    /// `CONFIG_PREEMPT_RT`.
    pub(crate) rt: bool,
    /// The policy is to postpone lazy reschedules only: `rseq_slice_ext=lazy`.
    pub(crate) lazy_only: bool,
    /// One or two threads. With one, a child is checked and then dropped.
    pub(crate) threads: usize,
    /// What the first thread does.
    pub(crate) ops: &'static [UserOp],
    /// What the second one does.
    pub(crate) second_ops: &'static [UserOp],
    /// Accesses to user memory may fault.
    pub(crate) faults: bool,
    /// Signals arrive.
    pub(crate) signals: bool,
    /// seccomp or a tracer may skip system calls.
    pub(crate) skips: bool,
    /// membarrier(2) of another thread interrupts.
    pub(crate) membarrier: bool,
    /// Another CPU sets flags before its interrupt comes, or without one.
    pub(crate) remote: bool,
    /// The same for other work. It denies a grant and leads through the exit loop.
    pub(crate) task_work: bool,
    /// Lazy reschedules, which differ from others in the kernel and on `PREEMPT_RT`.
    pub(crate) lazy: bool,
    /// The second CPU goes offline and online.
    pub(crate) hotplug: bool,
    /// The length of an extension changes between one and two ticks.
    pub(crate) lengths: bool,
    /// The CPUs must not grant: their timers are late by a tick.
    pub(crate) unfit: bool,
}

impl Config {
    /// What a thread does.
    pub(crate) fn ops_of(&self, tid: Tid) -> &'static [UserOp] {
        [self.ops, self.second_ops][tid.index()]
    }

    /// Whether the CPUs are alike.
    pub(crate) fn is_symmetric(&self) -> bool {
        self.threads == 1 && !self.hotplug
    }

    /// The reschedules that may be postponed.
    pub(crate) fn postponable(&self) -> Work {
        if self.rt || self.lazy_only {
            Work::LAZY
        } else {
            Work::ANY_RESCHED
        }
    }

    /// `TIF_SLICE_EXT_DENY` of `kernel/entry/common.c`, and `denied_by()` of grant.rs.
    pub(crate) fn deny(&self) -> Work {
        Work::all() - self.postponable()
    }
}
