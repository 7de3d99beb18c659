// SPDX-License-Identifier: GPL-2.0

//! The Rust implementation with one mistake, for each property. A property that still holds then
//! checks nothing.

use crate::{
    kernel::{Event, Kernel, Site},
    moment::Moment,
    property::Broken,
    rules::{
        rust::{finish, phase_with_grant, At, SPENT},
        Errno, Next, Rules, Rust,
    },
    state::{Ending, Phase, Resched},
    thread::{Call, Cpu, Rseq, Work},
};

/// The mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The end of the exit loop does not check for grants.
    NoExitCheck,
    /// The timer does nothing.
    NoExpiry,
    /// `TIF_RSEQ` clears all events, also without an update that handled them. The end of the exit
    /// loop goes through it again if a reschedule is due.
    FlagClearsEvents,
    /// An update of user space clears all events.
    UpdateClearsEvents,
    /// The timer requests the reschedule but does not raise `TIF_RSEQ`.
    ExpiryRaisesNoFlag,
    /// A CPU that must not grant does.
    UnfitCpuGrants,
    /// `rseq_debug`: a request without a grant is a violation.
    RequestIsViolation,
    /// The timer acts on any grant.
    TimerEndsAnyGrant,
    /// The end of a grant keeps the address of its timer.
    EndKeepsTimer,
    /// A second reschedule does not end the grant.
    NoRevocation,
    /// An update of user space does not request the postponed reschedule.
    UpdateRequestsNothing,
    /// An update of user space requests it even if it has happened.
    UpdateAlwaysRequests,
    /// An update of user space that fails does not end the grant.
    FailureKeepsGrant,
    /// An update of user space that fails spends the grant, as one that succeeds does.
    FailureOnlySpends,
    /// An update of user space that fails ends the grant and keeps the control word.
    FailureKeepsWord,
    /// System call entry requests the reschedule even if it has happened.
    EntryAlwaysRequests,
    /// The end of a grant by a system call is not counted.
    UncountedEntry,
    /// A thread's death is not counted.
    UncountedDeath,
    /// A thread's death does not request the postponed reschedule.
    DeathRequestsNothing,
    /// System call entry does not erase the control word.
    EntryKeepsWord,
    /// A grant keeps the result of an older yield.
    GrantKeepsResult,
    /// A system call that finds a spent grant counts as a yield.
    RevokedCallYields,
    /// rseq_slice_yield(2) returns 0.
    YieldReturnsZero,
    /// Other work does not deny a grant.
    OtherWorkIgnored,
    /// A grant on the way out of a system call.
    SyscallIsInterrupt,
    /// `PREEMPT_RT` and the policy `lazy`: every reschedule is postponed.
    AllPostponed,
    /// A grant outlives a reschedule that is not lazy.
    KeepsDespiteUrgent,
    /// A grant that is spent outlives a lazy reschedule.
    KeepsSpent,
    /// A child keeps its parent's grant and yield.
    ForkCopiesAll,
    /// `rseq_reset()` keeps the mode.
    ResetKeepsMode,
    /// There is no `SIGSEGV` at system call entry.
    NoSigsegvAtEntry,
    /// There always is a `SIGSEGV` at system call entry.
    SigsegvAtEntry,
}

