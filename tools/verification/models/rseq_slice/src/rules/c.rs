// SPDX-License-Identifier: GPL-2.0

//! The C implementation of Linux 7.3: the decisions of kernel/rseq.c and
//! include/linux/rseq_entry.h, in their order.

use crate::{
    cover::Cover,
    kernel::{note, Event, Kernel, Site},
    moment::Moment,
    rules::{Errno, Next, Rules},
    state::Ending,
    thread::{Call, Cpu, Rseq, Work},
};

/// The C implementation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct C;

/// The steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum At {
    // __rseq_grant_slice_extension()
    Access { granted: bool, denied: bool },
    Refuse,
    SetGranted,
    SetExpires,
    Postpone,

    // rseq_syscall_enter_work()
    Guard,
    Cancel,
    Check,
    Drop,
    Clear,
    Erase,

    // rseq_slice_clear_grant() of the slow path
    Updated,
}

type K<'a, 'l> = Kernel<'a, 'l, At>;

const REQUEST: u32 = u32::from_ne_bytes([0xff, 0, 0, 0]);
const GRANT_MASK: u32 = u32::from_ne_bytes([0, 0xff, 0, 0]);
const GRANTED: u32 = u32::from_ne_bytes([0, 1, 0, 0]);

/// `rseq_slice_clear_grant()`
fn clear_grant(k: &mut K<'_, '_>) {
    if k.thread().rseq.granted {
        k.count(Event::Ended(Ending::Revoked));
    }
    k.store_granted(false);
}

impl Rules for C {
    type At = At;

    fn is_preemptible(at: At) -> bool {
        !matches!(at, At::Cancel | At::Check | At::Drop)
    }

    /// `__rseq_grant_slice_extension()`
    fn grant(&self, k: &mut K<'_, '_>, work: Work) -> Next<At> {
        let rseq = k.thread().rseq;
        let enabled = rseq.enabled != 0 && rseq.user_irq;
        if !enabled && !rseq.granted {
            return Next::Done(false);
        }
        Next::At(At::Access {
            granted: rseq.granted,
            denied: work.intersects(k.config.deny()),
        })
    }

    /// `rseq_syscall_enter_work()`
    fn enter(&self, k: &mut K<'_, '_>, _call: Call) -> Next<At> {
        let granted = k.thread().rseq.granted;

        k.thread_mut().syscall_work = false;
        if k.config.debug {
            let expected = if granted { GRANTED } else { 0 };
            if !k.get_word().is_ok_and(|word| word == expected) {
                k.segv();
            }
        }
        if granted {
            Next::At(At::Guard)
        } else {
            Next::Done(false)
        }
    }

    fn user_updated(&self, _: &mut K<'_, '_>) -> Next<At> {
        Next::At(At::Updated)
    }

    fn update_failed(&self, _: &mut K<'_, '_>) -> Next<At> {
        Next::Done(false)
    }

    fn resume(&self, k: &mut K<'_, '_>, at: At) -> Next<At> {
        match at {
            At::Access { granted, denied } => {
                if denied || granted {
                    if k.erase_word().is_err() {
                        k.segv();
                        return Next::Done(false);
                    }
                    return Next::At(At::Refuse);
                }
                let Ok(word) = k.get_word() else {
                    k.segv();
                    return Next::Done(false);
                };
                if word & REQUEST == 0 {
                    return Next::Done(false);
                }
                let thread = k.thread_mut();
                thread.word = (word & !REQUEST & !GRANT_MASK) | GRANTED;
                thread.ghost.forged = false;
                note!(k, "request seen");
                Next::At(At::SetGranted)
            }
            At::Refuse => {
                clear_grant(k);
                Next::Done(false)
            }
            At::SetGranted => {
                k.count(Event::Granted);
                k.store_granted(true);
                note!(k, "granted");
                Next::At(At::SetExpires)
            }
            At::SetExpires => {
                let expires = k.extension_end();
                k.thread_mut().rseq.expires = Some(expires);
                Next::At(At::Postpone)
            }
            At::Postpone => {
                let bound = k.thread().rseq.expires.unwrap_or(Moment::NOW);
                k.log.cover(Cover::GRANTED);
                k.clear_need_resched(Work::ANY_RESCHED, bound);
                Next::Done(true)
            }

            At::Guard => Next::At(At::Cancel),
            At::Cancel => {
                let tid = k.tid;
                if k.slot().owner == Some(tid) {
                    k.cancel();
                }
                Next::At(At::Check)
            }
            At::Check => {
                if !k.thread().rseq.sched_switch {
                    k.set_need_resched(Site::Entry);
                    if k.entry_call() == Call::Yield {
                        k.count(Event::Ended(Ending::Yielded));
                        k.thread_mut().rseq.yielded = true;
                    } else {
                        k.count(Event::Ended(Ending::Aborted));
                    }
                }
                Next::At(At::Drop)
            }
            At::Drop => {
                k.preempt_enable();
                Next::At(At::Clear)
            }
            At::Clear => {
                k.store_granted(false);
                Next::At(At::Erase)
            }
            At::Erase => {
                if k.erase_word().is_err() {
                    k.segv();
                }
                Next::Done(false)
            }

            At::Updated => {
                clear_grant(k);
                Next::Done(false)
            }
        }
    }

    fn clear_events(&self, rseq: &mut Rseq) {
        rseq.clear_events();
    }

    /// `rseq_arm_slice_extension_timer()`
    fn arm_timer(&self, k: &mut K<'_, '_>) -> bool {
        if !k.thread().rseq.granted {
            return false;
        }
        let expires = k.thread().rseq.expires.unwrap_or(Moment::NOW);
        if expires < Moment::NOW {
            k.set_need_resched(Site::Exit);
            return true;
        }
        k.arm(expires);
        k.thread_mut().syscall_work = true;
        false
    }

    /// `rseq_slice_expired()`
    fn expired(&self, k: &mut K<'_, '_>, slot: Cpu) {
        let owner = k.world.slots[slot.index()].owner;

        if owner == Some(k.tid) && k.thread().rseq.granted {
            k.count(Event::Expired);
            k.set_need_resched(Site::Expiry);
        }
    }

    fn take_yielded(&self, k: &mut K<'_, '_>) -> bool {
        core::mem::take(&mut k.thread_mut().rseq.yielded)
    }

    /// `rseq_slice_extension_prctl()`
    fn set_mode(&self, k: &mut K<'_, '_>, value: u8) -> Result<(), Errno> {
        if value & !1 != 0 {
            return Err(Errno::Inval);
        }
        if k.thread().rseq.enabled == value {
            return Ok(());
        }
        if k.access_flags().is_err() || k.flags_are_forged() {
            k.segv();
            return Err(Errno::Fault);
        }
        k.thread_mut().rseq.enabled = value;
        Ok(())
    }

    fn fork(&self, _: &mut Rseq) {}

    fn exit(&self, _: &mut K<'_, '_>) {}
}
