// SPDX-License-Identifier: GPL-2.0

//! The system calls themselves, after their entry work.

use crate::{
    cover::Cover,
    ghost::GaveUp,
    kernel::{note, Kernel, Outcome},
    property::Broken,
    rules::Rules,
    thread::{Call, Pc, Place, Rseq, Thread, Work},
};

/// Executes `call`.
pub(crate) fn body<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>, call: Call) {
    k.thread_mut().pc = Pc::Return;
    if k.is(Outcome::Skip) {
        note!(k, "the call is skipped");
        k.log.cover(Cover::SKIPPED);
        return;
    }

    match call {
        Call::Yield => returns(rules, k),
        Call::Other => {}
        Call::Argument => unreachable!("a system call that is entered"),
        Call::Dispatched => {
            note!(k, "SIGSYS");
            k.thread_mut().work |= Work::SIGNAL;
        }
        Call::Prctl(value) => {
            let mode = k.thread().rseq.enabled;
            if k.thread().rseq.registered && rules.set_mode(k, value).is_ok() {
                k.log.cover(Cover::MODE_SET);
                note!(k, "mode {mode} becomes {}", k.thread().rseq.enabled);
            }
        }
        Call::Register { on } => register(k, on),
        Call::Unregister => {
            // rseq_reset_ids()
            if k.is(Outcome::Fault) {
                k.force_segv();
            } else {
                reset(rules, k);
            }
        }
        Call::Exec => reset(rules, k),
        Call::Fork { vm } => fork(rules, k, vm),
        Call::Exit => k.thread_mut().pc = Pc::Dying,
    }
}

/// `rseq_slice_yield(2)` returns.
fn returns<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>) {
    let gave_up = k.thread().ghost.gave_up;
    let result = rules.take_yielded(k);

    note!(k, "rseq_slice_yield() returns {}", u8::from(result));
    k.log.cover(if result {
        Cover::RETURNED_1
    } else {
        Cover::RETURNED_0
    });
    match (result, gave_up) {
        (true, GaveUp::Yes) => {}
        (true, GaveUp::No) => k.break_property(Broken::CLAIM_WITHOUT_GRANT),
        (true, GaveUp::Expired) => k.break_property(Broken::CLAIM_AFTER_EXPIRY),
        (true, GaveUp::Again) => k.break_property(Broken::CLAIM_AFTER_SWITCH),
        (true, GaveUp::ExpiredAgain) => k.break_property(Broken::CLAIM_AFTER_BOTH),
        (false, GaveUp::Yes) => k.break_property(Broken::UNREPORTED),
        (false, _) => {}
    }
    k.thread_mut().ghost.gave_up = GaveUp::No;
}

/// `rseq_register()`
fn register<A: Copy>(k: &mut Kernel<'_, '_, A>, on: bool) {
    if k.thread().rseq.registered || k.is(Outcome::Fault) {
        return;
    }

    k.erase_word_surely();
    let thread = k.thread_mut();
    thread.rseq.registered = true;
    thread.rseq.enabled = u8::from(on);
    // rseq_force_update()
    thread.rseq.ids_changed = true;
    thread.rseq.sched_switch = true;
    thread.work |= Work::RSEQ;
}

/// `rseq_reset()`
fn reset<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>) {
    k.log.cover(Cover::RESET);
    let thread = k.thread_mut();

    thread.rseq = rules.reset(thread.rseq);
    thread.word = 0;
    thread.leave_sequence();
    thread.ghost.gave_up = GaveUp::No;
    thread.ghost.forged = false;
    if thread.rseq != Rseq::RESET {
        k.break_property(Broken::NOT_RESET);
    }
}

/// `rseq_fork()` and `rseq_slice_fork()`
fn fork<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>, vm: bool) {
    let child_tid = k.tid.other();
    if !matches!(k.world.thread(child_tid).place, Place::Gone) {
        return;
    }

    let parent = *k.thread();
    let mut child = Thread {
        place: Place::Off(k.cpu()),
        pc: Pc::Return,
        by_irq: false,
        work: parent.work & Work::RSEQ,
        syscall_work: parent.syscall_work,
        rseq: parent.rseq,
        ..Thread::GONE
    };
    if vm {
        child.rseq = rules.reset(parent.rseq);
    } else {
        child.word = parent.word;
        child.inside = parent.inside;
        child.ghost.forged = parent.ghost.forged;
    }
    rules.fork(&mut child.rseq);

    k.log.cover(Cover::FORKED);
    if vm && child.rseq != Rseq::RESET {
        k.break_property(Broken::NOT_RESET);
    }
    let wrong = child.rseq.granted
        || child.rseq.yielded
        || (!vm && child.rseq.enabled != parent.rseq.enabled);
    if wrong {
        k.break_property(Broken::WRONG_CHILD);
    }
    if k.config.threads > 1 {
        if k.world
            .slots
            .iter()
            .any(|slot| slot.owner == Some(child_tid))
        {
            k.log.cover(Cover::REUSED);
        }
        *k.world.thread_mut(child_tid) = child;
    }
}
