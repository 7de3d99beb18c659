// SPDX-License-Identifier: GPL-2.0

//! The Rust implementation: the decisions are the kernel's own, the order of the actions around them
//! mirrors the functions that the comments name. Whoever changes one of those changes this file.

use crate::{
    abi::{self, Choice, Prctl, Update},
    cover::Cover,
    kernel::{note, Event, Kernel, Site},
    moment::{Moment, NOW},
    rules::{Errno, Next, Rules},
    state::{self, AtSyscall, Ending, Grant, Phase, Plan, Verdict},
    thread::{Call, Cpu, Rseq, Work},
    world::ORDER,
};

/// The Rust implementation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rust;

/// The steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum At {
    // grant::at_resched()
    Update(Planned),
    Make,
    Withdraw,
    Kill,

    // grant::take_back()
    TakeBack,
    Taken { how: Ended },

    // grant::erase_and_revoke()
    EraseFailed,
    RevokeFailed,

    // grant::revoke()
    Revoke,

    // syscall::leave()
    Guard { truthful: bool },
    Cancel { truthful: bool },
    Decide { truthful: bool },
    Finish { how: Ended, owes: bool },
    Ask { owes: bool },
    Drop,
    DropEarly,
    Erase,
}

/// `state::Plan`, which the kernel has no use for a hash of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Planned {
    Offer,
    Refuse,
}

impl From<Plan> for Planned {
    fn from(plan: Plan) -> Self {
        match plan {
            Plan::Offer => Self::Offer,
            Plan::Refuse => Self::Refuse,
        }
    }
}

impl From<Planned> for Plan {
    fn from(plan: Planned) -> Self {
        match plan {
            Planned::Offer => Self::Offer,
            Planned::Refuse => Self::Refuse,
        }
    }
}

/// `state::Ending`, the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ended {
    Yielded,
    Aborted,
    Revoked,
    Died,
}

impl From<Ending> for Ended {
    fn from(how: Ending) -> Self {
        match how {
            Ending::Yielded => Self::Yielded,
            Ending::Aborted => Self::Aborted,
            Ending::Revoked => Self::Revoked,
            Ending::Died => Self::Died,
        }
    }
}

impl From<Ended> for Ending {
    fn from(how: Ended) -> Self {
        match how {
            Ended::Yielded => Self::Yielded,
            Ended::Aborted => Self::Aborted,
            Ended::Revoked => Self::Revoked,
            Ended::Died => Self::Died,
        }
    }
}

/// `Grant::SPENT`, which no thread's count reaches here either.
const SPENT: u8 = u8::MAX;

type K<'a, 'l> = Kernel<'a, 'l, At>;

/// `Thread::phase()` of task.rs.
fn phase(k: &K<'_, '_>) -> Phase {
    let rseq = &k.thread().rseq;

    if rseq.granted {
        phase_with_grant(k)
    } else {
        Phase::Idle
    }
}

/// `Thread::phase_with_grant()` of task.rs.
pub(super) fn phase_with_grant(k: &K<'_, '_>) -> Phase {
    let made = match k.thread().rseq.switches {
        SPENT => Grant::SPENT,
        made => made.into(),
    };

    Phase::with_grant(made, switches(k))
}

/// `Thread::switches()` of task.rs.
fn switches(k: &K<'_, '_>) -> usize {
    k.thread().switches.into()
}

/// `Thread::choice()` of task.rs.
fn choice(k: &K<'_, '_>) -> Choice {
    Choice::from_enabled(k.thread().rseq.enabled)
}

/// `end()` of grant.rs.
pub(super) fn end(k: &mut K<'_, '_>, how: Ending) {
    // Thread::end()
    k.thread_mut().rseq.timer = None;
    k.store_granted(false);
    k.count(Event::Ended(how));
}

impl Rust {
    /// `make()` of grant.rs, which has interrupts disabled.
    pub(super) fn make(self, k: &mut K<'_, '_>, cpu_may_grant: bool) -> bool {
        let scheduled_out = k.thread().rseq.sched_switch;
        if !Grant::possible(scheduled_out, || cpu_may_grant) {
            return false;
        }
        let grant = Grant::new(NOW, k.length(), switches(k));
        let expires = Moment::from_nanos(grant.expires);

        k.count(Event::Granted);
        // For the properties, which want to know when it ends.
        k.thread_mut().rseq.expires = Some(expires);
        // Thread::begin()
        let rseq = &mut k.thread_mut().rseq;
        rseq.switches = u8::try_from(grant.switches).expect("a count that is 0 or 1");
        rseq.yielded = false;
        k.store_granted(true);
        // Thread::watch_syscall()
        k.thread_mut().watch = true;
        let which = if k.config.rt {
            Work::LAZY
        } else {
            Work::ANY_RESCHED
        };
        k.clear_need_resched(which, expires);
        // timer::arm()
        k.thread_mut().rseq.timer = Some(k.cpu());
        k.arm(expires);
        true
    }

