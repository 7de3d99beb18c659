// SPDX-License-Identifier: GPL-2.0

//! What the properties remember of a thread. No rule sees it.

use crate::moment::Moment;

/// The last grant of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Last {
    /// The thread was switched out since.
    pub(crate) out: bool,
    /// Its timer has asked for the reschedule.
    pub(crate) expired: bool,
}

/// How the CPU was given up in the last grant, as `rseq_slice_yield(2)` has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum GaveUp {
    /// Not by that call, or it told already.
    No,
    /// By the call.
    Yes,
    /// By the call, after the timer had asked for it.
    Expired,
    /// By the call, after the thread was switched out since the grant.
    Again,
    /// By the call, after both.
    ExpiredAgain,
}

/// What the properties remember of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ghost {
    /// The last grant, until the thread is in user mode without it.
    pub(crate) last: Option<Last>,
    /// A reschedule was postponed and the scheduler did not run since: the end of the bound.
    pub(crate) owed: Option<Moment>,
    /// Grants that were counted less the ends that were counted.
    pub(crate) open: i8,
    pub(crate) gave_up: GaveUp,
    /// The grant's part of the control word is not the kernel's: user space wrote it, or the kernel
    /// could not.
    pub(crate) forged: bool,
    /// It lied or faulted where that is punished, and there was no `SIGSEGV` yet.
    pub(crate) guilty: bool,
    /// It was taken out of a restartable sequence, which has to be restarted.
    pub(crate) restart: bool,
    /// It goes on at the first instruction of a signal handler, where nothing was interrupted.
    pub(crate) handler: bool,
    /// It left the kernel without a gate, with a grant after which it had been switched out.
    pub(crate) slipped: bool,
    /// An update of user space has failed since it entered the kernel.
    pub(crate) failed: bool,
    /// The update that is due, or under way, is one that the gate has forced.
    pub(crate) forced: bool,
}

impl Ghost {
    /// Of a thread that never had a grant.
    pub(crate) const NEW: Self = Self {
        last: None,
        owed: None,
        open: 0,
        gave_up: GaveUp::No,
        forged: false,
        guilty: false,
        restart: false,
        handler: false,
        slipped: false,
        failed: false,
        forced: false,
    };

    /// Counts a grant or an end. Beyond two a count does not get more wrong.
    pub(crate) fn count(&mut self, by: i8) {
        self.open = (self.open + by).clamp(-2, 2);
    }
}
