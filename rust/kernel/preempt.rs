// SPDX-License-Identifier: GPL-2.0

//! Rescheduling of the current CPU.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h)

use crate::{
    bindings,
    interrupt::LocalInterruptDisabled, //
};

/// Requests a reschedule of the current thread.
///
/// It happens at the next preemption point, at the latest on the way to user mode. The request is
/// kept in two places, and an interrupt that reschedules must not see one without the other; so
/// interrupts are disabled.
///
/// # Examples
///
/// ```
/// use kernel::{
///     interrupt::local_interrupt_disable,
///     preempt::set_need_resched, //
/// };
///
/// let irq = local_interrupt_disable();
/// set_need_resched(&irq);
/// // The thread is rescheduled here if the kernel is preemptible.
/// drop(irq);
/// ```
#[inline]
pub fn set_need_resched(_irq: &LocalInterruptDisabled) {
    // SAFETY: Interrupts are disabled, which is the only precondition.
    unsafe { bindings::set_need_resched_current() };
}

/// Reschedules if that is due and the preemption model does not do so by itself.
///
/// Must be called from a context that may sleep, and so not under the RCU read side lock.
///
/// # Examples
///
/// ```
/// kernel::preempt::cond_resched();
/// ```
#[inline]
pub fn cond_resched() {
    // SAFETY: The context may sleep. To sleep elsewhere is a bug, but not one of memory safety.
    unsafe { bindings::cond_resched() };
}