    /// `is_truthful()` of syscall.rs.
    fn is_truthful(self, k: &mut K<'_, '_>) -> bool {
        let layout = choice(k).layout();
        if !layout.checked_at_entry(k.config.debug) {
            return true;
        }

        let granted = k.thread().rseq.granted;
        k.get_word()
            .is_ok_and(|word| layout.truthful_at_entry(ORDER, word, granted))
    }
}

impl Rules for Rust {
    type At = At;

    fn is_preemptible(at: At) -> bool {
        // What holds the guard of syscall::leave().
        !matches!(
            at,
            At::Cancel { .. }
                | At::Decide { .. }
                | At::Finish { .. }
                | At::Ask { .. }
                | At::Drop
                | At::DropEarly
        )
    }

    /// `rseq_grant_slice_extension()` of rseq_slice.h, then `at_resched()` or `take_back()` of
    /// grant.rs.
    fn grant(&self, k: &mut K<'_, '_>, work: Work) -> Next<At> {
        let rseq = k.thread().rseq;
        let enabled = rseq.enabled != 0 && rseq.user_irq;
        if !enabled && !rseq.granted {
            return Next::Done(false);
        }

        if rseq.granted {
            note!(k, "take_back(): {:?}", phase(k));
            return Next::At(At::TakeBack);
        }

        let plan = Plan::new(work.intersects(k.config.deny()));
        note!(k, "at_resched(): {plan:?}");
        Next::At(At::Update(plan.into()))
    }

    /// `rseq_syscall_enter_work()`, that is `enter()` of syscall.rs, and `lie()` where it lies.
    fn enter(&self, k: &mut K<'_, '_>, _call: Call) -> Next<At> {
        k.thread_mut().watch = false;

        let truthful = self.is_truthful(k);
        if !truthful {
            k.segv();
        }
        Next::At(At::Guard { truthful })
    }

    /// `rseq_slice_clear_grant()` of rseq_slice.h, then `revoke()` of grant.rs.
    fn updated(&self, k: &mut K<'_, '_>) -> Next<At> {
        if !k.thread().rseq.granted {
            return Next::Done(false);
        }
        Next::At(At::Revoke)
    }

    /// `rseq_slice_update_failed()` of rseq_slice.h, then `erase_and_revoke()` of grant.rs.
    fn update_failed(&self, k: &mut K<'_, '_>) -> Next<At> {
        if !k.thread().rseq.granted {
            return Next::Done(false);
        }
        Next::At(At::EraseFailed)
    }

    fn resume(&self, k: &mut K<'_, '_>, at: At) -> Next<At> {
        match at {
            // at_resched()
            At::Update(plan) => {
                let plan = Plan::from(plan);
                let layout = choice(k).layout();
                let verdict = match k.update_word(plan.update(layout, ORDER)) {
                    Ok(word) => {
                        k.judge_at_decision(word);
                        plan.judge(layout, ORDER, word)
                    }
                    Err(_) => Verdict::Kill,
                };
                note!(k, "{verdict:?}");
                match verdict {
                    Verdict::Grant => Next::At(At::Make),
                    Verdict::Refuse => Next::Done(false),
                    Verdict::Kill => Next::At(At::Kill),
                }
            }
            At::Make => {
                if self.make(k, k.may_grant()) {
                    k.log.cover(Cover::GRANTED);
                    Next::Done(true)
                } else {
                    Next::At(At::Withdraw)
                }
            }
            At::Withdraw => {
                k.log.cover(Cover::WITHDRAWN);
                note!(k, "withdraws the grant");
                if k.erase_word().is_err() {
                    k.segv();
                }
                Next::Done(false)
            }
            At::Kill => {
                if k.thread().rseq.granted {
                    end(k, Ending::Died);
                }
                let _ = k.erase_word();
                k.segv();
                Next::Done(false)
            }

            // take_back()
            At::TakeBack => {
                let layout = choice(k).layout();
                let shown = !k.thread().rseq.hidden;
                let truthful = if layout.checked_at_revocation() && shown {
                    k.update_word(Update::ERASE).is_ok_and(|word| {
                        k.judge_at_decision(word);
                        layout.truthful(ORDER, word, true)
                    })
                } else {
                    k.erase_word().is_ok()
                };
                Next::At(match Ending::taken_back(truthful) {
                    Ending::Died => At::Kill,
                    how => At::Taken { how: how.into() },
                })
            }
            At::Taken { how } => {
                end(k, how.into());
                Next::Done(false)
            }

            // erase_and_revoke()
            At::EraseFailed => {
                let _ = k.erase_word();
                Next::At(At::RevokeFailed)
            }
            At::RevokeFailed => {
                if phase_with_grant(k) == Phase::Granted {
                    k.set_need_resched(Site::Exit);
                }
                end(k, Ending::Revoked);
                Next::Done(false)
            }

            // revoke()
            At::Revoke => {
                if phase_with_grant(k) == Phase::Granted {
                    let rseq = &mut k.thread_mut().rseq;
                    // Thread::spend()
                    rseq.switches = SPENT;
                    // Thread::hide_grant()
                    rseq.hidden = true;
                    k.set_need_resched(Site::Exit);
                } else {
                    end(k, Ending::Revoked);
                }
                Next::Done(false)
            }

            // leave()
            At::Guard { truthful } => Next::At(At::Cancel { truthful }),
            At::Cancel { truthful } => {
                // timer::cancel()
                k.cancel();
                Next::At(At::Decide { truthful })
            }
            At::Decide { truthful } => {
                let call = match k.entered() {
                    Call::Yield => state::Call::Yield,
                    _ => state::Call::Other,
                };
                let phase = phase(k);
                note!(k, "leave(): {phase:?}");
                match phase.at_syscall(call, truthful) {
                    AtSyscall::NoGrant => Next::At(At::DropEarly),
                    AtSyscall::GiveUp(how) => Next::At(At::Finish {
                        how: how.into(),
                        owes: true,
                    }),
                    AtSyscall::GaveUp(how) => Next::At(At::Finish {
                        how: how.into(),
                        owes: false,
                    }),
                }
            }
            At::Finish { how, owes } => {
                end(k, how.into());
                if how == Ended::Yielded {
                    k.thread_mut().rseq.yielded = true;
                }
                Next::At(At::Ask { owes })
            }
            At::Ask { owes } => {
                if owes {
                    k.set_need_resched(Site::Entry);
                }
                Next::At(At::Drop)
            }
            At::Drop => {
                k.preempt_enable();
                Next::At(At::Erase)
            }
            At::DropEarly => {
                k.preempt_enable();
                Next::Done(false)
            }
            At::Erase => {
                if k.erase_word().is_err() {
                    k.segv();
                }
                Next::Done(false)
            }
        }
    }

