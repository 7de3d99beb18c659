// SPDX-License-Identifier: MIT OR Apache-2.0

//! Results of contests for a lock.

use rseq_slice_debugfs::Counters;
use serde::{Deserialize, Serialize};

use crate::quantiles::Quantiles;

/// The kinds of lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LockKind {
    /// Test and set.
    Spin,
    /// In the order of arrival.
    Ticket,
    /// Spins, then sleeps.
    Futex,
}

/// When threads ask for extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waiting {
    /// Never.
    Off,
    /// While waiting as well.
    Held,
    /// Not while waiting.
    Dropped,
}

/// The results of a contest for a lock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContestRecord {
    /// The lock.
    pub lock: LockKind,
    /// Threads that took part.
    pub threads: usize,
    /// CPUs that they shared.
    pub cpus: usize,
    /// Whether each thread stayed on one of them.
    pub pinned: bool,
    /// Whether time slices ended when they were over, and not at the next tick.
    pub hrtick: bool,
    /// When they asked for extensions.
    pub waiting: Waiting,
    /// Length of an extension in nanoseconds; `None` if nobody asks.
    pub length: Option<u32>,
    /// Nanoseconds in which operations were counted.
    pub time: u64,
    /// Operations in that time.
    pub operations: u64,
    /// Those of the thread with the fewest.
    pub fewest: u64,
    /// Those of the thread with the most.
    pub most: u64,
    /// Jain's index of fairness of the operations of each thread: 1 if all have the same, 1/threads
    /// if one has all.
    pub fairness: f64,
    /// Operations from the first to the last, to which all that follows belongs.
    pub all_operations: u64,
    /// Nanoseconds that threads which had to wait took until they released the lock.
    pub waits: Quantiles,
    /// Operations in which the holder was scheduled out.
    pub preempted_holders: u64,
    /// Those of them after which the holder came back when operations counted already.
    pub came_back: u64,
    /// Requests that ended with the request gone and no grant.
    pub lost: u64,
    /// Requests that ended with a grant, which the kernel then ended before the yield could.
    pub too_late: u64,
    /// The kernel's counts meanwhile, if threads asked for extensions.
    pub counters: Option<Counters>,
}

impl ContestRecord {
    /// At most this share of the time was lost to holders that were scheduled out: until such a
    /// holder runs again everybody waits for it, and nobody waited longer than the longest wait.
    pub fn stopped(&self) -> f64 {
        let each = self.waits.max() as f64 / self.time as f64;
        (self.came_back as f64 * each).min(1.0)
    }

    /// Operations per second of guest time.
    pub fn rate(&self) -> f64 {
        self.operations as f64 * 1e9 / self.time as f64
    }

    /// Requests that the kernel refused, scheduling the thread out. A request is lost by a refusal
    /// or a revocation, and a revocation loses a request or comes too late to. `None` where threads
    /// also make other system calls inside requests.
    pub fn refused(&self) -> Option<u64> {
        let counters = self.counters?;
        let sleeps_inside = self.lock == LockKind::Futex && self.waiting == Waiting::Held;
        (!sleeps_inside).then(|| {
            (self.lost + self.too_late).saturating_sub(counters.revoked + counters.aborted)
        })
    }
}

/// Jain's index: the square of the sum over the count times the sum of the squares.
pub fn fairness(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|&share| share as f64).sum();
    let squares: f64 = shares.iter().map(|&share| (share as f64).powi(2)).sum();
    if squares == 0.0 {
        return 1.0;
    }
    sum * sum / (shares.len() as f64 * squares)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn fairness_is_jains_index() {
        assert_eq!(fairness(&[5, 5, 5, 5]), 1.0);
        assert_eq!(fairness(&[8, 0, 0, 0]), 0.25);
        assert_eq!(fairness(&[0, 0]), 1.0);
        assert!((fairness(&[1, 3]) - 0.8).abs() < 1e-12);
    }

    pub(crate) fn contest() -> ContestRecord {
        ContestRecord {
            lock: LockKind::Spin,
            threads: 2,
            cpus: 1,
            pinned: false,
            hrtick: true,
            waiting: Waiting::Dropped,
            length: Some(5_000),
            time: 2_000_000_000,
            operations: 10,
            fewest: 4,
            most: 6,
            fairness: fairness(&[4, 6]),
            all_operations: 12,
            waits: Quantiles::default(),
            preempted_holders: 3,
            came_back: 3,
            lost: 5,
            too_late: 1,
            counters: Some(Counters {
                granted: 10,
                expired: 2,
                revoked: 4,
                yielded: 6,
                aborted: 0,
                died: None,
            }),
        }
    }

    #[test]
    fn lost_requests_were_denied_or_revoked() {
        let spin = contest();
        assert_eq!(spin.rate(), 5.0);
        assert_eq!(spin.refused(), Some(2));
        let futex = ContestRecord {
            lock: LockKind::Futex,
            waiting: Waiting::Held,
            ..contest()
        };
        assert_eq!(futex.refused(), None);
        let off = ContestRecord {
            counters: None,
            ..contest()
        };
        assert_eq!(off.refused(), None);
    }
}
