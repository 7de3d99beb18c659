// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bounds on how long a real-time thread waits for the CPU beside a thread that always asks.

use rseq_slice_bench_record::{LatencyRecord, Policy};

use super::{Verdict, missing};
use crate::kernels::Kernel;
use crate::report::Report;

/// Nanoseconds between worst cases that mean nothing: a tick comes just before the wake-up, or not.
const NOISE: i64 = 3_000;

/// The lengths that are judged, in nanoseconds.
const LENGTHS: [u32; 2] = [5_000, 50_000];

/// Judges the worst wake-ups of the real-time thread.
pub(super) fn judge(report: &Report) -> Vec<Verdict> {
    let all = LENGTHS.map(|length| all_reschedules(report, length));
    let lazy = LENGTHS.map(|length| lazy_only(report, length));

    all.into_iter().chain(lazy).collect()
}

/// A grant delays it by its length, and not by more.
fn all_reschedules(report: &Report, length: u32) -> Verdict {
    let us = length / 1_000;
    let name = format!("real-time wake-up, extension {us} us: at most that later");
    let length_ns = i64::from(length);

    bound(name, worst(report, Kernel::Rust, length), |later| {
        later <= length_ns + NOISE && later > length_ns / 2
    })
}

/// With `rseq_slice_ext=lazy` nothing delays it (difference `policy-is-fixed`).
fn lazy_only(report: &Report, length: u32) -> Verdict {
    let us = length / 1_000;
    let name = format!("real-time wake-up, rseq_slice_ext=lazy, extension {us} us: not later");

    bound(name, worst(report, Kernel::RustLazy, length), |later| {
        later <= NOISE
    })
}

/// The verdict on worst latencies and their difference, which `kept` judges.
fn bound(name: String, worst: Option<(u64, u64, i64)>, kept: impl FnOnce(i64) -> bool) -> Verdict {
    let Some((plain, asked, later)) = worst else {
        return missing(name);
    };
    Verdict {
        name,
        what: format!("{asked} ns instead of {plain} ns, {later:+} ns"),
        kept: kept(later),
    }
}

/// The worst latency if nobody asks, the one beside a thread that asks, and the difference.
fn worst(report: &Report, kernel: Kernel, length: u32) -> Option<(u64, u64, i64)> {
    let of = |wanted: Option<u32>| {
        let is = |record: &&LatencyRecord| record.policy == Policy::Fifo && record.length == wanted;
        let mut records = report
            .latencies
            .iter()
            .filter(|row| row.kernel == kernel)
            .map(|row| &row.record);
        Some(records.find(is)?.latencies.max())
    };
    let (plain, asked) = (of(None)?, of(Some(length))?);

    Some((plain, asked, asked as i64 - plain as i64))
}
