// SPDX-License-Identifier: GPL-2.0

//! The decision on the way out of an interrupt: postpone the reschedule that is due, or not.

use super::{
    abi::{
        Layout,
        Modify, //
    },
    state::{
        Ending,
        Phase,
        Verdict, //
    },
    task::Thread,
    timer::SliceTimer, //
};
use kernel::{
    interrupt::{
        local_interrupt_disable,
        LocalInterruptEnabled, //
    },
    percpu::PerCpu,
    rseq::{
        slice::{
            self,
            ExitToUser,
            SliceStat, //
        },
        trace::{
            self,
            Refusal, //
        }, //
    },
    sched::set_need_resched,
    time::{
        Delta,
        Instant, //
    }, //
};

/// Decides on the reschedule that `thread`, which has no grant, is about to do before it returns to
/// user mode.
///
/// `deny` are the work flags that deny a grant. Returns whether the reschedule is postponed. May
/// sleep.
pub(crate) fn at_resched(
    thread: Thread,
    exit: ExitToUser,
    deny: usize,
    irqs: LocalInterruptEnabled,
    timers: PerCpu<SliceTimer>,
) -> bool {
    let work = exit.work() & denied_by(deny);

    // One instance of `decide()` each, in which the masks of the word are constants.
    let verdict = match (thread.mode().layout(), work) {
        (Layout::Bytes, 0) => decide(&thread, Layout::Bytes, 0),
        (Layout::Bytes, _) => decide(&thread, Layout::Bytes, work),
        (Layout::Bits, 0) => decide(&thread, Layout::Bits, 0),
        (Layout::Bits, _) => decide(&thread, Layout::Bits, work),
    };

    match verdict {
        Verdict::Grant => return make(thread, exit, irqs, timers),
        Verdict::Refuse => {}
        Verdict::Kill => kill(thread),
    }

    false
}

/// The work flags that deny a grant, by the policy: `deny`, or an urgent reschedule as well.
fn denied_by(deny: usize) -> usize {
    if slice::ext_lazy_only() {
        deny | slice::NEED_RESCHED
    } else {
        deny
    }
}

/// Modifies the control word of `thread` and decides by what was in it. Any `work` denies a grant.
#[inline(always)]
fn decide(thread: &Thread, layout: Layout, work: usize) -> Verdict {
    let other_work = work != 0;
    let Modify { need, clear, set } = layout.modification(other_work);

    let Ok(word) = thread.slice_ctrl().modify_user_u32(need, clear, set) else {
        return Verdict::Kill;
    };
    let verdict = Verdict::new(layout, word, other_work);

    if other_work && verdict == Verdict::Refuse {
        trace::refuse(word & layout.request() != 0, Refusal::Work(work));
    }
    verdict
}

/// Makes the grant that the control word already shows. Returns whether that was possible.
///
/// A grant is made in one section with interrupts disabled: an interrupt comes before all of it or
/// after all of it. After the section the timer may fire, in the kernel as well as in user mode,
/// and the thread may be scheduled out. Neither gets it to user mode with a grant that no timer
/// bounds: after a switch, rseq's update of user space revokes the grant, and at the end of the
/// exit loop `rseq_arm_slice_extension_timer()` sends a spent grant through the loop again.
///
/// The timer is started before the deferred programming of the clock event device, so that the
/// device is programmed once.
///
/// Not inlined, so that a refusal does not save registers for it.
#[inline(never)]
fn make(
    thread: Thread,
    exit: ExitToUser,
    mut irqs: LocalInterruptEnabled,
    timers: PerCpu<SliceTimer>,
) -> bool {
    let lazy_only = slice::ext_lazy_only();
    let refusal = irqs.with_disabled(|irq| {
        // After a switch the reschedule has happened, and the update of user space that follows
        // will erase the control word. A reschedule that is due now is a new one.
        if thread.sched_switch() {
            return Some(Refusal::Switched);
        }
        if !exit.postpone_resched(lazy_only, irq) {
            return Some(Refusal::Cpu);
        }

        let timer = timers.this_cpu();
        let now = Instant::fast_now();
        let length = Delta::from_nanos(slice::ext_nsecs().into());
        let end = now.saturating_add(length);

        SliceStat::Granted.inc();
        thread.begin(now, timer.get(), irq);
        thread.set_syscall_work();
        trace::grant(&thread, end);
        timer.start(end);
        if !lazy_only {
            exit.postpone_hrtick(end, irq);
        }
        exit.rearm_deferred(irq);
        None
    });

    if let Some(why) = refusal {
        refuse_late(thread, why);
        return false;
    }
    true
}

