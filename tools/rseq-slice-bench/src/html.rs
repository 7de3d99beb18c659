// SPDX-License-Identifier: MIT OR Apache-2.0

//! The page: one file, with everything in it.

use std::collections::BTreeSet;

use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use rseq_slice_bench_record::{LockKind, PathName, Waiting};

use crate::kernels::Kernel;
use crate::plots::{Curve, Plot};
use crate::report::{ContestRow, Report};
use crate::table::{self, Table};

const STYLE: &str = "body{font:14px sans-serif;margin:2em auto;max-width:1340px;padding:0 1em}\
    table{border-collapse:collapse;margin:1em 0}td,th{padding:2px 8px;text-align:right;\
    border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}\
    figure{display:inline-block;margin:4px}code{font-size:12px}";

/// Functions listed for each path.
const FUNCTIONS: usize = 40;

/// Makes the page of a report.
pub(crate) fn page(report: &Report) -> Result<String> {
    let cpus: BTreeSet<usize> = report
        .contests
        .0
        .iter()
        .map(|row| row.record.cpus)
        .collect();
    let mut throughput = Vec::new();
    let mut waits = Vec::new();
    let mut lengths = Vec::new();
    let mut locks = Vec::new();
    for &cpus in &cpus {
        throughput.extend(by_threads(report, cpus, LockKind::Spin)?);
        waits.extend(waits_of(report, cpus, 32)?);
        for threads in [8, 32] {
            lengths.extend(by_length(report, cpus, threads)?);
        }
        for lock in [LockKind::Ticket, LockKind::Futex] {
            locks.extend(by_threads(report, cpus, lock)?);
        }
    }
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { "Time slice extension: the cost and the effect" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Time slice extension: the cost and the effect" }
                p {
                    "Measured in QEMU with guest time that counts instructions: 1 instruction is 1 ns, \
                    one CPU runs at a time, and the same seed (" (report.seed) ") gives the same \
                    digits. Instructions are not cycles: caches, the timer's hardware and \
                    serializing instructions do not show."
                }
                ul { @for (kernel, version) in &report.kernels {
                    li { (kernel.title()) ": " (version) }
                } }

                h2 { "Paths" }
                p {
                    "Guest instructions, median and 99th percentile, and the ratio of the median to \
                    C's. What the measuring itself takes, in the first row, is in all rows."
                }
                (render(&table::paths(report)))

                h2 { "The timer" }
                p {
                    "Clock event device programmings and timer interrupts of the thread's CPU for \
                    each grant of the cycle: a competitor wakes up, the thread is granted an extension \
                    and yields, the competitor runs and sleeps again. The last column takes ticks out: each is a \
                    timer interrupt that causes no grant, and a programming."
                }
                (render(&table::cycles(report)))

                h2 { "One contended lock" }
                p {
                    "Threads take one lock over and over, with 60 steps of work under it. With \
                    several CPUs the clock counts the instructions of all, so that each CPU sees the \
                    others as stolen time, and N CPUs take N times the extension to behave like \
                    hardware. The pictures by threads are at 5 us for each CPU; those by length show \
                    5 us unscaled as well."
                }
                (figures(&throughput))
                h3 { "Waits" }
                p { "How long threads that had to wait took until they released the lock, by the share that took no longer." }
                (figures(&waits))
                h3 { "Lengths" }
                (figures(&lengths))
                h3 { "Other locks" }
                (figures(&locks))
                h3 { "All figures" }
                p {
                    "Holders lost: the holder was scheduled out inside its critical section. \
                    Refused: requests after which the thread was scheduled out, counted from \
                    lost requests and revoked grants. Waits count the threads that had to wait."
                }
                (render(&table::contests(report.contests.0.iter(), &report.contests)))
                h3 { "Undisturbed" }
                p {
                    "The scheduler's own timer ends time slices (feature HRTICK). With the C implementation \
                    a tick that comes soon before or after it revokes the grant; the holder is lost, \
                    and everybody waits until it runs again. Here time slices end at ticks (NO_HRTICK). \
                    Each thread stays on a CPU, because the kernel thread that moves threads takes a CPU \
                    as well. Each tick takes time from all CPUs, so the CPUs have theirs at different \
                    times (skew_tick=1), and keep them when idle (nohz=off): one thread alone bears the \
                    ticks of all CPUs, as many threads do."
                }
                (render(&table::contests(report.undisturbed.0.iter(), &report.undisturbed)))

                @if !report.programs.is_empty() {
                    h2 { "Whole programs" }
                    p {
                        "Results of " code { "make demo-apps" } ": without and with extensions, medians over the seeds. \
                        The number in the name of a demo is that of CPUs; counts are those with extensions."
                    }
                    (render(&table::programs(report)))
                }

                h2 { "What it costs others" }
                p {
                    "On one CPU: a thread that always asks and never yields, one that never asks, and \
                    a periodic thread. Its latency runs from the moment for which it asked to when \
                    it ran. With rseq_slice_ext=lazy no request is granted against a real-time \
                    thread."
                }
                (figures(&latencies(report)?))
                (render(&table::latencies(report)))

                h2 { "Size" }
                p { "In bytes. What is inlined into other functions counts in the sums only. \
                    The stack is that of the thread, in an interrupt with a grant." }
                (render(&table::sizes(report)))

                h2 { "Instructions by function" }
                p { "Median and mean of the instructions in a function for one run of a path." }
                @for path in report.path_names() { (functions(report, path)) }

                h2 { "What was run" }
                @for command in &report.commands { code { (command) } br; }
            }
        }
    };
    Ok(page.into_string())
}

