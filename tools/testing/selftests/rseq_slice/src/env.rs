// SPDX-License-Identifier: GPL-2.0

//! What a test has to know of the boot, and of how this program was called.

use crate::kernel::Kernel;

/// What each test gets. Made once, by main.
#[derive(Clone, Copy)]
pub(crate) struct Env {
    pub(crate) kernel: &'static Kernel,
    /// How many grants make a churn.
    pub(crate) grants: u64,
    lead: u64,
}

impl Env {
    pub(crate) fn new(kernel: Kernel, grants: u64) -> Self {
        /// Nanoseconds that a system call and a tick take, including side effects.
        const LEAD: u64 = 60_000;
        /// Long enough for the timers of other programs to fire first (they are armed again only when
        /// those programs run); for a kernel with checks; and for a competitor to get its order where
        /// only lazy reschedules are postponed, which takes several changes of its class.
        const LONG_LEAD: u64 = 400_000;
        Self {
            grants,
            lead: match kernel.disturbs() {
                false => LEAD,
                true => LONG_LEAD,
            },
            kernel: Box::leak(Box::new(kernel)),
        }
    }

    /// Nanoseconds until a competitor wakes: enough for the system call that arms its timer to return.
    pub(crate) const fn lead(self) -> u64 {
        self.lead
    }

    /// Whether lazy reschedules are the only ones that this kernel postpones. Setups and competitors
    /// then have classes for which lazy reschedules suffice.
    pub(crate) const fn only_lazy(self) -> bool {
        self.kernel.realtime
    }
}
