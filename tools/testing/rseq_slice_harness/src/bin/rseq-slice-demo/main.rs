// SPDX-License-Identifier: GPL-2.0

//! Shows what the rseq time slice extension is good for: threads that outnumber the CPUs compete for
//! one spin lock, without and with the extension.
//!
//! Exits with 0 only if the extension is there and the kernel granted and took back requests.

use std::env;
use std::fs;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use rseq_slice_harness::contest::{self, Contest, Longest};
use rseq_slice_harness::lock::{Pattern, SpinLock};
use rseq_slice_harness::{Counters, ExtensionLength, Implementation, counters, implementation};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// With fewer threads than this, measure as for this many.
const FEWEST: usize = 16;
const THREADS: [usize; 6] = [1, 2, 4, 8, 16, 32];

/// The CPUs to compete on and the length of a grant in nanoseconds. A clock that counts the
/// instructions of all CPUs runs twice as fast for each of two, which takes twice the length.
const SETTINGS: [(&[usize], u32); 2] = [(&[0], 5_000), (&[0, 1], 10_000)];

fn main() -> ExitCode {
    match duration_from(env::args().skip(1)).and_then(demo) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rseq-slice-demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How long to measure for each thread that takes part: a preempted holder of the lock comes back
/// after all the others had their turn, so that the number of threads scales all times.
fn duration_from(mut args: impl Iterator<Item = String>) -> Result<Duration> {
    match (args.next().map(|arg| arg.parse()), args.next()) {
        (None, _) => Ok(Duration::from_millis(10)),
        (Some(Ok(ms @ 1..)), None) => Ok(Duration::from_millis(ms)),
        _ => Err("usage: rseq-slice-demo [milliseconds to measure for each thread]".into()),
    }
}

fn demo(per_thread: Duration) -> Result<()> {
    println!("kernel: {}", kernel()?);
    println!(
        "time slice extension in: {}",
        match implementation()? {
            Implementation::C => "C",
            Implementation::Rust => "Rust",
        }
    );
    println!(
        "one spin lock, {} steps of work under it, measured for {} ms of each thread",
        contest::STEPS,
        per_thread.as_millis(),
    );

    let available = thread::available_parallelism()?.get();
    let mut yielded = 0;
    for (cpus, length) in SETTINGS {
        if cpus.len() > available {
            println!("\n{} CPUs: left out, there is only {available}", cpus.len());
            continue;
        }
        yielded += table(cpus, length, per_thread)?;
    }
    if yielded == 0 {
        return Err("no thread got an extension and gave the CPU up inside it".into());
    }
    Ok(())
}

fn kernel() -> Result<String> {
    let words = ["ostype", "osrelease", "version"]
        .into_iter()
        .map(|name| fs::read_to_string(format!("/proc/sys/kernel/{name}")))
        .collect::<std::io::Result<Vec<_>>>()?;
    Ok(words
        .iter()
        .map(|word| word.trim())
        .collect::<Vec<_>>()
        .join(" "))
}

/// One contest, with the counts of the kernel meanwhile.
struct Outcome {
    operations_per_second: f64,
    longest_wait: Duration,
    counters: Counters,
}

impl Outcome {
    fn of(contest: Contest<'_>) -> Result<Self> {
        let before = counters()?;
        let outcome = contest.run::<SpinLock, Longest>()?;
        Ok(Self {
            operations_per_second: outcome.operations_per_second(),
            longest_wait: outcome.waits.0,
            counters: counters()? - before,
        })
    }
}

/// Measures and prints one table. Returns how many grants ended with a yield.
fn table(cpus: &[usize], length: u32, per_thread: Duration) -> Result<u64> {
    let _length = ExtensionLength::set(length)?;
    println!(
        "\n{} CPU{}, extension {} us",
        cpus.len(),
        if cpus.len() == 1 { "" } else { "s" },
        length / 1000
    );
    println!(
        "             operations/s           longest wait     kernel's counts with the extension"
    );
    println!(
        "threads      off       on   gain       off        on  granted yielded aborted revoked expired  died"
    );
    let mut yielded = 0;
    for threads in THREADS {
        let contest = |extension| {
            Outcome::of(Contest {
                threads,
                cpus,
                pinned: false,
                warm_up: Duration::ZERO,
                duration: per_thread * threads.max(FEWEST) as u32,
                extension,
            })
        };
        let (off, on) = (contest(None)?, contest(Some(Pattern::Dropped))?);
        row(threads, &off, &on);
        yielded += on.counters.yielded;
    }
    Ok(yielded)
}

fn row(threads: usize, off: &Outcome, on: &Outcome) {
    let millions = |outcome: &Outcome| outcome.operations_per_second / 1e6;
    let Counters {
        granted,
        expired,
        revoked,
        yielded,
        aborted,
        died,
    } = on.counters;
    println!(
        "{threads:7} {:6.3} M {:6.3} M {:6.2} {:>9} {:>9} {granted:8} {yielded:7} {aborted:7} {revoked:7} {expired:7} {:>5}",
        millions(off),
        millions(on),
        millions(on) / millions(off),
        time(off.longest_wait),
        time(on.longest_wait),
        died.map_or("-".to_owned(), |died| died.to_string()),
    );
}

fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1e-3 => format!("{:.1} us", seconds * 1e6),
        seconds => format!("{:.1} ms", seconds * 1e3),
    }
}
