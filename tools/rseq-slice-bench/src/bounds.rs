// SPDX-License-Identifier: GPL-2.0

//! Bounds on the figures that matter: against the C implementation of the same run, against one
//! thread or undisturbed threads of it, and on counts. Never on seconds.

mod contests;

use std::fmt;

use rseq_slice_bench_guest::{Cause, PathName, Rival};

use self::contests::Kind;
use crate::kernels::Kernel;
use crate::report::{CycleRow, Report};

/// Whether a bound was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    /// What was measured, in words.
    pub(crate) what: String,
    pub(crate) kept: bool,
}

/// Instructions above C that a path may take, or below C that it has to stay.
///
/// A call into Rust and back is about ten. An expiry is a revocation and, in the callback, what
/// sorts out a timer that outlived its grant; C does not do that.
const PATHS: [(PathName, Bound); 19] = [
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
    (PathName::Expired, Bound::Above(5)),
    (PathName::Yield, Bound::Above(5)),
    (PathName::Abort, Bound::Above(5)),
    (PathName::PrctlGet, Bound::Above(5)),
    (PathName::PrctlSetOff, Bound::Above(5)),
    (PathName::PrctlSetOn, Bound::Above(5)),
];

/// With the extension off at boot, instructions below C that a path has to stay. Nothing of either
/// implementation is on the way of a null system call; C's update of user space, which preemption
/// brings along, ends a grant that cannot be there.
const OFF_AT_BOOT: [(PathName, u64); 3] = [
    (PathName::NullUnregistered, 0),
    (PathName::NullRegistered, 0),
    (PathName::Preempted, 1),
];

/// Clock event device programmings less than in C, in a cycle of a grant that a timer interrupt
/// causes: one serves the interrupt and the timer of the grant, but for the cycle here and there in
/// which a tick shares one on one of the two kernels.
const SAVED: f64 = 0.98;

/// As much as chance may do to the programmings for each grant before a run says nothing.
const CHANCE: f64 = 0.5;

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
    verdicts.extend(OFF_AT_BOOT.map(|(path, saving)| off_at_boot(report, path, saving)));
    for cause in [Cause::Timer, Cause::Ipi] {
        for rival in [Rival::Sleeps, Rival::Computes] {
            verdicts.push(programmings(report, cause, rival));
        }
    }
    verdicts.extend(contests::judge(report, Kind::AsTheyCome));
    verdicts.extend(contests::judge(report, Kind::Undisturbed));
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

fn programmings(report: &Report, cause: Cause, rival: Rival) -> Verdict {
    let saved = match cause {
        Cause::Timer => SAVED,
        Cause::Ipi => 0.0,
    };
    let name =
        format!("clock event programmings, {cause:?}, rival {rival:?}: at least {saved} below C");
    let count = |kernel| {
        let row = report.cycle(kernel, cause, rival)?;
        Some((row.per_grant()?, row.less_ticks()?, by_chance(row)?))
    };
    let Some(((c, c_less, c_chance), (rust, rust_less, rust_chance))) =
        count(Kernel::C).zip(count(Kernel::Rust))
    else {
        return missing(name);
    };
    let chance = c_chance + rust_chance;
    Verdict {
        name,
        what: format!(
            "C {:.3} with {:.3} timer interrupts, Rust {:.3} with {:.3}, for each grant; {chance:.3} \
             by chance",
            c.0, c.1, rust.0, rust.1
        ),
        kept: chance <= CHANCE && rust_less <= c_less - saved + chance,
    }
}

