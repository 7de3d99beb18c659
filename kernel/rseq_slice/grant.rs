// SPDX-License-Identifier: GPL-2.0

//! The decision on the way out of an interrupt: postpone the reschedule that is due, or not.

use super::{
    abi::{ByteOrder, Layout, Update},
    cpu,
    knobs,
    state::{Ending, Grant, Phase, Plan, Verdict},
    stats::{self, Event},
    task::Thread,
    timer, //
};
use kernel::{
    interrupt::{local_interrupt_disable, LocalInterruptEnabled},
    preempt,
    time::{
        hrtimer,
        Instant, //
    }, //
};

/// Decides on the reschedule that `thread`, which has no grant, is about to do before it returns to
/// user mode.
///
/// `work` are its work flags, `deny` those that forbid a grant. Returns whether the reschedule is
/// postponed. May sleep.
#[inline]
pub(crate) fn at_resched(
    thread: Thread,
    work: usize,
    deny: usize,
    irqs: LocalInterruptEnabled,
) -> bool {
    let other_work = work & deny != 0;
    let decide = |plan| match thread.choice().layout() {
        Layout::Bytes => decide(thread, plan, Layout::Bytes, work, irqs),
        Layout::Bits => decide(thread, plan, Layout::Bits, work, irqs),
    };

    // One copy of what follows for each plan and layout, the constants of which then cost nothing.
    if other_work {
        decide(Plan::new(true))
    } else {
        decide(Plan::new(false))
    }
}

/// Takes the grant of `thread` back, which is about to reschedule before it returns to user mode.
/// May sleep.
#[inline]
pub(crate) fn take_back(thread: Thread) {
    let layout = thread.choice().layout();
    let truthful = if layout.checked_at_revocation() && thread.shows_grant() {
        let Update { need, clear, set } = Update::ERASE;

        thread
            .ctrl()
            .update_u32(need, clear, set)
            .is_ok_and(|word| layout.truthful(ByteOrder::NATIVE, word, true))
    } else {
        thread.ctrl().put_u32(0).is_ok()
    };

    match Ending::taken_back(truthful) {
        Ending::Died => kill(thread),
        ending => end(&thread, ending),
    }
}

/// Updates the control word of `thread` as planned, and does what that leads to.
#[inline(always)]
fn decide(
    thread: Thread,
    plan: Plan,
    layout: Layout,
    work: usize,
    irqs: LocalInterruptEnabled,
) -> bool {
    let update = plan.update(layout, ByteOrder::NATIVE);

    let verdict = match thread
        .ctrl()
        .update_u32(update.need, update.clear, update.set)
    {
        Ok(word) => plan.judge(layout, ByteOrder::NATIVE, word),
        Err(_) => Verdict::Kill,
    };

    match verdict {
        Verdict::Grant => return make(thread, work, irqs),
        Verdict::Refuse => {}
        Verdict::Kill => kill(thread),
    }

    false
}

/// Ends the grant of a thread that lied or whose control word is not accessible, and the thread.
#[cold]
#[inline(never)]
fn kill(thread: Thread) {
    if thread.has_grant() {
        end(&thread, Ending::Died);
    }
    // In decide() the update may have turned a request that came with a lie into a grant.
    let _ = thread.ctrl().put_u32(0);
    thread.segv();
}

/// Takes a grant back that the control word shows but that could not be made.
#[cold]
#[inline(never)]
fn withdraw(thread: Thread) -> bool {
    if thread.ctrl().put_u32(0).is_err() {
        thread.segv();
    }

    false
}

/// Makes the grant that the control word already shows. Returns whether that was possible.
///
/// Everything that makes up a grant stands in one section with interrupts disabled: an interrupt
/// comes before all of it or after all of it. From its end on the timer may fire, in the kernel as
/// well as in user mode, and the thread may be switched out. Neither gets it to user mode with a
/// grant that no timer bounds: rseq's update of user space revokes after a switch, and the gate at
/// the end of the exit loop sends what is left through the loop again.
///
/// The timer is started before the interrupt's deferred programming of the clock event device is
/// carried out, so that one programming serves both.
///
/// Not a part of its caller, which has few instructions to spend on a refusal.
#[inline(never)]
fn make(thread: Thread, work: usize, mut irqs: LocalInterruptEnabled) -> bool {
    let guard = irqs.disable();
    let irq = guard.disabled();

    if !Grant::possible(thread.scheduled_out(), || cpu::may_grant(irq)) {
        drop(guard);
        return withdraw(thread);
    }

    // CAST: An `Instant` is not negative.
    let now = Instant::fast_now().as_nanos() as u64;
    let grant = Grant::new(now, knobs::length(), thread.switches());

    stats::count(Event::Granted);
    thread.begin(grant, irq);
    thread.watch_syscall();
    if cfg!(CONFIG_PREEMPT_RT) {
        // Another request, should one have arrived by now, stays and revokes.
        preempt::clear_need_resched_lazy();
    } else {
        preempt::clear_need_resched(irq);
    }
    timer::arm(&thread, grant, irq);
    hrtimer::rearm_deferred(irq, work);

    true
}

/// Ends the grant of `thread`.
#[inline]
pub(crate) fn end(thread: &Thread, how: Ending) {
    thread.end();
    stats::count(Event::Ended(how));
}

/// Revokes the grant of a thread that gets a `SIGSEGV` because its `struct rseq` could not be
/// updated, be that for what is in it or because it is not accessible. May sleep.
///
/// The grant does not last until its reschedule, unlike in [`revoke()`]: the scheduler may pick the
/// thread again before that one, and the gate would force another update. There is no other grant
/// before the reschedule, as a signal that is pending forbids it. The reschedule comes before the
/// signal's handler. If the update that follows fails again, the thread gets a second signal, as
/// after any other revocation, which kills unless the handler leaves the signal open.
#[cold]
pub(crate) fn erase_and_revoke(thread: Thread) {
    // If the word is not accessible either, the signal says so.
    let _ = thread.ctrl().put_u32(0);

    let irq = local_interrupt_disable();
    if thread.phase_with_grant() == Phase::Granted {
        preempt::set_need_resched(&irq);
    }
    end(&thread, Ending::Revoked);
}

/// Revokes a grant after an update of user space erased the control word.
///
/// Mostly the thread was switched out. If it was not, as when `membarrier(2)` asks for the update,
/// the reschedule that was postponed is still due. It is asked for, and the grant ends where it is
/// done, as after an expiry: until then there is no other one.
#[cold]
pub(crate) fn revoke(thread: Thread) {
    let irq = local_interrupt_disable();

    if thread.phase_with_grant() == Phase::Granted {
        thread.spend(&irq);
        thread.hide_grant();
        preempt::set_need_resched(&irq);
    } else {
        end(&thread, Ending::Revoked);
    }
}
