// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bounds on what many threads get out of a lock.

use rseq_slice_bench_record::{ContestRecord, LockKind, Waiting};

use super::{Verdict, missing};
use crate::kernels::Kernel;
use crate::report::{Contests, Report};

/// The least throughput of many threads, as a share of what they are compared with.
const FLAT: f64 = 0.98;

/// The share of grants whose holder may be lost nevertheless.
const LOST: f64 = 0.01;

/// Fewer lost holders than this are always allowed.
const FEW: u64 = 10;

/// Under which conditions threads competed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Chance ends some grants. The threads are compared with the same threads undisturbed, and may
    /// be slower by what lost holders cost.
    AsTheyCome,
    /// As by [`Job::undisturbed()`](crate::jobs::Job::undisturbed). The threads are compared
    /// with one thread, whatever lost holders cost.
    Undisturbed,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::AsTheyCome => "",
            Self::Undisturbed => ", undisturbed",
        }
    }

    fn excuse(self) -> &'static str {
        match self {
            Self::AsTheyCome => " but for lost holders",
            Self::Undisturbed => "",
        }
    }
}

/// Judges what was measured with many threads that use the recommended pattern, at the shipped length
/// for each CPU.
pub(super) fn judge(report: &Report, kind: Kind) -> Vec<Verdict> {
    let contests = match kind {
        Kind::AsTheyCome => &report.contests,
        Kind::Undisturbed => &report.undisturbed,
    };
    let mut settings: Vec<(usize, usize)> = contests
        .0
        .iter()
        .map(|row| (row.record.cpus, row.record.threads))
        .filter(|&(_, threads)| threads >= 32)
        .collect();
    settings.sort_unstable();
    settings.dedup();
    if settings.is_empty() {
        return vec![missing(format!("flat under contention{}", kind.name()))];
    }
    let judge = |(cpus, threads)| {
        let contest = Recommended {
            contests,
            undisturbed: &report.undisturbed,
            kind,
            cpus,
            threads,
        };
        [contest.flat(), contest.never_worse(), contest.explained()]
    };
    settings.into_iter().flat_map(judge).collect()
}

/// Contests with the recommended pattern.
struct Recommended<'a> {
    contests: &'a Contests,
    undisturbed: &'a Contests,
    kind: Kind,
    cpus: usize,
    threads: usize,
}

impl Recommended<'_> {
    /// The name of a bound.
    fn name(&self, bound: &str) -> String {
        let (threads, cpus, kind) = (self.threads, self.cpus, self.kind.name());
        format!("{threads} threads, {cpus} CPUs{kind}: {bound}")
    }

    /// The name of a bound on throughput.
    fn share_of(&self, what: &str) -> String {
        self.name(&format!("at least {FLAT} of {what}{}", self.kind.excuse()))
    }

    /// Whether `share`, of `record`, is enough.
    fn is_flat(&self, share: f64, record: &ContestRecord) -> bool {
        match self.kind {
            Kind::AsTheyCome => share + record.stopped() >= FLAT,
            Kind::Undisturbed => share >= FLAT,
        }
    }

    /// When the pattern makes requests, and for how long.
    fn requests(&self) -> (Waiting, Option<u32>) {
        (Waiting::Dropped, u32::try_from(5_000 * self.cpus).ok())
    }

    fn fastest<'a>(
        &self,
        contests: &'a Contests,
        kernel: Kernel,
        threads: usize,
    ) -> Option<&'a ContestRecord> {
        let places = (self.cpus, threads);
        let row = contests.fastest(kernel, LockKind::Spin, places, self.requests())?;
        Some(&row.record)
    }

    /// Throughput does not depend on the number of threads.
    fn flat(&self) -> Verdict {
        let (what, threads) = match self.kind {
            Kind::AsTheyCome => ("the same undisturbed", self.threads),
            Kind::Undisturbed => ("one thread", 1),
        };
        let name = self.share_of(what);
        let many = self.fastest(self.contests, Kernel::Rust, self.threads);
        let reference = self.fastest(self.undisturbed, Kernel::Rust, threads);
        let Some((many, reference)) = many.zip(reference) else {
            return missing(name);
        };
        let share = many.rate() / reference.rate();
        Verdict {
            name,
            what: format!(
                "{:.0}/s of {:.0}/s, {share:.4}; {} holders lost, for {:.4} of the time",
                many.rate(),
                reference.rate(),
                many.preempted_holders,
                many.stopped()
            ),
            kept: self.is_flat(share, many),
        }
    }

    fn never_worse(&self) -> Verdict {
        let name = self.share_of("C");
        let of = |kernel| self.fastest(self.contests, kernel, self.threads);
        let Some((rust, c)) = of(Kernel::Rust).zip(of(Kernel::C)) else {
            return missing(name);
        };
        let share = rust.rate() / c.rate();
        Verdict {
            name,
            what: format!(
                "Rust {:.0}/s and {} lost, C {:.0}/s and {} lost, {share:.4}",
                rust.rate(),
                rust.preempted_holders,
                c.rate(),
                c.preempted_holders
            ),
            kept: self.is_flat(share, rust),
        }
    }

    /// A holder is scheduled out inside its critical section because a grant was revoked, which is
    /// how an expired one ends too, or refused. A tick takes so much of a grant that the grant may
    /// expire.
    fn explained(&self) -> Verdict {
        let name = self.name("holders lost only rarely, and to revocation or refusal");
        let places = (self.cpus, self.threads);
        let contests = self.contests;
        let rows = contests.of(Kernel::Rust, LockKind::Spin, places, self.requests());
        let counts: Option<Vec<_>> = rows
            .map(|row| {
                let counters = row.record.counters?;
                Some([
                    row.record.preempted_holders,
                    counters.granted,
                    counters.expired,
                    counters.revoked,
                    row.refused?,
                ])
            })
            .collect();
        let Some(counts) = counts.filter(|counts| !counts.is_empty()) else {
            return missing(name);
        };
        let [preempted, granted, expired, revoked, refused] =
            counts.iter().fold([0; 5], |sums, row| {
                std::array::from_fn(|i| sums[i] + row[i])
            });
        Verdict {
            name,
            what: format!(
                "{preempted} holders scheduled out; of {granted} grants {expired} expired and \
                 {revoked} were revoked, {refused} requests were refused"
            ),
            kept: preempted <= revoked + refused
                && (preempted < FEW || preempted as f64 <= granted as f64 * LOST),
        }
    }
}
