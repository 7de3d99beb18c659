// SPDX-License-Identifier: GPL-2.0

//! What the kernel's counters say about a stretch of a test.

use anyhow::{Result, ensure};
use rseq_slice::Counters;

/// An expected change of the counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) granted: u64,
    pub(crate) expired: u64,
    pub(crate) revoked: u64,
    pub(crate) yielded: u64,
    pub(crate) aborted: u64,
    pub(crate) died: u64,
}

impl Tally {
    /// Nothing happened.
    pub(crate) const NOTHING: Self = Self {
        granted: 0,
        expired: 0,
        revoked: 0,
        yielded: 0,
        aborted: 0,
        died: 0,
    };

    /// This many grants, all yielded.
    pub(crate) const fn yields(count: u64) -> Self {
        Self {
            granted: count,
            yielded: count,
            ..Self::NOTHING
        }
    }

    /// This many grants, all ended by system calls.
    pub(crate) const fn aborts(count: u64) -> Self {
        Self {
            granted: count,
            aborted: count,
            ..Self::NOTHING
        }
    }

    /// This many grants, all taken back before their time.
    pub(crate) const fn revokes(count: u64) -> Self {
        Self {
            granted: count,
            revoked: count,
            ..Self::NOTHING
        }
    }

    /// This many grants, all expired in user mode.
    pub(crate) const fn expiries(count: u64) -> Self {
        Self {
            expired: count,
            ..Self::revokes(count)
        }
    }

    /// This many grants, all ended with their threads before their time.
    pub(crate) const fn deaths(count: u64) -> Self {
        Self {
            granted: count,
            died: count,
            ..Self::NOTHING
        }
    }

    /// Every grant ended in exactly one way.
    pub(crate) const fn adds_up(&self) -> bool {
        self.granted == self.yielded + self.aborted + self.revoked + self.died
    }
}

/// The counters at some moment.
pub(crate) struct Ledger(Counters);

impl Ledger {
    /// Opens a stretch.
    pub(crate) fn open() -> Result<Self> {
        Ok(Self(Counters::read()?))
    }

    /// What happened since the stretch was opened.
    pub(crate) fn tally(&self) -> Result<Tally> {
        let delta = Counters::read()? - self.0;
        Ok(Tally {
            granted: delta.granted,
            expired: delta.expired,
            revoked: delta.revoked,
            yielded: delta.yielded,
            aborted: delta.aborted,
            died: delta.died.unwrap_or(0),
        })
    }

    /// Expects exactly this to have happened.
    pub(crate) fn ensure(&self, expected: Tally) -> Result<()> {
        let tally = self.tally()?;
        ensure!(
            tally == expected,
            "the counters changed by {tally:?}, expected {expected:?}"
        );
        Ok(())
    }
}
