// SPDX-License-Identifier: GPL-2.0

//! The way to user mode: `include/linux/irq-entry-common.h`, `kernel/entry/common.c` and the part of
//! rseq in it.

use super::sequence;
use crate::{
    cover::Cover,
    kernel::{note, Kernel, Outcome},
    property::Broken,
    rules::{Next, Rules},
    thread::{Pc, Work},
};

/// Where `__exit_to_user_mode_loop()` continues after the reschedule.
pub(super) fn after_resched<A>(work: Work) -> Pc<A> {
    if work.contains(Work::SIGNAL) {
        Pc::Signals(work)
    } else if work.contains(Work::NOTIFY) {
        Pc::Notify
    } else {
        Pc::Bottom
    }
}

/// `arch_do_signal_or_restart()`
pub(super) fn signals<A: Copy>(k: &mut Kernel<'_, '_, A>, work: Work) {
    if k.is(Outcome::Die) {
        note!(k, "is killed");
        k.thread_mut().pc = Pc::Dying;
        return;
    }

    let thread = k.thread_mut();
    thread.pc = after_resched(work - Work::SIGNAL);
    if !thread.work.contains(Work::SIGNAL) {
        let _ = k.is(Outcome::Handle);
        return;
    }
    thread.work -= Work::SIGNAL;
    thread.segv = false;
    // futex_fixup_robust_unlock(), and rseq itself
    let interrupted = thread.by_irq && !thread.ghost.handler;
    let forgotten = interrupted && !thread.rseq.user_irq;
    // rseq_signal_deliver()
    let looks = thread.rseq.registered && thread.rseq.user_irq;
    if forgotten {
        k.break_property(Broken::MISSING_USER_IRQ);
    }
    if looks && k.is(Outcome::Fault) {
        // The sequence is not followed any further.
        k.thread_mut().leave_sequence();
        k.force_segv();
    } else if k.is(Outcome::Handle) {
        if looks {
            k.log.cover(Cover::SEQUENCE_AT_SIGNAL);
            let _ = sequence::look(k);
        }
        note!(k, "continues in a signal handler");
        let thread = k.thread_mut();
        let unrestarted = thread.inside && thread.by_irq;
        thread.leave_sequence();
        thread.ghost.handler = thread.by_irq;
        if unrestarted {
            k.break_property(Broken::UNRESTARTED);
        }
    }
}

/// `resume_user_mode_work()`, then `rseq_slowpath_update_usr()` up to where it enables interrupts.
pub(super) fn notify<A: Copy>(k: &mut Kernel<'_, '_, A>) {
    let thread = k.thread_mut();
    thread.work -= Work::NOTIFY;
    thread.pc = Pc::Bottom;

    let rseq = &mut thread.rseq;
    if rseq.slowpath {
        let event = rseq.sched_switch;
        rseq.sched_switch = false;
        rseq.ids_changed = false;
        rseq.slowpath = false;
        if event {
            thread.pc = Pc::SlowUpdate;
        }
    }
}

/// `__exit_to_user_mode_prepare()`, interrupts disabled.
pub(super) fn exit_prepare<A: Copy>(k: &mut Kernel<'_, '_, A>) {
    let work = k.thread().work;

    if work.is_empty() {
        leave(k);
    } else {
        exit_loop(k, work);
    }
}

/// `exit_to_user_mode_loop()` after it read `work`, interrupts disabled.
pub(super) fn exit_loop<A: Copy>(k: &mut Kernel<'_, '_, A>, work: Work) {
    k.thread_mut().pc = if work.intersects(Work::ANY_RESCHED) {
        Pc::Resched(work)
    } else if work.intersects(Work::LOOP) {
        after_resched(work)
    } else {
        Pc::Exit
    };
}

/// The end of `exit_to_user_mode_loop()`. Other CPUs may have set flags since it read them.
pub(super) fn exit<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>) {
    if restart(rules, k) {
        let work = k.thread().work;
        assert!(!work.is_empty(), "sent back to the exit loop without work");
        exit_loop(k, work);
    } else {
        leave(k);
    }
}

/// `rseq_exit_to_user_mode_restart()`
fn restart<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>) -> bool {
    let between = k.thread().work.contains(Work::RESCHED);

    // No other CPU sets this one.
    if k.thread().work.contains(Work::RSEQ) {
        if k.thread().rseq.sched_switch && !update(rules, k) {
            let thread = k.thread_mut();
            thread.rseq.slowpath = true;
            thread.work |= Work::NOTIFY;
            return true;
        }
        rules.clear_events(&mut k.thread_mut().rseq);
        k.thread_mut().work -= Work::RSEQ;
        k.thread_mut().ghost.forced = false;
    }

    let again = rules.arm_timer(k);
    if again {
        let thread = k.thread_mut();
        thread.ghost.forced = thread.rseq.sched_switch;
        k.log.cover(Cover::SENT_BACK);
        if between {
            k.log.cover(Cover::BETWEEN);
        }
        note!(k, "goes through the exit loop again");
    }
    again
}

/// `rseq_exit_user_update()`, page faults disabled.
fn update<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>) -> bool {
    if k.is(Outcome::Fault) {
        note!(k, "cannot update user space without a page fault");
        return false;
    }

    note!(k, "updates user space");
    k.erase_word_surely();
    let thread = k.thread();
    if thread.rseq.granted && thread.ghost.last.is_some_and(|last| !last.out) {
        k.log.cover(Cover::UPDATED);
    }
    let mut next = rules.user_updated(k);
    while let Next::At(at) = next {
        next = rules.resume(k, at);
    }

    if k.thread().rseq.ids_changed && sequence::is_skipped(k) {
        return true;
    }
    !k.is(Outcome::FaultLate) && sequence::look(k)
}

/// `SIGSEGV` of the slow path.
pub(super) fn update_failed<A: Copy>(k: &mut Kernel<'_, '_, A>) {
    let ghost = k.thread().ghost;

    if ghost.failed && ghost.forced {
        k.break_property(Broken::SIGSEGV_TWICE);
    }
    k.thread_mut().ghost.failed = true;
    k.force_segv();
}

/// `rseq_debug_syscall_return()`
pub(super) fn debug_call<A: Copy>(k: &mut Kernel<'_, '_, A>) {
    if !k.config.debug || !k.thread().rseq.registered {
        return;
    }

    if k.is(Outcome::Fault) {
        k.force_segv();
    } else if !sequence::look(k) {
        sequence::check_sigsegv(k);
        k.force_segv();
    }
}

/// Notes that a thread without work enters user mode with a grant whose reschedule has happened.
pub(super) fn leave_unchecked<A: Copy>(k: &mut Kernel<'_, '_, A>) {
    let thread = k.thread_mut();
    let out = thread.ghost.last.is_some_and(|last| last.out);

    if thread.work.is_empty() && thread.rseq.granted && out {
        thread.ghost.unchecked = true;
        k.log.cover(Cover::UNCHECKED);
    }
}

/// Back to user mode.
fn leave<A: Copy>(k: &mut Kernel<'_, '_, A>) {
    note!(k, "back in user mode");
    let thread = k.thread_mut();

    // rseq_irqentry_exit_to_user_mode()
    if thread.by_irq {
        thread.rseq.clear_events();
    }
    thread.ghost.failed = false;
    thread.pc = Pc::User;
}
