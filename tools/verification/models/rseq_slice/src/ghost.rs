// SPDX-License-Identifier: GPL-2.0

//! What the properties record of a thread. No rule reads it.

use crate::moment::Moment;

/// The last grant of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Last {
    /// The thread was scheduled out since.
    pub(crate) out: bool,
    /// Its timer has requested the reschedule.
    pub(crate) expired: bool,
}

/// How the CPU was given up in the last grant. `rseq_slice_yield(2)` has to report it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum GaveUp {
    /// Not by that call, or it is reported already.
    No,
    /// By the call.
    Yes,
    /// By the call, after the timer had requested it.
    Expired,
    /// By the call, after the thread was scheduled out since the grant.
    Again,
    /// By the call, after both.
    ExpiredAgain,
}

/// What the properties record of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// The last grant, until the thread is in user mode without it.
    pub(crate) last: Option<Last>,
    /// If a reschedule was postponed and the scheduler did not run since: its latest moment.
    pub(crate) postponed_until: Option<Moment>,
    /// The counted grants less the counted ends.
    pub(crate) open: i8,
    pub(crate) gave_up: GaveUp,
    /// The bits of the grant in the control word are not the kernel's: user space wrote them, or
    /// the kernel could not.
    pub(crate) forged: bool,
    /// There was a fault, or a violation where it is checked, and no `SIGSEGV` yet.
    pub(crate) sigsegv_due: bool,
    /// It is in a restartable sequence that has to be restarted.
    pub(crate) restart: bool,
    /// It continues at the first instruction of a signal handler.
    pub(crate) handler: bool,
    /// It left the kernel without the check at the end of the exit loop, with a grant that is spent.
    pub(crate) unchecked: bool,
    /// An update of user space has failed since it entered the kernel.
    pub(crate) failed: bool,
    /// The update that is due or running was forced at the end of the exit loop.
    pub(crate) forced: bool,
}

impl Ghost {
    /// For a thread that never had a grant.
    pub(crate) const NEW: Self = Self {
        last: None,
        postponed_until: None,
        open: 0,
        gave_up: GaveUp::No,
        forged: false,
        sigsegv_due: false,
        restart: false,
        handler: false,
        unchecked: false,
        failed: false,
        forced: false,
    };

    /// Counts a grant or an end, up to two.
    pub(crate) fn count(&mut self, by: i8) {
        self.open = (self.open + by).clamp(-2, 2);
    }
}
