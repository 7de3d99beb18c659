// SPDX-License-Identifier: GPL-2.0

//! What the kernel's counters say about a stretch of a test.

use anyhow::{Result, bail};
use rseq_slice_harness::{Counters, DebugfsError};

use crate::case::Skip;

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

/// The counters at some moment. `None`: the kernel does not count.
pub(crate) struct Ledger(Option<Counters>);

impl Ledger {
    /// Opens a stretch.
    pub(crate) fn open() -> Result<Self> {
        match Counters::read() {
            Err(DebugfsError::Missing { .. }) => Ok(Self(None)),
            counters => Ok(Self(Some(counters?))),
        }
    }

    /// What happened since the stretch was opened, if it was counted.
    pub(crate) fn counted(&self) -> Result<Option<Tally>> {
        let Some(before) = self.0 else {
            return Ok(None);
        };
        let delta = Counters::read()? - before;
        Ok(Some(Tally {
            granted: delta.granted,
            expired: delta.expired,
            revoked: delta.revoked,
            yielded: delta.yielded,
            aborted: delta.aborted,
            died: delta.died.unwrap_or(0),
        }))
    }

    /// The same for a test that has to know, and is skipped where nothing is counted.
    pub(crate) fn tally(&self) -> Result<Tally> {
        let uncounted = || Skip("needs CONFIG_RSEQ_STATS".into()).into();
        self.counted()?.ok_or_else(uncounted)
    }

    /// Expects exactly this to have happened, as far as it is counted.
    pub(crate) fn ensure(&self, expected: Tally) -> Result<()> {
        match self.counted()? {
            Some(tally) if tally != expected => {
                bail!("the counters changed by {tally:?}, expected {expected:?}")
            }
            _ => Ok(()),
        }
    }
}
