// SPDX-License-Identifier: GPL-2.0

//! Interrupts.

use super::{exit::exit_prepare, sched::sched_switch_event};
use crate::{
    action::Cause,
    config::Config,
    cover::Cover,
    kernel::{note, Kernel, Log, Outcome},
    moment::Moment,
    rules::{is_preemptible, Rules},
    thread::{Cpu, Pc, Thread, Work},
    world::World,
};

/// An interrupt, until interrupts are enabled again. Returns whether it is possible.
pub(super) fn interrupt<R: Rules>(
    rules: &R,
    config: &Config,
    world: &mut World<R::At>,
    cpu: Cpu,
    cause: Cause,
    log: &mut Log<'_>,
    outcome: Outcome,
) -> bool {
    let Some(tid) = world.current(cpu) else {
        if let Cause::Timer(slot) = cause {
            ignored(world, log, cpu, slot);
            world.slots[slot.index()].base = None;
        }
        return true;
    };

    let mut k = Kernel::new(world, config, tid, log, outcome);
    let user = matches!(k.thread().pc, Pc::User);
    if user {
        enter_from_user_mode(k.thread_mut());
    }
    match cause {
        Cause::Timer(slot) => run_hrtimer(rules, &mut k, slot),
        Cause::Resched(work) => k.thread_mut().work |= work,
        // ipi_rseq()
        Cause::Membarrier => {
            k.thread_mut().must_restart();
            sched_switch_event(k.thread_mut());
        }
        Cause::Nothing => {}
    }

    if user {
        exit_prepare(&mut k);
    } else if is_preemptible::<R>(k.thread().pc) && k.thread().work.contains(Work::RESCHED) {
        // preempt_schedule_irq()
        let log = &k.log;
        match k.thread().pc {
            Pc::Grant(..) => log.cover(Cover::PREEMPTED_IN_DECISION),
            Pc::Entry(_) | Pc::Enter(..) => log.cover(Cover::PREEMPTED_IN_ENTRY),
            _ => {}
        }
        note!(k, "preempts the kernel");
        k.schedule();
    }
    k.is_possible()
}

/// `irqentry_enter_from_user_mode()`
pub(super) fn enter_from_user_mode<A>(thread: &mut Thread<A>) {
    thread.by_irq = true;
    thread.rseq.user_irq = true;
}

/// `__run_hrtimer()`
fn run_hrtimer<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>, slot: Cpu) {
    let before = (k.thread().work, k.thread().rseq.switches);

    if k.world.slots[slot.index()].expires < Moment::NOW {
        k.log.cover(Cover::FIRED_LATE);
    }
    k.fire(slot);
    rules.expired(k, slot);
    if before == (k.thread().work, k.thread().rseq.switches) {
        let cpu = k.cpu();
        ignored(k.world, k.log, cpu, slot);
    }
    k.world.slots[slot.index()].base = None;
}

fn ignored<A>(world: &World<A>, log: &mut Log<'_>, cpu: Cpu, slot: Cpu) {
    log.cover(Cover::IGNORED);
    if slot != cpu && world.slots[slot.index()].base == Some(cpu) {
        log.cover(Cover::IGNORED_MOVED);
    }
    if let Some(notes) = &mut log.notes {
        notes.push("no effect".into());
    }
}
