// SPDX-License-Identifier: GPL-2.0

//! Counters of what becomes of requests, shown in debugfs `rseq/stats`.
//!
//! They are the fields of C's per-CPU `rseq_stats`. Without `CONFIG_RSEQ_STATS` nothing is counted.

use super::state::Ending;

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    /// A grant was made.
    Granted,
    /// The timer of a live grant fired. Its end is counted apart.
    Expired,
    /// A grant ended.
    Ended(#[cfg_attr(not(CONFIG_RSEQ_STATS), expect(dead_code))] Ending),
}

/// Counts `event` on this CPU.
#[inline]
pub(crate) fn count(event: Event) {
    #[cfg(CONFIG_RSEQ_STATS)]
    {
        use core::mem::offset_of;
        use kernel::{bindings::rseq_stats, percpu};

        let field = match event {
            Event::Granted => offset_of!(rseq_stats, s_granted),
            Event::Expired => offset_of!(rseq_stats, s_expired),
            Event::Ended(Ending::Yielded) => offset_of!(rseq_stats, s_yielded),
            Event::Ended(Ending::Aborted) => offset_of!(rseq_stats, s_aborted),
            Event::Ended(Ending::Revoked) => offset_of!(rseq_stats, s_revoked),
            Event::Ended(Ending::Died) => offset_of!(rseq_stats, s_died),
        };
        let counter = (&raw mut rseq_stats).wrapping_byte_add(field).cast();

        // SAFETY: `rseq_stats` is per-CPU data of C, and the field is an `unsigned long` of it.
        unsafe { percpu::this_cpu_inc(counter) };
    }

    #[cfg(not(CONFIG_RSEQ_STATS))]
    let _ = event;
}
