// SPDX-License-Identifier: GPL-2.0

//! The Rust implementation with one thing wrong, for each property: a property that still holds then
//! checks nothing.

use crate::{
    kernel::{Event, Kernel, Site},
    moment::Moment,
    property::Broken,
    rules::{
        rust::{end, phase_with_grant, At, SPENT},
        Errno, Next, Rules, Rust,
    },
    state::{Ending, Phase, Resched},
    thread::{Call, Cpu, Rseq, Work},
};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// The end of the exit loop does not look at grants.
    BlindGate,
    /// The timer does nothing.
    DeadTimer,
    /// `TIF_RSEQ` clears all events, also where it stands alone and nobody looked at them, and the
    /// gate sends on whoever has a reschedule due.
    BareFlag,
    /// An update of user space clears all events.
    Oblivion,
    /// It raises nothing but the reschedule.
    QuietTimer,
    /// A grant on a CPU that must not make any.
    Recklessness,
    /// `rseq_debug`: a request without a grant counts as a lie.
    Severity,
    /// The timer ends whatever grant there is.
    ZealousTimer,
    /// A grant that ends does not forget its timer.
    StickyTimer,
    /// A second reschedule does not end the grant.
    NoRevocation,
    /// An update of user space does not ask for the postponed reschedule.
    ForgetfulUpdate,
    /// It asks for it even if it has taken place.
    InsistentUpdate,
    /// One that fails leaves the grant alone.
    LastingGrant,
    /// It leaves one alone until its reschedule.
    PatientFailure,
    /// It leaves the control word as it is.
    LastingWord,
    /// System call entry asks for it even if it has taken place.
    InsistentEntry,
    /// The end of a grant by a system call is not counted.
    UncountedEntry,
    /// A thread's death is not counted.
    UncountedDeath,
    /// System call entry leaves the control word as it is.
    NoErasure,
    /// A grant does not forget the result of an older yield.
    OldResult,
    /// Any call inside of a grant makes rseq_slice_yield(2) return 1.
    Boast,
    /// rseq_slice_yield(2) returns 0.
    Modesty,
    /// Other work does not count.
    Haste,
    /// System calls count as interrupts.
    Generosity,
    /// `PREEMPT_RT`: every reschedule is postponed.
    Arrogance,
    /// A child gets all of its parent's state.
    Heritage,
    /// The mode survives `rseq_reset()`.
    Memory,
    /// There is no `SIGSEGV` at system call entry.
    Mercy,
    /// There always is.
    Wrath,
}

impl Sabotage {
    /// What has to be found, and by what.
    pub(crate) const ALL: &'static [(Self, Broken)] = &[
        (Self::BlindGate, Broken::UNBOUNDED),
        (Self::QuietTimer, Broken::UNBOUNDED),
        (Self::DeadTimer, Broken::LATE),
        (Self::Recklessness, Broken::LATE),
        (Self::Recklessness, Broken::UNFIT),
        (Self::ForgetfulUpdate, Broken::POSTPONED_AGAIN),
        (Self::NoRevocation, Broken::SURVIVED),
        (Self::InsistentEntry, Broken::TWICE_AT_ENTRY),
        (Self::ZealousTimer, Broken::TWICE_AT_EXPIRY),
        (Self::InsistentUpdate, Broken::TWICE_AT_EXIT),
        (Self::ForgetfulUpdate, Broken::LOST),
        (Self::UncountedEntry, Broken::MISCOUNTED),
        (Self::UncountedDeath, Broken::MISCOUNTED_DEATH),
        (Self::NoErasure, Broken::DISAGREEMENT),
        (Self::LastingWord, Broken::DISAGREEMENT),
        (Self::ZealousTimer, Broken::STALE_TIMER),
        (Self::StickyTimer, Broken::STALE_TIMER),
        (Self::ZealousTimer, Broken::FOREIGN_TIMER),
        (Self::OldResult, Broken::CLAIM_WITHOUT_GRANT),
        (Self::Boast, Broken::CLAIM_AFTER_EXPIRY),
        (Self::Boast, Broken::CLAIM_AFTER_SWITCH),
        (Self::Boast, Broken::CLAIM_AFTER_BOTH),
        (Self::Modesty, Broken::DENIAL),
        (Self::Haste, Broken::DESPITE_WORK),
        (Self::Generosity, Broken::NO_INTERRUPT),
        (Self::Arrogance, Broken::URGENT),
        (Self::Heritage, Broken::INHERITED),
        (Self::Memory, Broken::NOT_RESET),
        (Self::Mercy, Broken::SPARED),
        (Self::Wrath, Broken::SHOT),
        (Self::Severity, Broken::SHOT),
        (Self::LastingGrant, Broken::SHOT_TWICE),
        (Self::PatientFailure, Broken::SHOT_TWICE),
        (Self::BareFlag, Broken::TORN),
        (Self::BareFlag, Broken::SHOT_IN_SEQUENCE),
        (Self::Oblivion, Broken::FORGOTTEN),
    ];
}

/// The Rust implementation, sabotaged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sabotaged(pub(crate) Sabotage);

impl Rules for Sabotaged {
    type At = At;