impl Sabotage {
    /// Each with a property that has to be found broken.
    pub(crate) const ALL: &'static [(Self, Broken)] = &[
        (Self::NoExitCheck, Broken::UNBOUNDED),
        (Self::ExpiryRaisesNoFlag, Broken::UNBOUNDED),
        (Self::NoExpiry, Broken::LATE),
        (Self::UnfitCpuGrants, Broken::LATE),
        (Self::UnfitCpuGrants, Broken::UNFIT),
        (Self::UpdateRequestsNothing, Broken::POSTPONED_AGAIN),
        (Self::KeepsDespiteUrgent, Broken::POSTPONED_AGAIN),
        (Self::KeepsSpent, Broken::LOST),
        (Self::NoRevocation, Broken::SURVIVED),
        (Self::EntryAlwaysRequests, Broken::TWICE_AT_ENTRY),
        (Self::TimerEndsAnyGrant, Broken::TWICE_AT_EXPIRY),
        (Self::UpdateAlwaysRequests, Broken::TWICE_AT_EXIT),
        (Self::UpdateRequestsNothing, Broken::LOST),
        (Self::UncountedEntry, Broken::MISCOUNTED),
        (Self::UncountedDeath, Broken::MISCOUNTED_DEATH),
        (Self::DeathRequestsNothing, Broken::LOST_BY_DEATH),
        (Self::EntryKeepsWord, Broken::INCONSISTENT),
        (Self::FailureKeepsWord, Broken::INCONSISTENT),
        (Self::TimerEndsAnyGrant, Broken::STALE_TIMER),
        (Self::EndKeepsTimer, Broken::STALE_TIMER),
        (Self::TimerEndsAnyGrant, Broken::FOREIGN_TIMER),
        (Self::GrantKeepsResult, Broken::CLAIM_WITHOUT_GRANT),
        (Self::RevokedCallYields, Broken::CLAIM_AFTER_EXPIRY),
        (Self::RevokedCallYields, Broken::CLAIM_AFTER_SWITCH),
        (Self::RevokedCallYields, Broken::CLAIM_AFTER_BOTH),
        (Self::YieldReturnsZero, Broken::UNREPORTED),
        (Self::OtherWorkIgnored, Broken::DESPITE_WORK),
        (Self::SyscallIsInterrupt, Broken::NO_INTERRUPT),
        (Self::AllPostponed, Broken::URGENT),
        (Self::ForkCopiesAll, Broken::WRONG_CHILD),
        (Self::ResetKeepsMode, Broken::NOT_RESET),
        (Self::NoSigsegvAtEntry, Broken::MISSING_SIGSEGV),
        (Self::SigsegvAtEntry, Broken::SIGSEGV_WITHOUT_CAUSE),
        (Self::RequestIsViolation, Broken::SIGSEGV_WITHOUT_CAUSE),
        (Self::FailureKeepsGrant, Broken::SIGSEGV_TWICE),
        (Self::FailureOnlySpends, Broken::SIGSEGV_TWICE),
        (Self::FlagClearsEvents, Broken::UNRESTARTED),
        (Self::FlagClearsEvents, Broken::SIGSEGV_IN_SEQUENCE),
        (Self::UpdateClearsEvents, Broken::MISSING_USER_IRQ),
    ];
}

/// The Rust implementation with a mistake.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultyRust(pub(crate) Sabotage);

impl Rules for FaultyRust {
    type At = At;

    fn is_preemptible(at: At) -> bool {
        Rust::is_preemptible(at)
    }

    fn grant(&self, k: &mut Kernel<'_, '_, At>, work: Work) -> Next<At> {
        match self.0 {
            Sabotage::OtherWorkIgnored => Rust.grant(k, Work::empty()),
            Sabotage::SyscallIsInterrupt => {
                k.thread_mut().rseq.user_irq = true;
                Rust.grant(k, work)
            }
            _ => Rust.grant(k, work),
        }
    }

    fn enter(&self, k: &mut Kernel<'_, '_, At>, call: Call) -> Next<At> {
        let before = *k.thread();
        let next = Rust.enter(k, call);

        match self.0 {
            Sabotage::NoSigsegvAtEntry if !before.segv && k.thread().segv => {
                let thread = k.thread_mut();
                thread.segv = false;
                thread.work = before.work;
                thread.ghost.sigsegv_due = true;
            }
            Sabotage::SigsegvAtEntry if !k.thread().segv => k.segv(),
            Sabotage::RequestIsViolation
                if !before.rseq.granted && before.word != 0 && !before.segv =>
            {
                k.segv()
            }
            _ => {}
        }
        next
    }

    fn user_updated(&self, k: &mut Kernel<'_, '_, At>) -> Next<At> {
        Rust.user_updated(k)
    }

    fn update_failed(&self, k: &mut Kernel<'_, '_, At>) -> Next<At> {
        match self.0 {
            Sabotage::FailureKeepsGrant => Next::Done(false),
            Sabotage::FailureKeepsWord if k.thread().rseq.granted => Next::At(At::EndFailed),
            _ => Rust.update_failed(k),
        }
    }

