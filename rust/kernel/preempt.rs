// SPDX-License-Identifier: GPL-2.0

//! Preemption and rescheduling of the current CPU.
//!
//! C headers: [`include/linux/preempt.h`](srctree/include/linux/preempt.h),
//! [`include/linux/sched.h`](srctree/include/linux/sched.h)

use crate::{
    bindings,
    interrupt::LocalInterruptDisabled,
    types::NotThreadSafe, //
};

/// Evidence that preemption is disabled.
///
/// The thread that holds a guard stays on its CPU until it drops the guard, and is rescheduled then
/// if that became due in the meantime.
///
/// # Invariants
///
/// Preemption is disabled while instances of this guard exist.
///
/// # Examples
///
/// ```
/// use kernel::{
///     cpu::CpuId,
///     preempt, //
/// };
///
/// let guard = preempt::Guard::new();
/// let cpu = CpuId::current();
///
/// assert_eq!(cpu, CpuId::current());
/// drop(guard);
/// ```
#[must_use = "preemption is enabled again when the guard is dropped"]
pub struct Guard(NotThreadSafe);

impl Guard {
    /// Disables preemption.
    #[inline]
    pub fn new() -> Self {
        // SAFETY: Disabling preemption has no preconditions.
        unsafe { bindings::preempt_disable() };

        // INVARIANT: Preemption was just disabled, and only `drop()` enables it again.
        Self(NotThreadSafe)
    }
}

impl Default for Guard {
    #[inline]
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants this pairs with the `preempt_disable()` in `new()`.
        unsafe { bindings::preempt_enable() };
    }
}

/// Requests a reschedule of the current thread.
///
/// It takes place at the next preemption point, at the latest on the way to user mode. Interrupts
/// have to be disabled because the request is kept in two places, which an interrupt that
/// reschedules must not see apart.
#[inline]
pub fn set_need_resched(_irq: &LocalInterruptDisabled) {
    // SAFETY: Interrupts are disabled, which is all that the function requires.
    unsafe { bindings::set_need_resched_current() };
}

/// Withdraws a reschedule of the current thread, lazy or not.
///
/// Whoever withdraws a request has to see to it that the reschedule takes place in bounded time.
/// That includes a request which another CPU makes at the same time: it may be lost here.
///
/// Interrupts have to be disabled for the same reason as in [`set_need_resched()`].
#[inline]
pub fn clear_need_resched(_irq: &LocalInterruptDisabled) {
    // SAFETY: Interrupts are disabled, which is all that the function requires.
    unsafe { bindings::clear_need_resched_current() };
}

/// Withdraws a lazy reschedule of the current thread, and leaves any other in force.
///
/// As with [`clear_need_resched()`], the reschedule has to take place in bounded time.
#[inline]
pub fn clear_need_resched_lazy() {
    // SAFETY: An atomic bit operation on a flag of the current thread.
    unsafe { bindings::clear_need_resched_lazy_current() };
}

/// Reschedules if that is due and the preemption model does not do so by itself.
///
/// Must be called from a context that may sleep, and so not under the RCU read side lock.
#[inline]
pub fn cond_resched() {
    // SAFETY: No preconditions but those on the context, which cannot be expressed here.
    unsafe { bindings::cond_resched() };
}

/// Whether the current thread can be preempted here: preemption and interrupts are both enabled.
///
/// Always `false` on kernels without a preemption counter (`CONFIG_PREEMPT_COUNT`).
#[inline]
pub fn preemptible() -> bool {
    // SAFETY: Reading the preemption counter and the interrupt state has no preconditions.
    unsafe { bindings::preemptible() }
}

#[cfg(all(CONFIG_RUST_CPU_LOCAL_KUNIT_TEST, CONFIG_PREEMPT_COUNT))]
#[macros::kunit_tests(rust_preempt)]
mod tests {
    use super::*;

    #[test]
    fn preemption_is_off_until_the_last_guard_is_dropped() {
        assert!(preemptible());
        let outer = Guard::new();
        assert!(!preemptible());
        let inner = Guard::new();
        drop(inner);
        assert!(!preemptible());
        drop(outer);
        assert!(preemptible());
    }
}
