// SPDX-License-Identifier: GPL-2.0

use super::LocalInterruptDisabled;
use crate::{
    bindings,
    types::NotThreadSafe, //
};

/// Evidence that interrupts of the local CPU are enabled.
///
/// It is for hot paths that C enters with interrupts enabled.
/// [`local_interrupt_disable()`](super::local_interrupt_disable) saves the state of interrupts and
/// counts; where the state is known, [`with_disabled()`](Self::with_disabled) takes a single
/// instruction for each end of a section on most machines.
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
/// fn with_interrupts_disabled(_irq: &LocalInterruptDisabled) -> u32 {
///     42
/// }
///
/// // SAFETY: A doctest runs with interrupts enabled, and makes no other token.
/// let mut irqs = unsafe { LocalInterruptEnabled::assume_enabled() };
///
/// assert_eq!(irqs.with_disabled(|irq| with_interrupts_disabled(irq)), 42);
/// ```
pub struct LocalInterruptEnabled(NotThreadSafe);

impl LocalInterruptEnabled {
    /// Assumes that local interrupts are enabled.
    ///
    /// # Safety
    ///
    /// Local interrupts must be enabled. As long as the value exists, no other
    /// [`LocalInterruptDisabled`] may exist when [`with_disabled()`](Self::with_disabled) is
    /// called, and none that is made in its section may outlive the section.
    #[inline]
    pub unsafe fn assume_enabled() -> Self {
        // INVARIANT: Interrupts are enabled by the safety requirements, and `with_disabled()`
        // borrows the value while they are not.
        Self(NotThreadSafe)
    }

    /// Calls `section` with local interrupts disabled. The counterpart of C's `guard(irq)`.
    #[inline]
    pub fn with_disabled<R>(&mut self, section: impl FnOnce(&LocalInterruptDisabled) -> R) -> R {
        // SAFETY: Disabling interrupts has no preconditions.
        unsafe { bindings::local_irq_disable() };

        // SAFETY: Interrupts were just disabled, and are enabled again below.
        let result = section(unsafe { LocalInterruptDisabled::assume_disabled() });

        // SAFETY: By the type invariants interrupts were enabled before the section.
        unsafe { bindings::local_irq_enable() };
        result
    }
}
