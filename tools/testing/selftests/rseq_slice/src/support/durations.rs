// SPDX-License-Identifier: GPL-2.0

//! Measured times.

use std::fmt;

/// Times in nanoseconds; a difference may be negative.
#[derive(Default)]
pub(crate) struct Durations(Vec<i64>);

impl Durations {
    pub(crate) fn add(&mut self, nanos: u64) {
        self.0.push(nanos as i64);
        self.0.sort_unstable();
    }

    /// What is left of each when `nanos` are taken away.
    pub(crate) fn less(&self, nanos: u64) -> Self {
        Self(self.0.iter().map(|&sample| sample - nanos as i64).collect())
    }

    /// The value that `percent` of them do not exceed. 0 without any.
    fn percentile(&self, percent: usize) -> i64 {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        self.0.get(rank - 1).copied().unwrap_or(0)
    }

    pub(crate) fn min(&self) -> u64 {
        self.percentile(0) as u64
    }

    pub(crate) fn median(&self) -> u64 {
        self.percentile(50) as u64
    }

    pub(crate) fn max(&self) -> u64 {
        self.percentile(100) as u64
    }
}

impl fmt::Display for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "min {} median {} p99 {} max {}",
            self.percentile(0),
            self.percentile(50),
            self.percentile(99),
            self.percentile(100)
        )
    }
}
