// SPDX-License-Identifier: MIT OR Apache-2.0

//! The main tables as text.

use std::fmt::Write;

use rseq_slice_bench_record::{LockKind, PathName, Waiting};

use crate::kernels::Kernel;
use crate::programs::Point;
use crate::report::{ContestRow, Contests, Report};

/// A table of words, for the terminal and for the page.
pub(crate) struct Table {
    pub(crate) head: Vec<String>,
    /// The first cell of a row is its title.
    pub(crate) rows: Vec<Vec<String>>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|&word| word.to_owned()).collect(),
            rows: Vec::new(),
        }
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = || [&self.head].into_iter().chain(&self.rows);
        let width = |column: usize| {
            all()
                .filter_map(|row| row.get(column))
                .map(String::len)
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.head.len()).map(width).collect();
        for row in all() {
            let mut line = format!("{:<w$}", row[0], w = widths[0]);
            for (cell, w) in row.iter().zip(&widths).skip(1) {
                write!(line, "  {cell:>w$}")?;
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// What the terminal shows at the end.
pub(crate) fn main(report: &Report) -> String {
    let mut text = format!(
        "guest instructions, median and 99th percentile (seed {})\n",
        report.seed
    );
    text += &paths(report).to_string();
    text += "\nfor each grant: clock event device programmings and timer interrupts\n";
    text += &cycles(report).to_string();
    text += "\nspin lock, request dropped while waiting, shipped length for each CPU\n";
    text += &recommended(report).to_string();
    text +=
        "\nthe same undisturbed: bound threads, slices end at ticks, ticks at different times\n";
    text += &contests(report.undisturbed.0.iter(), &report.undisturbed).to_string();
    if !report.programs.is_empty() {
        text += "\nwhole programs, without and with extensions: medians over the seeds\n";
        text += &programs(report).to_string();
    }
    text
}

/// The costs of the paths.
pub(crate) fn paths(report: &Report) -> Table {
    let mut table = Table::new(&["path", "samples"]);
    for kernel in Kernel::ALL {
        table.head.push(kernel.title().to_owned());
        if kernel != Kernel::C {
            table.head.push("/C".to_owned());
        }
    }
    let row = |path: PathName| {
        let samples = |kernel| report.path(kernel, path).map(|row| row.record.samples);
        let mut cells = vec![
            path.title().to_owned(),
            Kernel::ALL
                .into_iter()
                .find_map(samples)
                .unwrap_or(0)
                .to_string(),
        ];
        let c = report.path(Kernel::C, path).map(|row| row.record.p50);
        for kernel in Kernel::ALL {
            let found = report.path(kernel, path).map(|row| &row.record);
            cells.push(found.map_or("-".to_owned(), |r| format!("{} {}", r.p50, r.p99)));
            if kernel != Kernel::C {
                let ratio = found.zip(c).map(|(r, c)| r.p50 as f64 / c as f64);
                cells.push(ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.4}")));
            }
        }
        cells
    };
    table.rows = report.path_names().into_iter().map(row).collect();
    table
}

/// The counts for each grant.
pub(crate) fn cycles(report: &Report) -> Table {
    let mut table = Table::new(&[
        "cause, competitor, CPUs, kernel",
        "cycles",
        "grants",
        "programmings",
        "interrupts",
        "programmings less ticks",
    ]);
    for row in &report.cycles {
        let count = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
        let per_grant = row.per_grant();
        table.rows.push(vec![
            format!(
                "{:?}, {:?}, {}, {}",
                row.record.cause,
                row.record.competitor,
                row.cpus,
                row.kernel.title()
            ),
            row.record.cycles.to_string(),
            row.record.counters.granted.to_string(),
            count(per_grant.map(|pair| pair.0)),
            count(per_grant.map(|pair| pair.1)),
            count(row.less_ticks()),
        ]);
    }
    table.rows.sort();
    table
}

/// Whether a contest was at the shipped length for each CPU.
pub(crate) fn is_shipped(row: &ContestRow) -> bool {
    let record = &row.record;
    record
        .length
        .is_none_or(|length| length as usize == 5_000 * record.cpus)
}

/// The contests with the recommended pattern.
pub(crate) fn recommended(report: &Report) -> Table {
    let of_pattern = |row: &&ContestRow| {
        row.record.lock == LockKind::Spin
            && row.record.waiting == Waiting::Dropped
            && is_shipped(row)
    };
    let rows = report.contests.0.iter().filter(of_pattern);
    contests(rows, &report.contests)
}

/// Some of `all`.
pub(crate) fn contests<'a>(rows: impl Iterator<Item = &'a ContestRow>, all: &Contests) -> Table {
    let mut table = Table::new(&[
        "lock, request, length, CPUs, kernel",
        "threads",
        "M ops/s",
        "of one thread",
        "fairness",
        "wait p99",
        "wait max",
        "holders lost",
        "grants",
        "expired",
        "revoked",
        "refused",
    ]);
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| {
        let r = &row.record;
        (r.lock, r.waiting, r.length, r.cpus, row.kernel, r.threads)
    });
    for row in rows {
        let r = &row.record;
        let alone = all
            .fastest(row.kernel, r.lock, (r.cpus, 1), (r.waiting, r.length))
            .map(|one| r.rate() / one.record.rate());
        let count = |value: Option<u64>| value.map_or("-".to_owned(), |v| v.to_string());
        table.rows.push(vec![
            format!(
                "{:?}, {:?}, {}, {}, {}",
                r.lock,
                r.waiting,
                r.length
                    .map_or("-".to_owned(), |ns| format!("{} us", ns / 1_000)),
                r.cpus,
                row.kernel.title()
            ),
            r.threads.to_string(),
            format!("{:.4}", r.rate() / 1e6),
            alone.map_or("-".to_owned(), |share| format!("{share:.3}")),
            format!("{:.3}", r.fairness),
            r.waits.at(0.99).map_or("-".to_owned(), time),
            time(r.waits.max()),
            r.preempted_holders.to_string(),
            count(r.counters.map(|c| c.granted)),
            count(r.counters.map(|c| c.expired)),
            count(r.counters.map(|c| c.revoked)),
            count(row.refused),
        ]);
    }
    table
}