    fn resume(&self, k: &mut Kernel<'_, '_, At>, at: At) -> Next<At> {
        let before = k.thread().rseq.yielded;

        match (self.0, at) {
            (Sabotage::EndKeepsTimer, _) => {
                let timer = k.thread().rseq.timer;
                let next = Rust.resume(k, at);
                if timer.is_some() && !k.thread().rseq.granted {
                    k.thread_mut().rseq.timer = timer;
                }
                next
            }
            (Sabotage::UnfitCpuGrants, At::Make) if Rust.make(k, true) => Next::Done(true),
            (Sabotage::KeepsDespiteUrgent, At::Keep) => {
                let next = Rust.resume(k, at);
                if next == Next::Done(true) {
                    k.postpone_another(Work::RESCHED);
                }
                next
            }
            (Sabotage::KeepsSpent, At::Keep) => {
                k.postpone_another(Work::LAZY);
                Next::Done(true)
            }
            (Sabotage::NoRevocation, At::Revoked { .. }) => Next::Done(false),
            (Sabotage::UpdateRequestsNothing, At::UserUpdated) => {
                finish(k, Ending::Revoked);
                Next::Done(false)
            }
            (Sabotage::FailureOnlySpends, At::EndFailed) => Rust.resume(k, At::UserUpdated),
            (Sabotage::UpdateAlwaysRequests, At::UserUpdated) => {
                k.set_need_resched(Site::Exit);
                Rust.resume(k, at)
            }
            (Sabotage::FlagClearsEvents, At::UserUpdated) => {
                let due = phase_with_grant(k) == Phase::Granted;
                finish(k, Ending::Revoked);
                if due {
                    k.set_need_resched(Site::Exit);
                }
                Next::Done(false)
            }
            (Sabotage::EntryAlwaysRequests, At::End { how, .. }) => Rust.resume(
                k,
                At::End {
                    how,
                    resched: Resched::Due,
                },
            ),
            (Sabotage::UncountedEntry, At::End { resched, .. }) => {
                k.thread_mut().rseq.timer = None;
                k.store_granted(false);
                Next::At(At::Request { resched })
            }
            (Sabotage::EntryKeepsWord, At::Erase) => Next::Done(false),
            (Sabotage::GrantKeepsResult, At::Make) => {
                let next = Rust.resume(k, at);
                k.thread_mut().rseq.yielded = before;
                next
            }
            (
                Sabotage::RevokedCallYields,
                At::End {
                    how: Ending::Revoked,
                    ..
                },
            ) => {
                let next = Rust.resume(k, at);
                k.thread_mut().rseq.yielded = true;
                // Something else requests the reschedule.
                k.thread_mut().work |= Work::RESCHED;
                next
            }
            (Sabotage::AllPostponed, At::Make) => {
                let next = Rust.resume(k, at);
                if next == Next::Done(true) {
                    k.clear_need_resched(Work::RESCHED, Moment::NOW);
                }
                next
            }
            _ => Rust.resume(k, at),
        }
    }

    fn clear_events(&self, rseq: &mut Rseq) {
        match self.0 {
            Sabotage::FlagClearsEvents | Sabotage::UpdateClearsEvents => rseq.clear_events(),
            _ => Rust.clear_events(rseq),
        }
    }

    fn arm_timer(&self, k: &mut Kernel<'_, '_, At>) -> bool {
        match self.0 {
            Sabotage::NoExitCheck => false,
            Sabotage::FlagClearsEvents => {
                Rust.arm_timer(k) || k.thread().work.contains(Work::RESCHED)
            }
            _ => Rust.arm_timer(k),
        }
    }

    fn expired(&self, k: &mut Kernel<'_, '_, At>, slot: Cpu) {
        match self.0 {
            Sabotage::NoExpiry => {}
            Sabotage::ExpiryRaisesNoFlag => {
                let before = k.thread().work;
                Rust.expired(k, slot);
                k.thread_mut().work -= Work::RSEQ - before;
            }
            Sabotage::TimerEndsAnyGrant if k.thread().rseq.granted => {
                k.count(Event::Expired);
                k.thread_mut().rseq.switches = SPENT;
                k.set_need_resched(Site::Expiry);
            }
            _ => Rust.expired(k, slot),
        }
    }

    fn take_yielded(&self, k: &mut Kernel<'_, '_, At>) -> bool {
        Rust.take_yielded(k) && self.0 != Sabotage::YieldReturnsZero
    }

    fn set_mode(&self, k: &mut Kernel<'_, '_, At>, value: u8) -> Result<(), Errno> {
        Rust.set_mode(k, value)
    }

    fn reset(&self, rseq: Rseq) -> Rseq {
        match self.0 {
            Sabotage::ResetKeepsMode => Rseq {
                enabled: rseq.enabled,
                ..Rseq::RESET
            },
            _ => Rust.reset(rseq),
        }
    }

    fn fork(&self, child: &mut Rseq) {
        if self.0 != Sabotage::ForkCopiesAll {
            Rust.fork(child);
        }
    }

    fn exit(&self, k: &mut Kernel<'_, '_, At>) {
        match self.0 {
            Sabotage::UncountedDeath => {}
            Sabotage::DeathRequestsNothing if k.thread().rseq.granted => finish(k, Ending::Died),
            _ => Rust.exit(k),
        }
    }
}
