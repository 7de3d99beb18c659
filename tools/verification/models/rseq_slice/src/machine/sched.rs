// SPDX-License-Identifier: GPL-2.0

//! The scheduler and CPU hotplug.

use crate::{
    thread::{Cpu, Place, Thread, Tid, Work},
    world::World,
};

/// `rseq_sched_switch_event()`
pub(super) fn sched_switch_event<A>(thread: &mut Thread<A>) {
    let rseq = &mut thread.rseq;

    if rseq.registered && (rseq.user_irq || rseq.ids_changed) {
        rseq.sched_switch = true;
        thread.work |= Work::RSEQ;
        thread.ghost.forced = false;
    }
}

/// `__set_task_cpu()`
pub(super) fn migrate<A>(thread: &mut Thread<A>, cpu: Cpu) {
    thread.place = Place::Off(cpu);
    thread.rseq.ids_changed = true;
}

/// `sched_cpu_deactivate()` and what follows, down to `hrtimers_cpu_dying()`.
pub(super) fn unplug<A: Copy>(world: &mut World<A>) -> bool {
    let (dying, other) = (Cpu(1), Cpu(0));
    if world.current(dying).is_some() {
        return false;
    }

    for tid in Tid::ALL {
        let thread = world.thread_mut(tid);
        if thread.place == Place::Off(dying) {
            migrate(thread, other);
        }
    }
    for slot in &mut world.slots {
        if slot.base == Some(dying) {
            slot.base = Some(other);
        }
    }
    world.second_online = false;
    true
}
