// SPDX-License-Identifier: GPL-2.0

//! The way to user mode: `include/linux/irq-entry-common.h`, `kernel/entry/common.c` and rseq's part
//! of it.

use crate::{
    cover::Cover,
    kernel::{note, Kernel, Outcome},
    rules::{Next, Rules},
    thread::{Pc, Thread, Work},
};

/// Where `__exit_to_user_mode_loop()` goes on after the reschedule.
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
    // rseq_signal_deliver() reads user memory.
    if thread.rseq.registered && thread.rseq.user_irq && k.is(Outcome::Fault) {
        k.force_segv();
    } else if k.is(Outcome::Handle) {
        note!(k, "goes on in a signal handler");
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
pub(super) fn exit_prepare<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>) {
    let work = k.thread().work;

    if work.is_empty() {
        leave(k);
    } else {
        exit_loop(rules, k, work);
    }
}

/// `exit_to_user_mode_loop()`, interrupts disabled, up to where it enables them or leaves.
pub(super) fn exit_loop<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>, mut work: Work) {
    loop {
        if work.intersects(Work::LOOP) {
            k.thread_mut().pc = if work.intersects(Work::ANY_RESCHED) {
                Pc::Resched(work)
            } else {
                after_resched(work)
            };
            return;
        }
        if !restart(rules, k, work) {
            leave(k);
            return;
        }
        work = k.thread().work;
        assert!(!work.is_empty(), "sent back to the exit loop without work");
    }
}

/// `rseq_exit_to_user_mode_restart()`
fn restart<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>, work: Work) -> bool {
    if work.contains(Work::RSEQ) {
        if k.thread().rseq.sched_switch && !update(rules, k) {
            let thread = k.thread_mut();
            thread.rseq.slowpath = true;
            thread.work |= Work::NOTIFY;
            return true;
        }
        clear_events(k.thread_mut());
        k.thread_mut().work -= Work::RSEQ;
    }

    let again = rules.gate(k);
    if again {
        k.log.cover(Cover::SENT_BACK);
        note!(k, "is sent back into the exit loop");
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
    let mut next = rules.updated(k);
    while let Next::At(at) = next {
        next = rules.resume(k, at);
    }
    // The critical section.
    !k.is(Outcome::FaultLate)
}

fn clear_events<A>(thread: &mut Thread<A>) {
    thread.rseq.sched_switch = false;
    thread.rseq.ids_changed = false;
    thread.rseq.user_irq = false;
}

/// Back to user mode.
fn leave<A: Copy>(k: &mut Kernel<'_, '_, A>) {
    note!(k, "back in user mode");
    let thread = k.thread_mut();

    // rseq_irqentry_exit_to_user_mode()
    if thread.by_irq {
        clear_events(thread);
    }
    thread.pc = Pc::User;
}
