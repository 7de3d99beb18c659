// SPDX-License-Identifier: GPL-2.0

//! Bounds on the figures that matter: against the C implementation of the same run, and exact
//! counts. Never on seconds.

use std::fmt;

use rseq_slice_bench_guest::{Cause, LockKind, PathName, Rival, Waiting};

use crate::kernels::Kernel;
use crate::report::{ContestRow, Report};

/// Whether a bound was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    /// What was measured, in words.
    pub(crate) what: String,
    pub(crate) kept: bool,
}

/// Instructions above C that a path may take, or below C that it has to stay.
const PATHS: [(PathName, Bound); 18] = [
    (PathName::NullUnregistered, Bound::Equal),
    (PathName::NullRegistered, Bound::Equal),
    (PathName::NullEnabled, Bound::Equal),
    (PathName::InterruptUnregistered, Bound::Equal),
    (PathName::InterruptRegistered, Bound::Equal),
    (PathName::InterruptEnabled, Bound::Equal),
    (PathName::SwitchUnregistered, Bound::Equal),
    (PathName::SwitchRegistered, Bound::Equal),
    (PathName::Granted, Bound::Above(-20)),
    (PathName::RefusedNoRequest, Bound::Above(12)),
    (PathName::RefusedOtherWork, Bound::Above(12)),
    (PathName::Revoked, Bound::Above(12)),
    (PathName::Expired, Bound::Above(5)),
    (PathName::Yield, Bound::Above(5)),
    (PathName::Abort, Bound::Above(5)),
    (PathName::PrctlGet, Bound::Above(5)),
    (PathName::PrctlSetOff, Bound::Above(5)),
    (PathName::PrctlSetOn, Bound::Above(5)),
];

/// Clock event device programmings in a cycle of a grant that a timer interrupt causes and a rival
/// that sleeps at once, two of which are the rival's own.
const PROGRAMMINGS: f64 = 2.98;

/// The share of one thread's throughput that many threads keep.
const FLAT: f64 = 0.98;

#[derive(Clone, Copy)]
enum Bound {
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

/// Judges a report by all bounds. What a bound needs and the report lacks breaks it.
pub(crate) fn judge(report: &Report) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = PATHS
        .into_iter()
        .map(|(path, bound)| against_c(report, path, bound))
        .collect();
    verdicts.extend(
        [PathName::NullUnregistered, PathName::NullRegistered]
            .map(|path| off_at_boot(report, path)),
    );
    verdicts.push(programmings(report));
    for cause in [Cause::Timer, Cause::Ipi] {
        for rival in [Rival::Sleeps, Rival::Computes] {
            verdicts.push(programmings_against_c(report, cause, rival));
        }
    }
    // The CPUs and thread counts that were measured, at the shipped length for each CPU.
    let mut settings: Vec<(usize, usize)> = report
        .contests
        .iter()
        .map(|row| (row.record.cpus, row.record.threads))
        .filter(|&(_, threads)| threads >= 32)
        .collect();
    settings.sort_unstable();
    settings.dedup();
    if settings.is_empty() {
        verdicts.push(missing("flat under contention".to_owned()));
    }
    for (cpus, threads) in settings {
        verdicts.push(flat(report, cpus, threads));
        verdicts.push(never_worse(report, cpus, threads));
        verdicts.push(explained(report, cpus, threads));
    }
    verdicts
}

fn missing(name: String) -> Verdict {
    Verdict {
        name,
        what: "not measured".to_owned(),
        kept: false,
    }
}

fn against_c(report: &Report, path: PathName, bound: Bound) -> Verdict {
    let name = format!("{}: {bound}", path.title());
    let median = |kernel| report.path(kernel, path).map(|row| row.record.p50);
    let Some((c, rust)) = median(Kernel::C).zip(median(Kernel::Rust)) else {
        return missing(name);
    };
    let difference = rust as i64 - c as i64;
    Verdict {
        name,
        what: format!("C {c}, Rust {rust}, {difference:+}"),
        kept: bound.allows(difference),
    }
}

