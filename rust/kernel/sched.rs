// SPDX-License-Identifier: GPL-2.0

//! Rescheduling of the current thread.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h)

use crate::{
    bindings,
    interrupt::LocalInterruptDisabled, //
};

/// Requests a reschedule of the current thread.
///
/// It happens at the next preemption point, at the latest on the way to user mode. `need_resched`
/// is kept in two places, and an interrupt that reschedules must not see one without the other. So
/// interrupts are disabled.
///
/// # Examples
///
/// ```
/// use kernel::{
///     interrupt::local_interrupt_disable,
///     sched::set_need_resched, //
/// };
///
/// let irq = local_interrupt_disable();
/// set_need_resched(&irq);
/// drop(irq);
/// ```
#[inline]
pub fn set_need_resched(_irq: &LocalInterruptDisabled) {
    // SAFETY: C disables interrupts for the token with every preemption model. That is the only
    // precondition.
    unsafe { bindings::set_need_resched_current() };
}

/// Reschedules if that is due and the preemption model does not do so by itself.
///
/// Must be called from a context that may sleep, and so not under the RCU read side lock. As for
/// every function of this crate that sleeps, the type system does not check that.
///
/// # Examples
///
/// ```
/// kernel::sched::cond_resched();
/// ```
#[inline]
pub fn cond_resched() {
    // SAFETY: There are no preconditions but those on the context.
    unsafe { bindings::cond_resched() };
}
