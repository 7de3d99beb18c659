// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the guest of the benchmark tells the host.
//!
//! One [`Record`] in JSON per line on standard output; and [marks](mark) in the stream of instructions,
//! which a plugin of the emulator sees.

mod contest;
pub mod mark;
mod path;
mod quantiles;

pub use contest::{ContestRecord, LockKind, Waiting, fairness};
pub use path::{PathName, PathRecord};
pub use quantiles::Quantiles;

use rseq_slice_debugfs::{Counters, Implementation};
use serde::{Deserialize, Serialize};

/// One line of output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
pub enum Record {
    /// The kernel that runs.
    Kernel {
        /// Its implementation of the time slice extension, if it has one.
        implementation: Option<Implementation>,
        /// As `uname -r`.
        release: String,
        /// As `uname -v`.
        version: String,
        /// CPUs of the guest.
        cpus: usize,
    },
    /// What a path costs.
    Path(PathRecord),
    /// Many cycles of a grant and what follows.
    Cycle(CycleRecord),
    /// Threads that competed for a lock.
    Contest(ContestRecord),
    /// A periodic thread beside threads that abuse the extension.
    Latency(LatencyRecord),
}

/// What causes a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A timer interrupt of the thread's CPU wakes the competitor.
    Timer,
    /// Another CPU wakes the competitor.
    Ipi,
}

/// What the competitor does once it has the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Competitor {
    /// It sleeps again at once.
    Sleeps,
    /// It computes for 100 us before.
    Computes,
}

/// Cycles in which a competitor wakes up, a thread is granted an extension and yields, and the competitor runs
/// and sleeps again. All are in one window between marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CycleRecord {
    /// What causes the grants.
    pub cause: Cause,
    /// What the competitor does.
    pub competitor: Competitor,
    /// Requests made and ended.
    pub cycles: u64,
    /// The kernel's counts meanwhile.
    pub counters: Counters,
}

/// The scheduling policy of a periodic thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// `SCHED_OTHER`.
    Other,
    /// `SCHED_FIFO`.
    Fifo,
}

/// A periodic thread on one CPU with a thread that always asks for extensions and never yields,
/// and one that never asks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LatencyRecord {
    /// Length of an extension in nanoseconds; `None` if nobody asks.
    pub length: Option<u32>,
    /// Of the periodic thread.
    pub policy: Policy,
    /// Nanoseconds from the moment for which it asked to when it ran.
    pub latencies: Quantiles,
    /// CPU time of the thread that asks, in nanoseconds.
    pub asking: u64,
    /// CPU time of the one that does not, in nanoseconds.
    pub other: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contest::tests::contest;

    #[test]
    fn records_survive_the_console() {
        for record in [
            Record::Contest(contest()),
            Record::Path(PathRecord::new(PathName::NullEnabled, vec![1])),
            Record::Kernel {
                implementation: None,
                release: "7.3".to_owned(),
                version: "#1".to_owned(),
                cpus: 1,
            },
        ] {
            let line = serde_json::to_string(&record).unwrap();
            assert!(line.starts_with("{\"record\":\""), "{line}");
            assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
        }
    }
}
