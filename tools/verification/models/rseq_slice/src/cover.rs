// SPDX-License-Identifier: GPL-2.0

//! What a run has to see: a model in which nothing happens keeps every invariant.

use bitflags::bitflags;

use crate::{
    abi::Layout,
    config::{Config, UserOp},
    thread::Call,
};

bitflags! {
    /// What was seen.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Cover: u64 {
        const GRANTED = 1 << 0;
        const YIELDED = 1 << 1;
        const ABORTED = 1 << 2;
        const REVOKED = 1 << 3;
        const DIED = 1 << 4;
        const EXPIRED_IN_USER_MODE = 1 << 5;
        /// In system call entry, before the slice work.
        const EXPIRED_AT_ENTRY = 1 << 6;
        /// Inside the slice work.
        const EXPIRED_IN_ENTRY_WORK = 1 << 7;
        const EXPIRED_ON_THE_WAY_OUT = 1 << 8;
        /// A timer fired and did nothing.
        const IGNORED = 1 << 9;
        /// A timer that hotplug had moved fired and did nothing.
        const IGNORED_MOVED = 1 << 10;
        /// A timer fired late.
        const FIRED_LATE = 1 << 11;
        const CANCELLED = 1 << 12;
        /// A grant could not be made after the control word showed it.
        const REFUSED_LATE = 1 << 13;
        /// The kernel was preempted inside the grant decision.
        const PREEMPTED_IN_DECISION = 1 << 14;
        /// The same for system call entry work.
        const PREEMPTED_IN_ENTRY = 1 << 15;
        /// A thread with a grant was moved to another CPU.
        const MIGRATED = 1 << 16;
        /// `rseq_slice_yield(2)` returned 1.
        const RETURNED_1 = 1 << 17;
        /// It returned 0 although it was called inside a grant.
        const RETURNED_0 = 1 << 18;
        const FAULT = 1 << 19;
        const VIOLATION = 1 << 20;
        const FORKED = 1 << 21;
        const RESET = 1 << 22;
        /// prctl(2) changed the mode.
        const MODE_SET = 1 << 23;
        /// A system call that ended a grant was skipped.
        const SKIPPED = 1 << 24;
        /// An update of user space without a context switch ended a grant.
        const UPDATED = 1 << 25;
        /// A thread went through the exit loop again because of its grant.
        const SENT_BACK = 1 << 26;
        /// A new thread has the address of one that a timer still names.
        const REUSED = 1 << 27;
        /// User space was updated by the slow path.
        const SLOW = 1 << 28;
        /// A thread cancelled the timer of another one's grant.
        const CANCELLED_FOR_ANOTHER = 1 << 29;
        /// A sequence was restarted.
        const RESTARTED = 1 << 30;
        /// A sequence was restarted without need, for example after an expiry.
        const RESTARTED_IN_PLACE = 1 << 31;
        /// rseq checked for a sequence before a signal handler.
        const SEQUENCE_AT_SIGNAL = 1 << 32;
        /// `rseq_debug` found a system call inside a sequence.
        const CALLED_INSIDE = 1 << 33;
        /// A reschedule was requested between the two reads of the flags, and found by the second.
        const BETWEEN = 1 << 34;
        /// A thread left with a spent grant without the check at the end of the exit loop.
        const UNCHECKED = 1 << 35;
        /// A timer fired while an exception was handled.
        const EXPIRED_IN_EXCEPTION = 1 << 36;
        /// An update of user space that failed ended a grant.
        const ENDED_BY_FAILURE = 1 << 37;
        /// A grant outlived a lazy reschedule.
        const KEPT = 1 << 38;
    }
}

impl Cover {
    /// What a run through `config` has to see.
    pub(crate) fn expected(config: &Config, rust: bool) -> Self {
        let calls = |wanted: fn(&Call) -> bool| {
            config
                .ops
                .iter()
                .chain(config.second_ops)
                .any(|op| matches!(op, UserOp::Call(call) if wanted(call)))
        };
        let sequences = config.ops.contains(&UserOp::Begin);
        let checked = config.debug || config.layout == Layout::Bits;
        let forges = config.ops.contains(&UserOp::ForgeGrant);

        [
            (!(rust && config.unfit), Self::ALWAYS),
            (rust, Self::REFUSED_LATE),
            (
                calls(|call| matches!(call, Call::Other)) && !(rust && config.unfit),
                Self::ABORTED,
            ),
            (sequences, Self::RESTARTED | Self::RESTARTED_IN_PLACE),
            (sequences && config.signals, Self::SEQUENCE_AT_SIGNAL),
            (sequences && config.debug, Self::CALLED_INSIDE),
            (rust && config.remote && !config.rt, Self::BETWEEN),
            (calls(|call| *call == Call::Argument), Self::UNCHECKED),
            (
                config.ops.contains(&UserOp::Touch) && !(rust && config.unfit),
                Self::EXPIRED_IN_EXCEPTION,
            ),
            (config.faults, Self::FAULT | Self::SLOW),
            (rust && config.faults, Self::ENDED_BY_FAILURE),
            (rust && config.lazy, Self::KEPT),
            (rust && (config.faults || config.signals), Self::DIED),
            (forges && checked, Self::VIOLATION),
            (
                calls(|call| matches!(call, Call::Fork { .. })),
                Self::FORKED,
            ),
            (config.threads > 1, Self::REUSED),
            (rust && config.threads > 1, Self::CANCELLED_FOR_ANOTHER),
            (calls(|call| *call == Call::Exec), Self::RESET),
            (calls(|call| matches!(call, Call::Prctl(_))), Self::MODE_SET),
            (config.skips, Self::SKIPPED),
            (!rust || config.membarrier && !config.unfit, Self::SENT_BACK),
            (config.membarrier && !(rust && config.unfit), Self::UPDATED),
            (config.hotplug, Self::IGNORED_MOVED),
        ]
        .into_iter()
        .filter(|(expected, _)| *expected)
        .fold(Self::empty(), |all, (_, cover)| all | cover)
    }

    const ALWAYS: Self = Self::GRANTED
        .union(Self::YIELDED)
        .union(Self::REVOKED)
        .union(Self::EXPIRED_IN_USER_MODE)
        .union(Self::EXPIRED_AT_ENTRY)
        .union(Self::EXPIRED_IN_ENTRY_WORK)
        .union(Self::EXPIRED_ON_THE_WAY_OUT)
        .union(Self::IGNORED)
        .union(Self::FIRED_LATE)
        .union(Self::CANCELLED)
        .union(Self::PREEMPTED_IN_DECISION)
        .union(Self::PREEMPTED_IN_ENTRY)
        .union(Self::MIGRATED)
        .union(Self::RETURNED_1)
        .union(Self::RETURNED_0);
}