    /// `rseq_slice_clear_events()` of rseq_slice.h.
    fn clear_events(&self, rseq: &mut Rseq) {
        rseq.sched_switch = false;
        rseq.ids_changed = false;
    }

    /// `rseq_arm_slice_extension_timer()` of rseq_slice.h.
    fn gate(&self, k: &mut K<'_, '_>) -> bool {
        let thread = *k.thread();

        if !thread.rseq.granted || thread.rseq.switches == thread.switches {
            return false;
        }
        if !thread.work.contains(Work::RESCHED) {
            let thread = k.thread_mut();
            thread.rseq.ids_changed |= !thread.rseq.user_irq;
            thread.rseq.sched_switch = true;
            thread.work |= Work::RSEQ;
        }
        true
    }

    /// `SliceTimer::run()` of timer.rs.
    fn expired(&self, k: &mut K<'_, '_>, slot: Cpu) {
        let bounded = k.thread().rseq.timer == Some(slot);

        if bounded && phase_with_grant(k).at_expiry() {
            k.count(Event::Expired);
            // Thread::spend()
            k.thread_mut().rseq.switches = SPENT;
            k.set_need_resched(Site::Expiry);
            // Thread::visit_exit_loop()
            k.thread_mut().work |= Work::RSEQ;
        }
    }

    /// `Thread::take_yielded()` of task.rs.
    fn take_yielded(&self, k: &mut K<'_, '_>) -> bool {
        core::mem::take(&mut k.thread_mut().rseq.yielded)
    }

    /// `call()`, `set()` and `write()` of prctl.rs.
    fn set_choice(&self, k: &mut K<'_, '_>, value: u8) -> Result<(), Errno> {
        let Some(Prctl::Set(to)) = Prctl::parse(abi::PR_SET, value.into()) else {
            return Err(Errno::Inval);
        };
        let from = choice(k);
        if to == from {
            return Ok(());
        }

        let mut write = || {
            k.access_flags()?;
            let stored = abi::flags_for(0, from);
            let flags = if k.flags_are_forged() {
                stored & !abi::FLAG_AVAILABLE
            } else {
                stored
            };
            if !abi::flags_truthful(flags, from) {
                return Err(Errno::Fault);
            }
            if abi::erases_ctrl(from, to) {
                k.erase_word_surely();
            }
            Ok(())
        };
        write().inspect_err(|_| k.segv())?;
        // Thread::set_choice()
        k.thread_mut().rseq.enabled = to.enabled();
        Ok(())
    }

    /// `inherit()` of task.rs.
    fn fork(&self, child: &mut Rseq) {
        child.granted = false;
        child.hidden = false;
        child.timer = None;
        child.yielded = false;
    }

    /// `rseq_slice_exit()` of rseq_slice.h.
    fn exit(&self, k: &mut K<'_, '_>) {
        if k.thread().rseq.granted {
            end(k, Ending::Died);
        }
    }
}
