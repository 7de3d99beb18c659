// SPDX-License-Identifier: GPL-2.0

//! What the CPU itself has against grants.

use kernel::{bindings, interrupt::LocalInterruptDisabled};

/// Whether this CPU may grant extensions.
///
/// It may not where the timer would not end them in time, nor where a thread that stays in user
/// mode for longer than the scheduler wants hurts somebody who never asked.
#[inline]
pub(crate) fn may_grant(_irq: &LocalInterruptDisabled) -> bool {
    // SAFETY: Interrupts are disabled, so the CPU stays the same, which is all that is required.
    unsafe { bindings::rseq_slice_cpu_may_grant() }
}
