// SPDX-License-Identifier: GPL-2.0

//! The Rust implementation. The decisions are the kernel's own code. The order of the actions
//! around them mirrors the functions that the comments name: `scripts/check mirror` fails when
//! one of them has changed.

use crate::{
    abi::{self, Mode, Modify, Prctl},
    cover::Cover,
    kernel::{note, Event, Kernel, Site},
    rules::{Errno, Next, Rules},
    state::{self, Ending, Phase, Resched, Verdict},
    thread::{Call, Cpu, Rseq, Work},
};

/// The Rust implementation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rust;

/// The steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum At {
    // grant::at_resched()
    Decide { other_work: bool },
    Make,
    RefuseLate,
    Kill,

    // grant::keep()
    Keep,

    // grant::revoke()
    Revoke,
    Revoked { how: Ending },

    // grant::update_failed()
    UpdateFailed,
    EndFailed,

    // grant::user_updated()
    UserUpdated,

    // syscall::leave()
    Guard { consistent: bool },
    Cancel { consistent: bool },
    Look { consistent: bool },
    End { how: Ending, resched: Resched },
    Request { resched: Resched },
    Drop,
    DropEarly,
    Erase,
}

/// `Phase::SPENT_SWITCHES`, a count that no thread reaches here either.
pub(super) const SPENT: u8 = u8::MAX;

type K<'a, 'l> = Kernel<'a, 'l, At>;

/// `Thread::phase()` of task.rs.
fn phase(k: &K<'_, '_>) -> Phase {
    if k.thread().rseq.granted {
        phase_with_grant(k)
    } else {
        Phase::Idle
    }
}

/// `Thread::phase_with_grant()` of task.rs.
pub(super) fn phase_with_grant(k: &K<'_, '_>) -> Phase {
    let made = match k.thread().rseq.switches {
        SPENT => Phase::SPENT_SWITCHES,
        made => made.into(),
    };

    Phase::with_grant(made, k.thread().switches.into())
}

/// `Thread::phase_for_timer()` of task.rs.
fn phase_for_timer(k: &K<'_, '_>, timer: Cpu) -> Phase {
    if k.thread().rseq.timer == Some(timer) {
        phase_with_grant(k)
    } else {
        Phase::Idle
    }
}

/// `Thread::mode()` of task.rs.
fn mode(k: &K<'_, '_>) -> Mode {
    Mode::from_enabled(k.thread().rseq.enabled)
}

/// `finish()` of grant.rs.
pub(super) fn finish(k: &mut K<'_, '_>, how: Ending) {
    // Thread::end()
    k.thread_mut().rseq.timer = None;
    k.store_granted(false);
    k.count(Event::Ended(how));
}

/// `finish_and_resched()` of grant.rs.
fn finish_and_resched(k: &mut K<'_, '_>, how: Ending) {
    if phase_with_grant(k) == Phase::Granted {
        k.set_need_resched(Site::Exit);
    }
    finish(k, how);
}

impl Rust {
    /// `make()` of grant.rs up to `refuse_late()`. Interrupts are disabled.
    pub(super) fn make(self, k: &mut K<'_, '_>, cpu_may_grant: bool) -> bool {
        if k.thread().rseq.sched_switch {
            return false;
        }
        let expires = k.extension_end();
        let timer = k.cpu();

        // rseq_slice_postpone_resched() of glue.c
        if !cpu_may_grant {
            return false;
        }
        k.clear_need_resched(k.config.postponable(), expires);

        k.count(Event::Granted);
        // For the properties.
        k.thread_mut().rseq.expires = Some(expires);
        // Thread::begin()
        let switches = k.thread().switches;
        let rseq = &mut k.thread_mut().rseq;
        rseq.switches = switches;
        rseq.timer = Some(timer);
        rseq.yielded = false;
        rseq.hidden = false;
        k.store_granted(true);
        // Thread::set_syscall_work()
        k.thread_mut().syscall_work = true;
        // PerCpuRef::start()
        k.arm(expires);
        true
    }

