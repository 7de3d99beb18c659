// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each bound, just kept and just broken.

use rseq_slice_bench_record::{
    Cause, Competitor, ContestRecord, CycleRecord, LatencyRecord, LockKind, PathName, PathRecord,
    Policy, Quantiles, Waiting, fairness,
};
use rseq_slice_debugfs::Counters;

use super::judge;
use super::paths::{Bound, OFF_AT_BOOT, PATHS};
use crate::kernels::Kernel;
use crate::report::{ContestRow, Contests, CycleRow, LatencyRow, PathRow, Report};

fn counters(expired: u64, revoked: u64) -> Counters {
    Counters {
        granted: 1000,
        expired,
        revoked,
        yielded: 1000 - revoked,
        aborted: 0,
        died: None,
    }
}

fn path(kernel: Kernel, path: PathName, p50: u64) -> PathRow {
    let record = PathRecord::new(path, vec![p50]);
    PathRow {
        kernel,
        record,
        counted: None,
    }
}

fn cycle(kernel: Kernel, cause: Cause, competitor: Competitor, programmings: u64) -> CycleRow {
    CycleRow {
        kernel,
        cpus: 1,
        record: CycleRecord {
            cause,
            competitor,
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
        refused: record.refused(),
        record,
    }
}

fn latency(kernel: Kernel, length: Option<u32>, worst: u64) -> LatencyRow {
    let record = LatencyRecord {
        length,
        policy: Policy::Fifo,
        latencies: Quantiles {
            points: vec![(1.0, worst)],
            ..Quantiles::default()
        },
        asking: 0,
        other: 0,
    };
    LatencyRow { kernel, record }
}

/// A report in which every bound is just kept.
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
        for competitor in [Competitor::Sleeps, Competitor::Computes] {
            let (c, rust) = match cause {
                Cause::Timer => (3980, 2999),
                Cause::Ipi => (2000, 2000),
            };
            report.cycles.push(cycle(Kernel::C, cause, competitor, c));
            report
                .cycles
                .push(cycle(Kernel::Rust, cause, competitor, rust));
        }
    }
    for (kernel, length, worst) in [
        (Kernel::Rust, None, 10_000),
        (Kernel::Rust, Some(5_000), 16_000),
        (Kernel::Rust, Some(50_000), 61_000),
        (Kernel::RustLazy, None, 10_000),
        (Kernel::RustLazy, Some(5_000), 11_000),
        (Kernel::RustLazy, Some(50_000), 11_000),
    ] {
        report.latencies.push(latency(kernel, length, worst));
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
        for competitor in [Competitor::Sleeps, Competitor::Computes] {
            let words = format!("{cause:?}, competitor {competitor:?}");
            let row = |report: &mut Report, change: fn(&mut CycleRow)| {
                let mut rows = report.cycles.iter_mut();
                let row = rows.find(|row| {
                    (row.kernel, row.record.cause, row.record.competitor)
                        == (Kernel::Rust, cause, competitor)
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

#[test]
fn realtime_threads_wait_for_an_extension_or_not_at_all() {
    let set = |report: &mut Report, kernel, us: u32, worst| {
        let mut rows = report.latencies.iter_mut();
        let row = rows.find(|row| (row.kernel, row.record.length) == (kernel, Some(us * 1_000)));
        row.unwrap().record.latencies.points = vec![(1.0, worst)];
    };
    for (us, most) in [(5, 18_000), (50, 63_000)] {
        let length = format!("extension {us} us");
        breaks(&[&length, "at most that later"], |report| {
            set(report, Kernel::Rust, us, most + 1);
        });
        // Nothing was granted.
        breaks(&[&length, "at most that later"], |report| {
            set(report, Kernel::Rust, us, 10_000);
        });
        breaks(&[&length, "lazy"], |report| {
            set(report, Kernel::RustLazy, us, 13_001);
        });
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
