// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bounds on what paths cost, in instructions.

use std::fmt;

use rseq_slice_bench_record::PathName;

use super::{Verdict, missing};
use crate::kernels::Kernel;
use crate::report::Report;

/// Instructions above C that a path may take, or below C that it has to stay.
///
/// A call into Rust and back is about ten. An expiry is a revocation, and its callback also detects a
/// timer that outlived its grant, which C does not do. Both first check whether the reschedule is
/// lazy and keeps the grant.
pub(super) const PATHS: [(PathName, Bound); 19] = [
    (PathName::NullUnregistered, Bound::Equal),
    (PathName::NullRegistered, Bound::Equal),
    (PathName::NullEnabled, Bound::Equal),
    (PathName::InterruptUnregistered, Bound::Equal),
    (PathName::InterruptRegistered, Bound::Equal),
    (PathName::InterruptEnabled, Bound::Equal),
    (PathName::SwitchUnregistered, Bound::Equal),
    (PathName::SwitchRegistered, Bound::Equal),
    (PathName::Preempted, Bound::Above(0)),
    (PathName::Granted, Bound::Above(-20)),
    (PathName::RefusedNoRequest, Bound::Above(12)),
    (PathName::RefusedOtherWork, Bound::Above(12)),
    (PathName::Revoked, Bound::Above(12)),
    (PathName::Expired, Bound::Above(8)),
    (PathName::Yield, Bound::Above(5)),
    (PathName::Abort, Bound::Above(5)),
    (PathName::PrctlGet, Bound::Above(5)),
    (PathName::PrctlSetOff, Bound::Above(5)),
    (PathName::PrctlSetOn, Bound::Above(5)),
];

/// With the extension off at boot, instructions below C that a path has to stay. A null system call
/// runs no code of either implementation. Preemption leads to an update of user space, in which C
/// clears the state of a grant that does not exist (difference `off-clears-state`).
pub(super) const OFF_AT_BOOT: [(PathName, u64); 3] = [
    (PathName::NullUnregistered, 0),
    (PathName::NullRegistered, 0),
    (PathName::Preempted, 1),
];

#[derive(Clone, Copy)]
pub(super) enum Bound {
    /// To the instruction.
    Equal,
    /// At most so many more.
    Above(i64),
}

impl Bound {
    fn allows(self, difference: i64) -> bool {
        match self {
            Self::Equal => difference == 0,
            Self::Above(limit) => difference <= limit,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal => write!(f, "equal to C"),
            Self::Above(limit @ ..0) => write!(f, "at least {} below C", -limit),
            Self::Above(limit) => write!(f, "at most {limit} above C"),
        }
    }
}

/// Judges all paths.
pub(super) fn judge(report: &Report) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = PATHS
        .into_iter()
        .map(|(path, bound)| against_c(report, path, bound))
        .collect();
    verdicts.extend(OFF_AT_BOOT.map(|(path, saving)| off_at_boot(report, path, saving)));
    verdicts
}

fn against_c(report: &Report, path: PathName, bound: Bound) -> Verdict {
    let name = format!("{}: {bound}", path.title());
    let row = |kernel| report.path(kernel, path).map(|row| &row.record);
    let Some((c, rust)) = row(Kernel::C).zip(row(Kernel::Rust)) else {
        return missing(name);
    };
    let difference = |c: u64, rust: u64| rust as i64 - c as i64;
    let median = difference(c.p50, rust.p50);
    // The scheduler's and the timers' trees have one shape or another, as other threads would have
    // it. Which of them is the median one differs at times, which is the lowest does not.
    let low = difference(c.p10, rust.p10);
    Verdict {
        name,
        what: format!(
            "C {}, Rust {}, {median:+} ({low:+} in the 10th percentile)",
            c.p50, rust.p50
        ),
        kept: bound.allows(median) || bound.allows(low),
    }
}

fn off_at_boot(report: &Report, path: PathName, saving: u64) -> Verdict {
    let name = format!("{}, off at boot: at least {saving} below C", path.title());
    let median = |kernel| report.path(kernel, path).map(|row| row.record.p50);
    let Some((c, rust)) = median(Kernel::COffAtBoot).zip(median(Kernel::RustOffAtBoot)) else {
        return missing(name);
    };
    Verdict {
        name,
        what: format!("C {c}, Rust {rust}"),
        kept: rust + saving <= c,
    }
}