    /// `is_consistent()` of syscall.rs.
    fn is_consistent(self, k: &mut K<'_, '_>) -> bool {
        let layout = mode(k).layout();
        let granted = k.thread().rseq.granted;
        let checked = layout.checked_at_entry(granted, k.config.debug);

        checked == 0
            || k.get_word()
                .is_ok_and(|word| layout.is_consistent(word, granted, checked))
    }
}

impl Rules for Rust {
    type At = At;

    fn is_preemptible(at: At) -> bool {
        // What holds the guard of syscall::leave().
        !matches!(
            at,
            At::Cancel { .. }
                | At::Look { .. }
                | At::End { .. }
                | At::Request { .. }
                | At::Drop
                | At::DropEarly
        )
    }

    /// `rseq_grant_slice_extension()` of rseq_slice.h, then `at_resched()`, `keep()` or
    /// `revoke()` of grant.rs.
    fn grant(&self, k: &mut K<'_, '_>, work: Work) -> Next<At> {
        let rseq = k.thread().rseq;

        if rseq.granted {
            note!(k, "in a grant: {:?}", phase(k));
            return Next::At(if work.intersects(k.config.deny() | Work::RESCHED) {
                At::Revoke
            } else {
                At::Keep
            });
        }
        if rseq.enabled == 0 || !rseq.user_irq {
            return Next::Done(false);
        }

        let other_work = work.intersects(k.config.deny());
        note!(
            k,
            "at_resched(): {}",
            if other_work {
                "other work"
            } else {
                "no other work"
            }
        );
        Next::At(At::Decide { other_work })
    }

    /// `rseq_syscall_enter_work()`, that is `enter()` of syscall.rs, and `violation()` up to
    /// `leave()`.
    fn enter(&self, k: &mut K<'_, '_>, _call: Call) -> Next<At> {
        // Thread::clear_syscall_work()
        k.thread_mut().syscall_work = false;

        let consistent = self.is_consistent(k);
        if !consistent {
            k.segv();
        }
        Next::At(At::Guard { consistent })
    }

    /// `rseq_slice_clear_grant()` of rseq_slice.h, then `user_updated()` of grant.rs.
    fn user_updated(&self, k: &mut K<'_, '_>) -> Next<At> {
        if !k.thread().rseq.granted {
            return Next::Done(false);
        }
        Next::At(At::UserUpdated)
    }

    /// `update_failed()` of grant.rs.
    fn update_failed(&self, k: &mut K<'_, '_>) -> Next<At> {
        if !k.thread().rseq.granted {
            return Next::Done(false);
        }
        Next::At(At::UpdateFailed)
    }

