// SPDX-License-Identifier: GPL-2.0

//! The implementations under test.
//!
//! Each is split into steps at the points where an interrupt makes a difference. The steps act
//! through [`Kernel`], which checks them.

use core::{fmt::Debug, hash::Hash};

use crate::{
    kernel::{Fault, Kernel},
    thread::{Call, Cpu, Pc, Rseq, Work},
};

mod c;
mod rust;
mod sabotage;

pub(crate) use c::C;
pub(crate) use rust::Rust;
pub(crate) use sabotage::{FaultyRust, Sabotage};

/// What follows a step of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next<A> {
    /// Another step of the function.
    At(A),
    /// The function returns. Only for the grant decision: whether the reschedule is postponed.
    Done(bool),
}

/// How prctl(2) fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    Inval,
    Fault,
}

impl From<Fault> for Errno {
    fn from(_: Fault) -> Self {
        Self::Fault
    }
}

/// An implementation of the slice extension.
pub(crate) trait Rules: Copy + Debug + Send + Sync + 'static {
    /// The steps of its functions.
    type At: Copy + Eq + Hash + Debug + Send + Sync + 'static;

    /// Whether the kernel can be preempted before a step.
    fn is_preemptible(at: Self::At) -> bool;

    /// The first step of the grant decision in the exit loop.
    fn grant(&self, k: &mut Kernel<'_, '_, Self::At>, work: Work) -> Next<Self::At>;

    /// The first step of the work at system call entry.
    fn enter(&self, k: &mut Kernel<'_, '_, Self::At>, call: Call) -> Next<Self::At>;

    /// The first step after an update of user space has erased the control word.
    fn user_updated(&self, k: &mut Kernel<'_, '_, Self::At>) -> Next<Self::At>;

    /// The first step after an update of user space has failed, in the slow path.
    fn update_failed(&self, k: &mut Kernel<'_, '_, Self::At>) -> Next<Self::At>;

    /// Any later step.
    fn resume(&self, k: &mut Kernel<'_, '_, Self::At>, at: Self::At) -> Next<Self::At>;

    /// `rseq_slice_clear_events()`, after an update of user space.
    fn clear_events(&self, rseq: &mut Rseq);

    /// `rseq_arm_slice_extension_timer()` at the end of the exit loop: whether the thread has to go
    /// through it again.
    fn arm_timer(&self, k: &mut Kernel<'_, '_, Self::At>) -> bool;

    /// The callback of the timer of the CPU `slot`. It interrupts the thread.
    fn expired(&self, k: &mut Kernel<'_, '_, Self::At>, slot: Cpu);

    /// What `rseq_slice_yield(2)` returns.
    fn take_yielded(&self, k: &mut Kernel<'_, '_, Self::At>) -> bool;

    /// `PR_RSEQ_SLICE_EXTENSION_SET`.
    fn set_mode(&self, k: &mut Kernel<'_, '_, Self::At>, value: u8) -> Result<(), Errno>;

    /// `rseq_reset()`, for `CLONE_VM`, exec and unregistration. The base's code for both.
    fn reset(&self, _rseq: Rseq) -> Rseq {
        Rseq::RESET
    }

    /// A child's copy of its parent's state, after `rseq_fork()` made it.
    fn fork(&self, child: &mut Rseq);

    /// A thread dies.
    fn exit(&self, k: &mut Kernel<'_, '_, Self::At>);
}

/// Whether the kernel can be preempted at `pc`.
pub(crate) fn is_preemptible<R: Rules>(pc: Pc<R::At>) -> bool {
    match pc {
        Pc::Grant(_, at) | Pc::Enter(_, at) | Pc::SlowClear(at) | Pc::SlowFailed(at) => {
            R::is_preemptible(at)
        }
        _ => true,
    }
}
