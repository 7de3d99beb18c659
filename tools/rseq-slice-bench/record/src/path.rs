// SPDX-License-Identifier: MIT OR Apache-2.0

//! What paths cost.

use serde::{Deserialize, Serialize};

/// The paths, in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "`title` says it")]
pub enum PathName {
    Nothing,
    NullUnregistered,
    NullRegistered,
    NullEnabled,
    InterruptUnregistered,
    InterruptRegistered,
    InterruptEnabled,
    Granted,
    RefusedNoRequest,
    RefusedOtherWork,
    Revoked,
    Expired,
    Yield,
    YieldWithoutGrant,
    Abort,
    PrctlGet,
    PrctlSetOff,
    PrctlSetOn,
    SwitchUnregistered,
    SwitchRegistered,
    Preempted,
}

impl PathName {
    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Self::Nothing => "the measuring itself",
            Self::NullUnregistered => "null system call, unregistered",
            Self::NullRegistered => "null system call, registered",
            Self::NullEnabled => "null system call, enabled",
            Self::InterruptUnregistered => "interrupt without work, unregistered",
            Self::InterruptRegistered => "interrupt without work, registered",
            Self::InterruptEnabled => "interrupt without work, enabled",
            Self::Granted => "interrupt with a grant",
            Self::RefusedNoRequest => "interrupt with a refusal: no request",
            Self::RefusedOtherWork => "interrupt with a refusal: a signal pending",
            Self::Revoked => "interrupt with a revocation",
            Self::Expired => "expiry",
            Self::Yield => "yield round trip",
            Self::YieldWithoutGrant => "yield without a grant",
            Self::Abort => "abort round trip",
            Self::PrctlGet => "prctl GET",
            Self::PrctlSetOff => "prctl SET, off",
            Self::PrctlSetOn => "prctl SET, on",
            Self::SwitchUnregistered => "context switch and back, unregistered",
            Self::SwitchRegistered => "context switch and back, registered",
            Self::Preempted => "preemption and back, registered",
        }
    }
}

/// Ticks that a path takes, the measuring included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathRecord {
    /// Which one.
    pub path: PathName,
    /// Measurements behind the percentiles.
    pub samples: usize,
    /// 10th percentile.
    pub p10: u64,
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
}

impl PathRecord {
    /// Sums `samples` up, of which there must be one.
    pub fn new(path: PathName, mut samples: Vec<u64>) -> Self {
        samples.sort_unstable();
        let percentile = |p: usize| samples[(samples.len() - 1) * p / 100];
        Self {
            path,
            samples: samples.len(),
            p10: percentile(10),
            p50: percentile(50),
            p99: percentile(99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_samples() {
        let record = PathRecord::new(PathName::Yield, (0..=100).rev().collect());
        assert_eq!((record.samples, record.p10), (101, 10));
        assert_eq!((record.p50, record.p99), (50, 99));
        let one = PathRecord::new(PathName::Yield, vec![7]);
        assert_eq!((one.p10, one.p50, one.p99), (7, 7, 7));
    }
}