    fn resume(&self, k: &mut K<'_, '_>, at: At) -> Next<At> {
        match at {
            // at_resched(), decide()
            At::Decide { other_work } => {
                let layout = mode(k).layout();
                let verdict = match k.modify_word(layout.modification(other_work)) {
                    Ok(word) => {
                        k.check_word_at_decision(word);
                        Verdict::new(layout, word, other_work)
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
                    Next::At(At::RefuseLate)
                }
            }
            At::RefuseLate => {
                k.log.cover(Cover::REFUSED_LATE);
                note!(k, "refuses late");
                if k.erase_word().is_err() {
                    k.segv();
                }
                Next::Done(false)
            }
            At::Kill => {
                if k.thread().rseq.granted {
                    finish(k, Ending::Died);
                }
                let _ = k.erase_word();
                k.segv();
                Next::Done(false)
            }

            // keep()
            At::Keep => {
                if phase_with_grant(k) == Phase::Granted && k.may_grant() {
                    k.postpone_another(Work::LAZY);
                    Next::Done(true)
                } else {
                    Next::At(At::Revoke)
                }
            }

            // revoke()
            At::Revoke => {
                let layout = mode(k).layout();
                let checked = layout.checked_at_exit();
                let consistent = if checked == 0 || k.thread().rseq.hidden {
                    k.erase_word().is_ok()
                } else {
                    k.modify_word(Modify::ERASE).is_ok_and(|word| {
                        k.check_word_at_decision(word);
                        layout.is_consistent(word, true, checked)
                    })
                };
                Next::At(match Ending::at_revocation(consistent) {
                    Ending::Died => At::Kill,
                    how => At::Revoked { how },
                })
            }
            At::Revoked { how } => {
                finish(k, how);
                Next::Done(false)
            }

            // update_failed()
            At::UpdateFailed => {
                let _ = k.erase_word();
                Next::At(At::EndFailed)
            }
            At::EndFailed => {
                finish_and_resched(k, Ending::Revoked);
                Next::Done(false)
            }

            // user_updated()
            At::UserUpdated => {
                if phase_with_grant(k) == Phase::Granted {
                    let rseq = &mut k.thread_mut().rseq;
                    // Thread::spend()
                    rseq.switches = SPENT;
                    // Thread::hide_grant()
                    rseq.hidden = true;
                    k.set_need_resched(Site::Exit);
                } else {
                    finish(k, Ending::Revoked);
                }
                Next::Done(false)
            }

            // leave()
            At::Guard { consistent } => Next::At(At::Cancel { consistent }),
            At::Cancel { consistent } => {
                // timer::cancel()
                k.cancel();
                Next::At(At::Look { consistent })
            }
            At::Look { consistent } => {
                let call = match k.entry_call() {
                    Call::Yield => state::Call::Yield,
                    _ => state::Call::Other,
                };
                let phase = phase(k);
                note!(k, "leave(): {phase:?}");
                Next::At(match phase.at_syscall(call, consistent) {
                    None => At::DropEarly,
                    Some((how, resched)) => At::End { how, resched },
                })
            }
            At::End { how, resched } => {
                finish(k, how);
                if how == Ending::Yielded {
                    // Thread::set_yielded()
                    k.thread_mut().rseq.yielded = true;
                }
                Next::At(At::Request { resched })
            }
            At::Request { resched } => {
                if resched == Resched::Due {
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
    fn arm_timer(&self, k: &mut K<'_, '_>) -> bool {
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
        if phase_for_timer(k, slot) == Phase::Granted {
            k.count(Event::Expired);
            // Thread::spend()
            k.thread_mut().rseq.switches = SPENT;
            k.set_need_resched(Site::Expiry);
            // CurrentRseq::raise_work()
            k.thread_mut().work |= Work::RSEQ;
        }
    }

    /// `Thread::take_yielded()` of task.rs.
    fn take_yielded(&self, k: &mut K<'_, '_>) -> bool {
        core::mem::take(&mut k.thread_mut().rseq.yielded)
    }

    /// `call()`, `set()` and `write()` of prctl.rs.
    fn set_mode(&self, k: &mut K<'_, '_>, value: u8) -> Result<(), Errno> {
        let Some(Prctl::Set(to)) = Prctl::parse(abi::PR_SET, value.into()) else {
            return Err(Errno::Inval);
        };
        let from = mode(k);
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
            if !abi::flags_consistent(flags, from) {
                return Err(Errno::Fault);
            }
            if abi::erases_ctrl(from, to) {
                k.erase_word_surely();
            }
            Ok(())
        };
        write().inspect_err(|_| k.segv())?;
        // Thread::set_mode()
        k.thread_mut().rseq.enabled = to.enabled();
        Ok(())
    }

    /// `rseq_slice_fork()` of rseq_slice.h.
    fn fork(&self, child: &mut Rseq) {
        child.granted = false;
        child.hidden = false;
        child.timer = None;
        child.yielded = false;
    }

    /// `thread_exit()` of grant.rs.
    fn exit(&self, k: &mut K<'_, '_>) {
        if k.thread().rseq.granted {
            finish_and_resched(k, Ending::Died);
        }
    }
}
