// SPDX-License-Identifier: MIT OR Apache-2.0

//! Advice from counts.

use std::fmt;

use rseq_slice_debugfs::Counters;
use serde::Serialize;

/// Fewer grants than this say nothing about shares.
const ENOUGH: u64 = 20;
/// One in this many grants is many.
const MANY: u64 = 10;

/// Something to look into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Advice {
    /// Nothing was granted.
    NoGrants,
    /// Too few to judge.
    Few,
    /// Many grants expired.
    Expiries,
    /// Many grants were revoked that had not expired.
    Revocations,
    /// Many grants ended with a system call other than `rseq_slice_yield(2)`.
    Aborts,
    /// Threads died or faulted.
    Deaths,
    /// Most grants were yielded.
    Well,
}

/// Judges a difference of counters.
pub(crate) fn advise(counters: &Counters) -> Vec<Advice> {
    let granted = counters.granted;
    let many = |count: u64| granted >= ENOUGH && count * MANY >= granted;
    let mut advice = Vec::new();
    if granted == 0 {
        advice.push(Advice::NoGrants);
    } else if granted < ENOUGH {
        advice.push(Advice::Few);
    }
    if many(counters.expired) {
        advice.push(Advice::Expiries);
    }
    // An expiry is counted as a revocation as well, with few exceptions.
    if many(counters.revoked.saturating_sub(counters.expired)) {
        advice.push(Advice::Revocations);
    }
    if many(counters.aborted) {
        advice.push(Advice::Aborts);
    }
    if counters.died.unwrap_or(0) > 0 {
        advice.push(Advice::Deaths);
    }
    if advice.is_empty() {
        advice.push(Advice::Well);
    }
    advice
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoGrants => {
                "No thread with a request was about to be preempted. If threads with sections outnumber the \
                 CPUs, ask `rseq-slice check`."
            }
            Self::Few => "Too few to judge.",
            Self::Expiries => {
                "Many expired: sections take longer than an extension, or a virtual machine loses that much \
                 time. Make them shorter; do not allocate, fault or log in them."
            }
            Self::Revocations => {
                "Many were revoked before they expired: another reschedule came due, a page fault in a section \
                 scheduled its thread out, or membarrier(2) interrupted it."
            }
            Self::Aborts => {
                "Many ended with a system call: there are system calls in sections. It does no harm that each \
                 thread's first grant ends so, by a look for a seccomp filter, nor that programs under such a \
                 filter end their grants by getpid(2)."
            }
            Self::Deaths => {
                "Threads were killed or faulted in an extension: look for crashes, or for programs that \
                 write to the control word on their own."
            }
            Self::Well => "Sections fit into the extension.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(yields: u64, other: Counters) -> Counters {
        Counters {
            granted: yields + other.granted,
            yielded: yields + other.yielded,
            ..other
        }
    }

    #[test]
    fn each_imbalance_has_its_advice() {
        for (counters, advice) in [
            (Counters::NOTHING, vec![Advice::NoGrants]),
            (Counters::yields(19), vec![Advice::Few]),
            (Counters::yields(20), vec![Advice::Well]),
            (mixed(90, Counters::expiries(10)), vec![Advice::Expiries]),
            (mixed(91, Counters::expiries(9)), vec![Advice::Well]),
            (mixed(90, Counters::revokes(10)), vec![Advice::Revocations]),
            (mixed(90, Counters::aborts(10)), vec![Advice::Aborts]),
            (mixed(99, Counters::deaths(1)), vec![Advice::Deaths]),
        ] {
            assert_eq!(advise(&counters), advice, "{counters:?}");
        }
        let all = Counters {
            granted: 100,
            expired: 20,
            revoked: 60,
            yielded: 0,
            aborted: 39,
            died: Some(1),
        };
        let expected = [
            Advice::Expiries,
            Advice::Revocations,
            Advice::Aborts,
            Advice::Deaths,
        ];
        assert_eq!(advise(&all), expected);
    }
}