/// Invariant: off at boot costs nothing, where C pays a store.
fn off_at_boot(report: &Report, path: PathName) -> Verdict {
    let name = format!("{}, off at boot: below C", path.title());
    let median = |kernel| report.path(kernel, path).map(|row| row.record.p50);
    let Some((c, rust)) = median(Kernel::COffAtBoot).zip(median(Kernel::RustOffAtBoot)) else {
        return missing(name);
    };
    Verdict {
        name,
        what: format!("C {c}, Rust {rust}"),
        kept: rust < c,
    }
}

fn programmings(report: &Report) -> Verdict {
    let name =
        format!("clock event programmings for each grant by a timer: at most {PROGRAMMINGS}");
    let row = report.cycle(Kernel::Rust, Cause::Timer, Rival::Sleeps);
    let Some((count, _)) = row.and_then(|row| row.per_grant()) else {
        return missing(name);
    };
    Verdict {
        name,
        what: format!("{count:.3}"),
        // To the digits of the bound.
        kept: count < PROGRAMMINGS + 0.005,
    }
}

fn programmings_against_c(report: &Report, cause: Cause, rival: Rival) -> Verdict {
    let name = format!("clock event programmings, {cause:?}, rival {rival:?}: not above C");
    let count = |kernel| report.cycle(kernel, cause, rival)?.per_grant();
    let Some(((c, _), (rust, _))) = count(Kernel::C).zip(count(Kernel::Rust)) else {
        return missing(name);
    };
    Verdict {
        name,
        what: format!("C {c:.3}, Rust {rust:.3} for each grant"),
        // Ticks fall into the cycles by chance.
        kept: rust <= c + 0.005,
    }
}

/// The recommended pattern at the shipped length for each CPU.
fn recommended(
    report: &Report,
    kernel: Kernel,
    cpus: usize,
    threads: usize,
) -> Option<&ContestRow> {
    let length = u32::try_from(5_000 * cpus).ok();
    let lock = LockKind::Spin;
    report.contest(kernel, lock, (cpus, threads), (Waiting::Dropped, length))
}

fn flat(report: &Report, cpus: usize, threads: usize) -> Verdict {
    let name = format!("{threads} threads, {cpus} CPUs: at least {FLAT} of one thread");
    let rate = |threads| {
        Some(
            recommended(report, Kernel::Rust, cpus, threads)?
                .record
                .rate(),
        )
    };
    let Some((many, one)) = rate(threads).zip(rate(1)) else {
        return missing(name);
    };
    let share = many / one;
    Verdict {
        name,
        what: format!("{many:.0}/s of {one:.0}/s, {share:.4}"),
        kept: share >= FLAT,
    }
}

fn never_worse(report: &Report, cpus: usize, threads: usize) -> Verdict {
    let name = format!("{threads} threads, {cpus} CPUs: at least {FLAT} of C");
    let rate = |kernel| Some(recommended(report, kernel, cpus, threads)?.record.rate());
    let Some((rust, c)) = rate(Kernel::Rust).zip(rate(Kernel::C)) else {
        return missing(name);
    };
    Verdict {
        name,
        what: format!("Rust {rust:.0}/s, C {c:.0}/s, {:.4}", rust / c),
        kept: rust >= FLAT * c,
    }
}

/// A holder is scheduled out inside its critical section because a grant expired or was denied.
fn explained(report: &Report, cpus: usize, threads: usize) -> Verdict {
    let name = format!("{threads} threads, {cpus} CPUs: holders lost to expiry or denial only");
    let Some(row) = recommended(report, Kernel::Rust, cpus, threads) else {
        return missing(name);
    };
    let Some((counters, denied)) = row.record.counters.zip(row.denied) else {
        return missing(name);
    };
    let preempted = row.record.preempted_holders;
    Verdict {
        name,
        what: format!(
            "{preempted} holders scheduled out; in all {} grants expired, {} were revoked, {denied} \
             requests were denied",
            counters.expired, counters.revoked
        ),
        kept: preempted <= counters.expired + denied,
    }
}
