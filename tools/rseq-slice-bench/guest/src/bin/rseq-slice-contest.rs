// SPDX-License-Identifier: MIT OR Apache-2.0

//! Threads that compete for one lock: a record for each combination of what the options list.

use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use hdrhistogram::Histogram;
use lexopt::ValueExt;
use rseq_slice_bench_guest::{introduce, quantiles, report};
use rseq_slice_bench_record::{ContestRecord, LockKind, Record, Waiting, fairness};
use rseq_slice_harness::contest::{Contest, Outcome, Waits};
use rseq_slice_harness::lock::{FutexMutex, Pattern, SpinLock, TicketLock};
use rseq_slice_harness::scheduler::{FeatureOff, has_feature};
use rseq_slice_harness::{ExtensionLength, counters};

const USAGE: &str = "usage: rseq-slice-contest [--threads N,...] [--lengths US,...] \
    [--locks spin,ticket,futex] [--waiting off,held,dropped] [--ms MS] [--pinned] [--no-hrtick]
    A kernel without the extension measures `off` alone. With --pinned each thread keeps to a CPU,
    with --no-hrtick time slices end at ticks.";

/// The scheduler's feature of ending time slices by a timer of their own. Without it they end at ticks.
const HRTICK: &str = "HRTICK";

/// With fewer threads than this, measure as for this many.
const FEWEST: usize = 4;

/// Before the measured time they compete for that time divided by this.
const WARM_UP: u32 = 2;

fn main() -> ExitCode {
    match Options::from_args().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rseq-slice-contest: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Options {
    threads: Vec<usize>,
    /// In microseconds.
    lengths: Vec<u32>,
    locks: Vec<LockKind>,
    waiting: Vec<Waiting>,
    /// Milliseconds to measure for each thread: a preempted holder comes back after all the others
    /// had their turn, so that the number of threads scales all times.
    ms: u64,
    /// Whether each thread stays on a CPU.
    pinned: bool,
    /// Whether time slices end at ticks.
    no_hrtick: bool,
}

impl Options {
    fn from_args() -> Result<Self> {
        let mut options = Self {
            threads: vec![1, 8, 32],
            lengths: vec![5],
            locks: vec![LockKind::Spin],
            waiting: vec![Waiting::Off, Waiting::Held, Waiting::Dropped],
            ms: 10,
            pinned: false,
            no_hrtick: false,
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            use lexopt::Arg::Long;
            match arg {
                Long("threads") => options.threads = numbers(&args.value()?.string()?)?,
                Long("lengths") => options.lengths = numbers(&args.value()?.string()?)?,
                Long("locks") => options.locks = names(&args.value()?.string()?)?,
                Long("waiting") => options.waiting = names(&args.value()?.string()?)?,
                Long("pinned") => options.pinned = true,
                Long("no-hrtick") => options.no_hrtick = true,
                Long("ms") => options.ms = args.value()?.parse()?,
                _ => bail!(USAGE),
            }
        }
        ensure!(options.ms > 0 && !options.threads.contains(&0), USAGE);
        Ok(options)
    }
}

fn numbers<T: FromStr>(list: &str) -> Result<Vec<T>> {
    list.split(',')
        .map(|word| word.parse().map_err(|_| anyhow!("{word}: not a number")))
        .collect()
}

fn names<T: for<'a> serde::Deserialize<'a>>(list: &str) -> Result<Vec<T>> {
    list.split(',')
        .map(|word| serde_json::from_value(word.into()).context(USAGE))
        .collect()
}

fn run(options: &Options) -> Result<()> {
    let extension = introduce()?.is_some();
    let _ticks = options
        .no_hrtick
        .then(|| FeatureOff::new(HRTICK))
        .transpose()?;
    for &lock in &options.locks {
        for &threads in &options.threads {
            for &waiting in &options.waiting {
                match waiting {
                    Waiting::Off => one(options, lock, threads, waiting, None)?,
                    _ if !extension => (),
                    _ => {
                        for &length in &options.lengths {
                            one(options, lock, threads, waiting, Some(length * 1_000))?;
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

/// Waits in nanoseconds, to three digits.
struct Distribution(Histogram<u64>);

impl Default for Distribution {
    fn default() -> Self {
        Self(Histogram::new(3).expect("three digits are allowed"))
    }
}

impl Waits for Distribution {
    fn record(&mut self, wait: Duration) {
        let wait = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX / 2);
        self.0.record(wait).expect("the histogram grows");
    }

    fn merge(&mut self, other: Self) {
        self.0 += other.0;
    }
}

fn one(
    options: &Options,
    lock: LockKind,
    threads: usize,
    waiting: Waiting,
    length: Option<u32>,
) -> Result<()> {
    let _length = length.map(ExtensionLength::set).transpose()?;
    let cpus: Vec<usize> = (0..std::thread::available_parallelism()?.get()).collect();
    let duration = Duration::from_millis(options.ms * threads.max(FEWEST) as u64);
    let contest = Contest {
        threads,
        cpus: &cpus,
        pinned: options.pinned,
        warm_up: duration / WARM_UP,
        duration,
        extension: match waiting {
            Waiting::Off => None,
            Waiting::Held => Some(Pattern::Held),
            Waiting::Dropped => Some(Pattern::Dropped),
        },
    };
    let counted = || length.map(|_| counters()).transpose();
    let before = counted()?;
    let outcome: Outcome<Distribution> = match lock {
        LockKind::Spin => contest.run::<SpinLock, _>(),
        LockKind::Ticket => contest.run::<TicketLock, _>(),
        LockKind::Futex => contest.run::<FutexMutex, _>(),
    }
    .map_err(|error| anyhow!(error))?;
    let counters = counted()?.zip(before).map(|(after, before)| after - before);

    report(&Record::Contest(ContestRecord {
        lock,
        threads,
        cpus: cpus.len(),
        pinned: options.pinned,
        hrtick: has_feature(HRTICK)?,
        waiting,
        length,
        time: u64::try_from(outcome.time.as_nanos())?,
        operations: outcome.operations.iter().sum(),
        fewest: outcome.operations.iter().copied().min().unwrap_or(0),
        most: outcome.operations.iter().copied().max().unwrap_or(0),
        fairness: fairness(&outcome.operations),
        all_operations: outcome.all_operations,
        waits: quantiles(&outcome.waits.0),
        preempted_holders: outcome.preempted_holders,
        came_back: outcome.came_back,
        lost: outcome.ends.preempted,
        too_late: outcome.ends.too_late,
        counters,
    }))?;
    Ok(())
}
