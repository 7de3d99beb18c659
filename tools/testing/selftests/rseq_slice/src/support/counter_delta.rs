// SPDX-License-Identifier: GPL-2.0

//! By how much the kernel's counters changed in a part of a test.

use anyhow::Result;
use rseq_slice_harness::{Counters, DebugfsError, counters};

use crate::case::Skip;
use crate::check::fail;

/// The counters at the start of that part. `None`: the kernel does not count.
pub(crate) struct CounterDelta(Option<Counters>);

impl CounterDelta {
    /// Starts from what has been counted by now.
    pub(crate) fn start() -> Result<Self> {
        match counters() {
            Err(DebugfsError::Missing { .. }) => Ok(Self(None)),
            counted => Ok(Self(Some(counted?))),
        }
    }

    /// What was counted since the start. `None`: the kernel does not count.
    pub(crate) fn counted(&self) -> Result<Option<Counters>> {
        let Some(before) = self.0 else {
            return Ok(None);
        };
        Ok(Some((counters()? - before).with_deaths_counted()))
    }

    /// The same for a test that has to know, and is skipped where nothing is counted.
    pub(crate) fn tally(&self) -> Result<Counters> {
        let uncounted = || Skip("needs CONFIG_RSEQ_STATS".into()).into();
        self.counted()?.ok_or_else(uncounted)
    }

    /// Expects exactly this to have happened, as far as it is counted.
    #[track_caller]
    pub(crate) fn ensure(&self, expected: Counters) -> Result<()> {
        match self.counted()? {
            Some(tally) if tally != expected => {
                fail!("the counters changed by {tally:?}, expected {expected:?}")
            }
            _ => Ok(()),
        }
    }
}