    fn is_preemptible(at: At) -> bool {
        Rust::is_preemptible(at)
    }

    fn grant(&self, k: &mut Kernel<'_, '_, At>, work: Work) -> Next<At> {
        match self.0 {
            Sabotage::Haste => Rust.grant(k, Work::empty()),
            Sabotage::Generosity => {
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
            Sabotage::Mercy if !before.segv && k.thread().segv => {
                let thread = k.thread_mut();
                thread.segv = false;
                thread.work = before.work;
                thread.ghost.guilty = true;
            }
            Sabotage::Wrath if !k.thread().segv => k.segv(),
            Sabotage::Severity if !before.rseq.granted && before.word != 0 && !before.segv => {
                k.segv()
            }
            _ => {}
        }
        next
    }

    fn updated(&self, k: &mut Kernel<'_, '_, At>) -> Next<At> {
        Rust.updated(k)
    }

    fn update_failed(&self, k: &mut Kernel<'_, '_, At>) -> Next<At> {
        match self.0 {
            Sabotage::LastingGrant => Next::Done(false),
            Sabotage::LastingWord if k.thread().rseq.granted => Next::At(At::EndFailed),
            _ => Rust.update_failed(k),
        }
    }

    fn resume(&self, k: &mut Kernel<'_, '_, At>, at: At) -> Next<At> {
        let before = k.thread().rseq.yielded;

        match (self.0, at) {
            (Sabotage::StickyTimer, _) => {
                let timer = k.thread().rseq.timer;
                let next = Rust.resume(k, at);
                if timer.is_some() && !k.thread().rseq.granted {
                    k.thread_mut().rseq.timer = timer;
                }
                next
            }
            (Sabotage::Recklessness, At::Make) if Rust.make(k, true) => Next::Done(true),
            (Sabotage::NoRevocation, At::Revoked { .. }) => Next::Done(false),
            (Sabotage::ForgetfulUpdate, At::UserUpdated) => {
                end(k, Ending::Revoked);
                Next::Done(false)
            }
            (Sabotage::PatientFailure, At::EndFailed) => Rust.resume(k, At::UserUpdated),
            (Sabotage::InsistentUpdate, At::UserUpdated) => {
                k.set_need_resched(Site::Exit);
                Rust.resume(k, at)
            }
            (Sabotage::BareFlag, At::UserUpdated) => {
                let due = phase_with_grant(k) == Phase::Granted;
                end(k, Ending::Revoked);
                if due {
                    k.set_need_resched(Site::Exit);
                }
                Next::Done(false)
            }
            (Sabotage::InsistentEntry, At::End { how, .. }) => Rust.resume(
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
            (Sabotage::NoErasure, At::Erase) => Next::Done(false),
            (Sabotage::OldResult, At::Make) => {
                let next = Rust.resume(k, at);
                k.thread_mut().rseq.yielded = before;
                next
            }
            (
                Sabotage::Boast,
                At::End {
                    how: Ending::Revoked,
                    ..
                },
            ) => {
                let next = Rust.resume(k, at);
                k.thread_mut().rseq.yielded = true;
                // Somebody else asks for it.
                k.thread_mut().work |= Work::RESCHED;
                next
            }
            (Sabotage::Arrogance, At::Make) => {
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
            Sabotage::BareFlag | Sabotage::Oblivion => rseq.clear_events(),
            _ => Rust.clear_events(rseq),
        }
    }

    fn gate(&self, k: &mut Kernel<'_, '_, At>) -> bool {
        match self.0 {
            Sabotage::BlindGate => false,
            Sabotage::BareFlag => Rust.gate(k) || k.thread().work.contains(Work::RESCHED),
            _ => Rust.gate(k),
        }
    }

    fn expired(&self, k: &mut Kernel<'_, '_, At>, slot: Cpu) {
        match self.0 {
            Sabotage::DeadTimer => {}
            Sabotage::QuietTimer => {
                let before = k.thread().work;
                Rust.expired(k, slot);
                k.thread_mut().work -= Work::RSEQ - before;
            }
            Sabotage::ZealousTimer if k.thread().rseq.granted => {
                k.count(Event::Expired);
                k.thread_mut().rseq.switches = SPENT;
                k.set_need_resched(Site::Expiry);
            }
            _ => Rust.expired(k, slot),
        }
    }

    fn take_yielded(&self, k: &mut Kernel<'_, '_, At>) -> bool {
        Rust.take_yielded(k) && self.0 != Sabotage::Modesty
    }

    fn set_mode(&self, k: &mut Kernel<'_, '_, At>, value: u8) -> Result<(), Errno> {
        Rust.set_mode(k, value)
    }

    fn reset(&self, rseq: Rseq) -> Rseq {
        match self.0 {
            Sabotage::Memory => Rseq {
                enabled: rseq.enabled,
                ..Rseq::RESET
            },
            _ => Rust.reset(rseq),
        }
    }

    fn fork(&self, child: &mut Rseq) {
        if self.0 != Sabotage::Heritage {
            Rust.fork(child);
        }
    }

    fn exit(&self, k: &mut Kernel<'_, '_, At>) {
        if self.0 != Sabotage::UncountedDeath {
            Rust.exit(k);
        }
    }
}