/// What chance may do to the programmings for each grant. A cycle that did not end in a yield was not
/// granted in time, or disturbed, and may have had none of them or twice as many. A timer interrupt
/// that does not cause a grant is taken out with one programming: it may have had two, as a rival's
/// wakeup without a grant has, or a grant none of its own, as when a tick is due before its end.
fn by_chance(row: &CycleRow) -> Option<f64> {
    let record = &row.record;
    let (programmings, interrupts) = row.per_grant()?;
    let grants = record.counters.granted as f64;
    let other = record.cycles.abs_diff(record.counters.yielded) as f64;
    Some(other * programmings / grants + 2.0 * (interrupts - row.causes()).abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{ContestRow, Contests, PathRow};
    use rseq_slice_bench_guest::{
        ContestRecord, CycleRecord, LockKind, PathRecord, Quantiles, Waiting, fairness,
    };

    /// Counts as a kernel would report them, by the names in their JSON.
    fn counters<T: serde::de::DeserializeOwned>(expired: u64, revoked: u64) -> T {
        let json = serde_json::json!({
            "granted": 1000, "expired": expired, "revoked": revoked,
            "yielded": 1000 - revoked, "aborted": 0, "died": null,
        });
        serde_json::from_value(json).unwrap()
    }

    fn path(kernel: Kernel, path: PathName, p50: u64) -> PathRow {
        let record = PathRecord::new(path, vec![p50]);
        PathRow {
            kernel,
            record,
            counted: None,
        }
    }

    fn cycle(kernel: Kernel, cause: Cause, rival: Rival, programmings: u64) -> CycleRow {
        CycleRow {
            kernel,
            cpus: 1,
            record: CycleRecord {
                cause,
                rival,
                cycles: 1000,
                counters: counters(0, 0),
            },
            programmings: Some(programmings),
            interrupts: Some(match cause {
                Cause::Timer => 1000,
                Cause::Ipi => 0,
            }),
        }
    }

    fn contest(kernel: Kernel, threads: usize, operations: u64) -> ContestRow {
        let record = ContestRecord {
            lock: LockKind::Spin,
            threads,
            cpus: 1,
            pinned: false,
            hrtick: true,
            waiting: Waiting::Dropped,
            length: Some(5_000),
            time: 1_000_000_000,
            operations,
            fewest: 1,
            most: 1,
            fairness: fairness(&[1, 1]),
            all_operations: operations,
            waits: Quantiles::default(),
            preempted_holders: 9,
            came_back: 8,
            lost: 8,
            too_late: 1,
            counters: Some(counters(4, 5)),
        };
        ContestRow {
            kernel,
            denied: record.denied(),
            record,
        }
    }

    /// A report in which every bound is kept by nothing to spare.
    fn at_the_bounds() -> Report {
        let mut report = Report::default();
        for (name, bound) in PATHS {
            let above = match bound {
                Bound::Equal => 0,
                Bound::Above(limit) => limit,
            };
            report.paths.push(path(Kernel::C, name, 1000));
            report.paths.push(path(
                Kernel::Rust,
                name,
                1000_u64.wrapping_add_signed(above),
            ));
        }
        for (name, saving) in OFF_AT_BOOT {
            report.paths.push(path(Kernel::COffAtBoot, name, 1000));
            report
                .paths
                .push(path(Kernel::RustOffAtBoot, name, 1000 - saving));
        }
        for cause in [Cause::Timer, Cause::Ipi] {
            for rival in [Rival::Sleeps, Rival::Computes] {
                let (c, rust) = match cause {
                    Cause::Timer => (3980, 2999),
                    Cause::Ipi => (2000, 2000),
                };
                report.cycles.push(cycle(Kernel::C, cause, rival, c));
                report.cycles.push(cycle(Kernel::Rust, cause, rival, rust));
            }
        }
        report.undisturbed.0.extend([
            contest(Kernel::Rust, 1, 100_000),
            contest(Kernel::C, 32, 100_000),
            contest(Kernel::Rust, 32, 98_000),
        ]);
        report.contests.0.extend([
            contest(Kernel::C, 32, 98_000),
            contest(Kernel::Rust, 32, 96_040),
        ]);
        report
    }

    fn broken(report: &Report) -> Vec<String> {
        let verdicts = judge(report).into_iter();
        verdicts.filter(|v| !v.kept).map(|v| v.name).collect()
    }

    /// Expects `change` to break exactly the bound whose name contains each of `words`.
    fn breaks(words: &[&str], change: impl FnOnce(&mut Report)) {
        let mut report = at_the_bounds();
        change(&mut report);
        let broken = broken(&report);
        assert_eq!(broken.len(), 1, "{words:?}: {broken:?}");
        assert!(
            words.iter().all(|word| broken[0].contains(word)),
            "{broken:?}"
        );
    }

    fn rust_path(report: &mut Report, name: PathName) -> &mut PathRecord {
        let mut rows = report.paths.iter_mut();
        let row = rows.find(|row| row.kernel == Kernel::Rust && row.record.path == name);
        &mut row.unwrap().record
    }

    fn shift(record: &mut PathRecord, instructions: i64) {
        for percentile in [&mut record.p10, &mut record.p50, &mut record.p99] {
            *percentile = percentile.wrapping_add_signed(instructions);
        }
    }

    #[test]
    fn nothing_is_broken_at_the_bounds() {
        assert_eq!(broken(&at_the_bounds()), Vec::<String>::new());
    }

    #[test]
    fn one_instruction_more_breaks_each_path() {
        for (name, _) in PATHS {
            breaks(&[name.title()], |report| shift(rust_path(report, name), 1));
        }
    }

    #[test]
    fn equal_means_not_below_either() {
        for (name, _) in PATHS.into_iter().filter(|(_, b)| matches!(b, Bound::Equal)) {
            breaks(&[name.title()], |report| shift(rust_path(report, name), -1));
        }
    }

    #[test]
    fn off_at_boot_has_to_stay_below_c() {
        for (name, _) in OFF_AT_BOOT {
            breaks(&[name.title(), "off at boot"], |report| {
                let mut rows = report.paths.iter_mut();
                let row =
                    rows.find(|row| row.kernel == Kernel::RustOffAtBoot && row.record.path == name);
                row.unwrap().record.p50 += 1;
            });
        }
    }

    #[test]
    fn programmings_are_bounded_against_c() {
        for cause in [Cause::Timer, Cause::Ipi] {
            for rival in [Rival::Sleeps, Rival::Computes] {
                let words = format!("{cause:?}, rival {rival:?}");
                let row = |report: &mut Report, change: fn(&mut CycleRow)| {
                    let mut rows = report.cycles.iter_mut();
                    let row = rows.find(|row| {
                        (row.kernel, row.record.cause, row.record.rival)
                            == (Kernel::Rust, cause, rival)
                    });
                    change(row.unwrap());
                };
                let more = |row: &mut CycleRow| {
                    row.programmings = row.programmings.map(|count| count + 2);
                };
                breaks(&[&words], |report| row(report, more));
                // A tick is nobody's fault, nor is a cycle that was disturbed.
                let chances: [fn(&mut CycleRow); 2] = [
                    |row| row.interrupts = row.interrupts.map(|count| count + 2),
                    |row| row.record.counters.yielded -= 1,
                ];
                // Unless there is more of it than there are grants that tell.
                breaks(&[&words], |report| {
                    row(report, |row| {
                        row.interrupts = row.interrupts.map(|count| count + 300);
                    });
                });
                for chance in chances {
                    let mut report = at_the_bounds();
                    row(&mut report, more);
                    row(&mut report, chance);
                    assert_eq!(broken(&report), Vec::<String>::new());
                }
            }
        }
    }

    type Select = fn(&mut Report) -> &mut Contests;

    const KINDS: [(&str, Select); 2] = [
        ("CPUs:", |report| &mut report.contests),
        ("CPUs, undisturbed:", |report| &mut report.undisturbed),
    ];

    fn of_rust(contests: &mut Contests, threads: usize) -> &mut ContestRow {
        let mut rows = contests.0.iter_mut();
        rows.find(|row| row.kernel == Kernel::Rust && row.record.threads == threads)
            .unwrap()
    }

    #[test]
    fn throughput_is_flat_and_no_worse_than_c() {
        breaks(&["undisturbed: ", "of one thread"], |report| {
            of_rust(&mut report.undisturbed, 1).record.operations = 100_100;
        });
        breaks(&["CPUs: ", "of the same undisturbed"], |report| {
            of_rust(&mut report.undisturbed, 32).record.operations = 98_100;
        });
        for (words, kind) in KINDS {
            breaks(&[words, "of C"], |report| {
                for row in &mut kind(report).0 {
                    if row.kernel == Kernel::C {
                        row.record.operations += 100;
                    }
                }
            });
        }
    }

    #[test]
    fn lost_holders_cost_what_they_cost_and_no_more() {
        let lose = |contests: &mut Contests, operations| {
            let record = &mut of_rust(contests, 32).record;
            record.operations = operations;
            // Each of the 8 holders that came back had stopped everything for 1 % of the second.
            record.waits.points = vec![(1.0, 10_000_000)];
        };
        let mut report = at_the_bounds();
        lose(&mut report.contests, 88_300);
        assert_eq!(broken(&report), Vec::<String>::new());
        lose(&mut report.contests, 88_100);
        assert_eq!(broken(&report).len(), 2);
        // They are no excuse where little disturbs.
        let mut report = at_the_bounds();
        lose(&mut report.undisturbed, 97_900);
        assert_eq!(broken(&report).len(), 2);
    }

    #[test]
    fn lost_holders_are_explained() {
        for (words, kind) in KINDS {
            let words = [words, "rarely"];
            breaks(&words, |report| {
                of_rust(kind(report), 32).record.preempted_holders = 10;
            });
            // Explained, but more than one grant of a hundred.
            let lose = |report: &mut Report, holders| {
                let record = &mut of_rust(kind(report), 32).record;
                record.preempted_holders = holders;
                record.counters = Some(counters(0, 20));
            };
            breaks(&words, |report| lose(report, 11));
            let mut report = at_the_bounds();
            lose(&mut report, 10);
            assert_eq!(broken(&report), Vec::<String>::new());
            // In any of several runs.
            breaks(&words, |report| {
                let mut again = contest(Kernel::Rust, 32, 90_000);
                again.record.preempted_holders = 11;
                kind(report).0.push(again);
            });
        }
    }

    #[test]
    fn what_is_missing_is_broken() {
        let verdicts = judge(&Report::default());
        assert!(verdicts.iter().all(|verdict| !verdict.kept));
        breaks(&["clock event", "Ipi", "Computes"], |report| {
            report.cycles.pop();
        });
        let mut report = at_the_bounds();
        report.undisturbed.0.clear();
        assert_eq!(
            broken(&report),
            [
                "32 threads, 1 CPUs: at least 0.98 of the same undisturbed but for lost holders",
                "flat under contention, undisturbed",
            ]
        );
    }
}