/// The most important picture of the page: one spin lock on one CPU.
pub(crate) fn contention(report: &Report) -> Result<Option<String>> {
    by_threads(report, 1, LockKind::Spin)
}

fn render(table: &Table) -> Markup {
    html! {
        table {
            tr { @for cell in &table.head { th { (cell) } } }
            @for row in &table.rows { tr { @for cell in row { td { (cell) } } } }
        }
    }
}

fn figures(plots: &[String]) -> Markup {
    html! { @for svg in plots { figure { (PreEscaped(svg)) } } }
}

/// The curves of all kernels and ways to ask that `select` picks rows for.
fn curves(
    report: &Report,
    select: impl Fn(&ContestRow) -> bool,
    point: impl Fn(&ContestRow) -> (f64, f64),
) -> Vec<Curve> {
    let mut curves = Vec::new();
    for waiting in [Waiting::Off, Waiting::Held, Waiting::Dropped] {
        for kernel in [Kernel::C, Kernel::Rust] {
            let rows =
                report.contests.0.iter().filter(|row| {
                    row.kernel == kernel && row.record.waiting == waiting && select(row)
                });
            let mut points: Vec<_> = rows.map(&point).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            if !points.is_empty() {
                let how = match waiting {
                    Waiting::Off => "no request",
                    Waiting::Held => "request held while waiting",
                    Waiting::Dropped => "request dropped while waiting",
                };
                let name = format!("{how}, {}", kernel.title());
                curves.push(Curve { name, points });
            }
        }
    }
    curves
}

fn millions(row: &ContestRow) -> f64 {
    row.record.rate() / 1e6
}

fn plot(title: &str, x: &'static str, y: &'static str, curves: Vec<Curve>) -> Option<Plot> {
    (!curves.is_empty()).then(|| Plot {
        title: title.to_owned(),
        x,
        y,
        curves,
    })
}

fn by_threads(report: &Report, cpus: usize, lock: LockKind) -> Result<Option<String>> {
    let curves = curves(
        report,
        |row| row.record.cpus == cpus && row.record.lock == lock && table::is_shipped(row),
        |row| (row.record.threads as f64, millions(row)),
    );
    plot(
        &format!(
            "{lock:?} lock, {cpus} CPU{}, extensions of {} us",
            if cpus == 1 { "" } else { "s" },
            5 * cpus
        ),
        "threads",
        "M operations/s",
        curves,
    )
    .map(|plot| plot.powers_of_two())
    .transpose()
}

fn by_length(report: &Report, cpus: usize, threads: usize) -> Result<Option<String>> {
    let curves = curves(
        report,
        |row| {
            let record = &row.record;
            (record.cpus, record.threads, record.lock) == (cpus, threads, LockKind::Spin)
                && record.length.is_some()
        },
        |row| {
            (
                f64::from(row.record.length.unwrap_or(0)) / 1e3,
                millions(row),
            )
        },
    );
    plot(
        &format!("Spin lock, {cpus} CPUs, {threads} threads"),
        "extension, us",
        "M operations/s",
        curves,
    )
    .map(|plot| plot.powers_of_two())
    .transpose()
}