/// Refuses a request that the control word already shows as granted.
///
/// Not inlined, because it is rare.
#[cold]
#[inline(never)]
fn refuse_late(thread: Thread, why: Refusal) {
    trace::refuse(true, why);

    if thread.slice_ctrl().put_user_u32(0).is_err() {
        thread.force_sigsegv();
    }
}

/// Postpones another lazy reschedule during the grant of `thread`. Returns whether that was
/// possible.
///
/// A tick soon after the end of the time slice requests the postponed reschedule again, lazily. The
/// grant goes on until its timer fires.
pub(crate) fn keep(thread: Thread, exit: ExitToUser, mut irqs: LocalInterruptEnabled) -> bool {
    irqs.with_disabled(|irq| {
        let kept = thread.phase_with_grant() == Phase::Granted && exit.postpone_resched(true, irq);

        if kept {
            exit.rearm_deferred(irq);
        }
        kept
    })
}

/// Revokes the grant of `thread`, which is about to reschedule before it returns to user mode. May
/// sleep.
pub(crate) fn revoke(thread: Thread) {
    let layout = thread.mode().layout();
    let checked = layout.checked_at_exit();
    let ctrl = thread.slice_ctrl();

    let consistent = if checked == 0 || !thread.shows_grant() {
        ctrl.put_user_u32(0).is_ok()
    } else {
        let Modify { need, clear, set } = Modify::ERASE;

        ctrl.modify_user_u32(need, clear, set)
            .is_ok_and(|word| layout.is_consistent(word, true, checked))
    };

    match Ending::at_revocation(consistent) {
        Ending::Died => kill(thread),
        ending => finish(&thread, ending),
    }
}

/// Sends `SIGSEGV` to a thread after a violation or a fault, and ends its grant if it has one.
///
/// Not inlined, because it is rare.
#[cold]
#[inline(never)]
fn kill(thread: Thread) {
    if thread.has_grant() {
        finish(&thread, Ending::Died);
    }
    // The decision may have turned a request in an inconsistent word into a grant.
    let _ = thread.slice_ctrl().put_user_u32(0);
    thread.force_sigsegv();
}

/// Ends the grant of `thread`, and counts and traces how.
pub(crate) fn finish(thread: &Thread, how: Ending) {
    thread.end();

    let (stat, name) = match how {
        Ending::Yielded => (SliceStat::Yielded, c"yielded"),
        Ending::Aborted => (SliceStat::Aborted, c"aborted"),
        Ending::Revoked => (SliceStat::Revoked, c"revoked"),
        Ending::Died => (SliceStat::Died, c"died"),
    };
    stat.inc();
    trace::end(thread, name);
}

/// Ends the grant of `thread` where no reschedule follows: requests the postponed one if it is
/// still due.
pub(crate) fn finish_and_resched(thread: &Thread, how: Ending) {
    let irq = local_interrupt_disable();

    if thread.phase_with_grant() == Phase::Granted {
        set_need_resched(&irq);
    }
    finish(thread, how);
}

/// Revokes the grant of a thread after an update of user space erased the control word.
///
/// In most cases the thread was scheduled out. If not, for example when `membarrier(2)` requested
/// the update, the postponed reschedule is still due. This requests it, and it revokes the grant as
/// after an expiry. Until then there is no other grant.
#[cold]
pub(crate) fn user_updated(thread: Thread) {
    let irq = local_interrupt_disable();

    if thread.phase_with_grant() == Phase::Granted {
        thread.spend(&irq);
        thread.hide_grant();
        set_need_resched(&irq);
    } else {
        finish(&thread, Ending::Revoked);
    }
}

/// Revokes the grant, if any, of a thread that gets a `SIGSEGV` because rseq could not update its
/// `struct rseq`. May sleep.
///
/// With the grant alive, the end of the exit loop would try the update again, and send another
/// `SIGSEGV` before the handler of the first one has run.
///
/// Unlike in [`user_updated()`] the grant ends before its reschedule. Otherwise the scheduler could
/// pick the thread again before that, and the end of the exit loop would force another update. No
/// other grant comes before the reschedule, because a pending signal denies it, and the reschedule
/// comes before the handler of the signal. If the update that follows fails again, the thread gets
/// a second signal, as after any other revocation. The second one kills, unless the handler runs
/// with `SA_NODEFER`.
#[cold]
pub(crate) fn update_failed(thread: Thread) {
    if !thread.has_grant() {
        return;
    }
    // A fault needs no signal of its own.
    let _ = thread.slice_ctrl().put_user_u32(0);

    finish_and_resched(&thread, Ending::Revoked);
}

/// Ends the grant, if any, of a thread that exits. The postponed reschedule is requested, because
/// the exit can take long.
pub(crate) fn thread_exit(thread: Thread) {
    if thread.has_grant() {
        finish_and_resched(&thread, Ending::Died);
    }
}