/// The latencies of the periodic thread.
pub(crate) fn latencies(report: &Report) -> Table {
    let mut table = Table::new(&[
        "length, policy, kernel",
        "wake-ups",
        "p50",
        "p99",
        "p99.9",
        "max",
        "asking thread's share of CPU",
    ]);
    for row in &report.latencies {
        let r = &row.record;
        let at = |step| r.latencies.at(step).map_or("-".to_owned(), time);
        let share = r.asking as f64 / (r.asking + r.other) as f64;
        table.rows.push(vec![
            format!(
                "{}, {:?}, {}",
                r.length
                    .map_or("nobody asks".to_owned(), |ns| format!("{} us", ns / 1_000)),
                r.policy,
                row.kernel.title()
            ),
            r.latencies.count.to_string(),
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0),
            format!("{:.2} %", share * 100.0),
        ]);
    }
    table
}

/// Whole programs.
pub(crate) fn programs(report: &Report) -> Table {
    let mut table = Table::new(&[
        "demo, kernel",
        "threads",
        "off, 1/s",
        "on, 1/s",
        "on : off",
        "wait p99",
        "wait max",
        "granted",
        "expired",
        "revoked",
        "yielded",
        "aborted",
    ]);
    for (kernel, demos) in &report.programs {
        for (name, off, on) in demos.pairs() {
            let change = |time: fn(&Point) -> Option<f64>| {
                let times = time(off).zip(time(on));
                times.map_or("-".to_owned(), |(off, on)| {
                    format!("{:.1} -> {:.1} ms", off / 1e3, on / 1e3)
                })
            };
            let count = |count: f64| format!("{count:.0}");
            table.rows.push(vec![
                format!("{name}, {}", kernel.title()),
                count(on.threads),
                count(off.rate),
                count(on.rate),
                format!("{:.3}", on.rate / off.rate),
                change(|point| point.p99_us),
                change(|point| point.longest_us),
                count(on.granted),
                count(on.expired),
                count(on.revoked),
                count(on.yielded),
                count(on.aborted),
            ]);
        }
    }
    table
}

/// Text and data.
pub(crate) fn sizes(report: &Report) -> Table {
    let mut table = Table::new(&[
        "kernel", "text", "data", "bss", "own text", "own data", "stack",
    ]);
    for (kernel, image) in &report.images {
        table.rows.push(vec![
            kernel.title().to_owned(),
            image.text.to_string(),
            image.data.to_string(),
            image.bss.to_string(),
            image.own_text.to_string(),
            image.own_data.to_string(),
            report
                .path(*kernel, PathName::Granted)
                .and_then(|row| row.counted.as_ref())
                .map_or("-".to_owned(), |group| group.stack_median.to_string()),
        ]);
    }
    table
}

/// Nanoseconds in words.
pub(crate) fn time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html;
    use crate::programs::{Demos, Variant};

    #[test]
    fn columns_are_aligned() {
        let table = Table {
            head: vec!["a".into(), "b".into()],
            rows: vec![
                vec!["long".into(), "1".into()],
                vec!["x".into(), "100".into()],
            ],
        };
        assert_eq!(table.to_string(), "a       b\nlong    1\nx     100\n");
    }

    #[test]
    fn whole_programs_are_in_the_table_and_on_the_page() {
        let point = |variant, rate| Point {
            variant,
            threads: 16.0,
            rate,
            p99_us: None,
            longest_us: Some(rate),
            granted: 7.0,
            expired: 0.0,
            revoked: 1.0,
            yielded: 4.0,
            aborted: 2.0,
        };
        let mut report = Report::default();
        assert!(!main(&report).contains("whole programs"));
        assert!(!html::page(&report).unwrap().contains("Whole programs"));
        let points = vec![point(Variant::On, 1500.0), point(Variant::Off, 1000.0)];
        let demos = Demos([("server".to_owned(), points)].into());
        report.programs.insert(Kernel::Rust, demos);
        let rows = programs(&report).rows;
        let row = "server, Rust|16|1000|1500|1.500|-|1.0 -> 1.5 ms|7|0|1|4|2";
        assert_eq!(
            rows,
            [row.split('|').map(str::to_owned).collect::<Vec<_>>()]
        );
        assert!(main(&report).contains("server, Rust"));
        assert!(html::page(&report).unwrap().contains("server, Rust"));
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time(999), "999 ns");
        assert_eq!(time(1_500), "1.5 us");
        assert_eq!(time(427_000_000), "427.0 ms");
    }
}