fn waits_of(report: &Report, cpus: usize, threads: usize) -> Result<Option<String>> {
    let rows = report.contests.0.iter().filter(|row| {
        let record = &row.record;
        (record.cpus, record.threads, record.lock) == (cpus, threads, LockKind::Spin)
            && table::is_shipped(row)
            && row.kernel == Kernel::Rust
    });
    let curves = rows
        .map(|row| Curve {
            name: format!("{:?}, {}", row.record.waiting, row.kernel.title()),
            points: row
                .record
                .waits
                .points
                .iter()
                .map(|&(share, ns)| (share * 100.0, ns as f64 / 1e3))
                .collect(),
        })
        .filter(|curve| !curve.points.is_empty())
        .collect();
    plot(
        &format!("Waits, spin lock, {cpus} CPUs, {threads} threads"),
        "percent of the waits",
        "us",
        curves,
    )
    .map(|plot| plot.powers_of_ten())
    .transpose()
}

fn latencies(report: &Report) -> Result<Vec<String>> {
    let mut curves = Vec::new();
    for row in report
        .latencies
        .iter()
        .filter(|row| row.kernel == Kernel::Rust)
    {
        let r = &row.record;
        let length = r
            .length
            .map_or("nobody asks".to_owned(), |ns| format!("{} us", ns / 1_000));
        curves.push((
            r.policy,
            Curve {
                name: length,
                points: r
                    .latencies
                    .points
                    .iter()
                    .map(|&(s, ns)| (s * 100.0, ns as f64 / 1e3))
                    .collect(),
            },
        ));
    }
    let mut pictures = Vec::new();
    let mut policies: Vec<_> = curves.iter().map(|pair| pair.0).collect();
    policies.dedup();
    policies.sort_unstable();
    policies.dedup();
    for policy in policies {
        let (of_policy, rest) = curves.into_iter().partition(|pair| pair.0 == policy);
        curves = rest;
        let of_policy: Vec<_> = of_policy;
        let of_policy = of_policy.into_iter().map(|pair| pair.1).collect();
        let title = format!("Wake-up latency of a periodic thread, {policy:?}, Rust");
        if let Some(plot) = plot(&title, "percent of the wake-ups", "us", of_policy) {
            pictures.push(plot.powers_of_ten()?);
        }
    }
    Ok(pictures)
}

/// The functions of a path, those in which C and Rust differ first.
fn functions(report: &Report, path: PathName) -> Markup {
    let group = |kernel| report.path(kernel, path)?.counted.as_ref();
    let Some((c, rust)) = group(Kernel::C).zip(group(Kernel::Rust)) else {
        return html! {};
    };
    let names: BTreeSet<&String> = c.functions.keys().chain(rust.functions.keys()).collect();
    let mut rows: Vec<_> = names
        .into_iter()
        .map(|name| {
            let of = |group: &crate::functions::Group| {
                let cost = group.functions.get(name);
                cost.map_or((0, 0.0), |cost| (cost.median, cost.mean))
            };
            (name, of(c), of(rust))
        })
        .filter(|(_, c, rust)| c.0 + rust.0 > 0)
        .collect();
    rows.sort_by_key(|(_, c, rust)| {
        (
            std::cmp::Reverse(c.0.abs_diff(rust.0)),
            std::cmp::Reverse(c.0),
        )
    });
    html! {
        details {
            summary {
                (path.title()) ": in the kernel C " (c.kernel_median) ", Rust " (rust.kernel_median)
            }
            table {
                tr { th { "function" } th { "C" } th { "Rust" } th { "difference" }
                    th { "C, mean" } th { "Rust, mean" } }
                @for (name, c, rust) in rows.into_iter().take(FUNCTIONS) {
                    tr {
                        td { (name) }
                        td { (c.0) }
                        td { (rust.0) }
                        td { (format!("{:+}", rust.0 as i64 - c.0 as i64)) }
                        td { (format!("{:.2}", c.1)) }
                        td { (format!("{:.2}", rust.1)) }
                    }
                }
            }
        }
    }
}
