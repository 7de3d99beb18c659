// SPDX-License-Identifier: GPL-2.0

use super::LocalInterruptDisabled;
use crate::{
    bindings,
    types::NotThreadSafe, //
};
use core::marker::PhantomData;

/// Evidence that interrupts of the local CPU are enabled.
///
/// It is for hot paths that C enters with interrupts enabled.
/// [`local_interrupt_disable()`](super::local_interrupt_disable) saves the state of interrupts and
/// counts; where the state is known, [`disable()`](Self::disable) is a single instruction on most
/// machines.
///
/// # Invariants
///
/// Local interrupts are enabled whenever an instance of this type is not borrowed.
///
/// # Examples
///
/// ```
/// use kernel::interrupt::{
///     LocalInterruptDisabled,
///     LocalInterruptEnabled, //
/// };
///
/// // SAFETY: A doctest runs with interrupts enabled, and makes no other token.
/// let mut irqs = unsafe { LocalInterruptEnabled::assume_enabled() };
///
/// let guard = irqs.disable();
/// let _: &LocalInterruptDisabled = guard.disabled();
/// drop(guard);
/// ```
pub struct LocalInterruptEnabled(NotThreadSafe);

impl LocalInterruptEnabled {
    /// Assumes that local interrupts are enabled.
    ///
    /// # Safety
    ///
    /// - Local interrupts must be enabled.
    /// - Until the returned value is gone, a [`LocalInterruptDisabled`] that is not this value's
    ///   must only live inside one of its guards or while there is none, and guards must be
    ///   dropped.
    #[inline]
    pub unsafe fn assume_enabled() -> Self {
        // INVARIANT: Interrupts are enabled by the safety requirements, and `disable()` borrows the
        // value while they are not.
        Self(NotThreadSafe)
    }

    /// Disables local interrupts until the guard is dropped.
    #[inline]
    pub fn disable(&mut self) -> LocalIrqGuard<'_> {
        // SAFETY: Disabling interrupts has no preconditions.
        unsafe { bindings::local_irq_disable() };

        // INVARIANT: Interrupts were just disabled. They were enabled before, by the type
        // invariants of `self`, which stays borrowed as long as the guard lives.
        LocalIrqGuard(PhantomData)
    }
}

/// A section with local interrupts disabled, which ends when the guard is dropped.
///
/// The counterpart of C's `guard(irq)`.
///
/// # Invariants
///
/// Local interrupts are disabled while an instance of this type exists, and were enabled before.
#[must_use = "interrupts are enabled again when the guard is dropped"]
pub struct LocalIrqGuard<'a>(PhantomData<&'a mut LocalInterruptEnabled>);

impl LocalIrqGuard<'_> {
    /// The proof for functions that must run with interrupts disabled.
    #[inline]
    pub fn disabled(&self) -> &LocalInterruptDisabled {
        // SAFETY: Interrupts are disabled as long as `self` is borrowed, by the type invariants.
        unsafe { LocalInterruptDisabled::assume_disabled() }
    }
}

impl Drop for LocalIrqGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: By the type invariants interrupts were enabled before the guard was made.
        unsafe { bindings::local_irq_enable() };
    }
}
