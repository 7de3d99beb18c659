// SPDX-License-Identifier: GPL-2.0

//! Threads format strings and push them to vectors, with a global allocator behind one lock: how many strings
//! are made, and what became of requests for extensions meanwhile?

mod heap;

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use heap::Lock;
use rseq_slice::{Policy, set_policy};
use rseq_slice_harness::{Counters, counters, pin_to, set_extension_length};
use serde::Serialize;

const USAGE: &str = "Usage: rseq-slice-alloc [options]

  --lock LOCK        what the allocator is behind: spin, sliced (the same with the
                     extension), mutex, sliced-mutex, and plain-mutex, which has no
                     sections (default sliced)
  --threads N        (default 1)
  --cpus N           run on the CPUs 0 to N-1 (default 1)
  --ms MS            duration in ms (default 100)
  --extension NS     set the length of an extension (default: leave it)

Prints a line of JSON. The counters are the whole machine's.
";

/// What a run was and what came out.
#[derive(Debug, Serialize)]
struct Row {
    demo: &'static str,
    lock: String,
    threads: usize,
    cpus: usize,
    /// Strings that were made.
    operations: u64,
    /// In this many nanoseconds.
    ns: u64,
    /// Why a thread has no extension.
    why: Option<String>,
    granted: u64,
    expired: u64,
    revoked: u64,
    yielded: u64,
    aborted: u64,
}

struct Options {
    lock: String,
    threads: usize,
    cpus: usize,
    ms: u64,
    extension: Option<u32>,
}

fn options() -> Result<Option<Options>> {
    use lexopt::prelude::*;
    let mut options = Options {
        lock: "sliced".to_owned(),
        threads: 1,
        cpus: 1,
        ms: 100,
        extension: None,
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(None),
            Long("lock") => options.lock = parser.value()?.string()?,
            Long("threads") => options.threads = parser.value()?.parse()?,
            Long("cpus") => options.cpus = parser.value()?.parse()?,
            Long("ms") => options.ms = parser.value()?.parse()?,
            Long("extension") => options.extension = Some(parser.value()?.parse()?),
            argument => return Err(argument.unexpected().into()),
        }
    }
    ensure!(options.threads > 0, "--threads 0: at least one");
    ensure!(options.cpus > 0, "--cpus 0: at least one");
    ensure!(options.ms > 0, "--ms 0: at least one");
    Ok(Some(options))
}

/// On a cache line of its own.
#[repr(align(64))]
#[derive(Default)]
struct Done(AtomicU64);

/// Makes strings until told to stop.
fn work(done: &Done, stop: &AtomicBool) {
    const STRINGS: u64 = 32;
    let mut made = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut strings = Vec::new();
        for n in made..made + STRINGS {
            strings.push(format!("string {n} of many"));
        }
        black_box(&strings);
        made += STRINGS;
        done.0.store(made, Ordering::Relaxed);
    }
}

/// The strings made in the given time, how long it really was, and the counters' differences.
fn measure(options: &Options) -> Result<(u64, Duration, Counters, Option<String>)> {
    let done: Vec<_> = (0..options.threads).map(|_| Done::default()).collect();
    let stop = AtomicBool::new(false);
    let start = Barrier::new(options.threads + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = done
            .iter()
            .map(|done| {
                let (stop, start) = (&stop, &start);
                scope.spawn(move || {
                    // Its cause is the same in all threads, and asking sets the thread up.
                    let support = rseq_slice::support();
                    start.wait();
                    work(done, stop);
                    support.err().map(|why| why.to_string())
                })
            })
            .collect();
        let before = counters();
        start.wait();
        let sum = || {
            done.iter()
                .map(|done| done.0.load(Ordering::Relaxed))
                .sum::<u64>()
        };
        let (began, at_first) = (Instant::now(), sum());
        thread::sleep(Duration::from_millis(options.ms));
        let (operations, time) = (sum() - at_first, began.elapsed());
        stop.store(true, Ordering::Relaxed);
        let before = before?;
        let mut why = None;
        for thread in threads {
            why = why.or(thread.join().ok().context("a thread panicked")?);
        }
        Ok((operations, time, counters()? - before, why))
    })
}

fn run() -> Result<()> {
    let Some(options) = options()? else {
        print!("{USAGE}");
        return Ok(());
    };
    let lock: Lock = options.lock.parse()?;
    let policy = Policy {
        enabled: lock.is_sliced(),
        take_over: true,
        ..Policy::DEFAULT
    };
    set_policy(policy)?;
    if let Some(ns) = options.extension {
        set_extension_length(ns)?;
    }
    pin_to(&(0..options.cpus).collect::<Vec<_>>())?;

    lock.choose();
    let (operations, time, counters, why) = measure(&options)?;
    let row = Row {
        demo: "alloc",
        lock: options.lock,
        threads: options.threads,
        cpus: options.cpus,
        operations,
        ns: time.as_nanos().try_into()?,
        why: why.filter(|_| lock.is_sliced()),
        granted: counters.granted,
        expired: counters.expired,
        revoked: counters.revoked,
        yielded: counters.yielded,
        aborted: counters.aborted,
    };
    println!("{}", serde_json::to_string(&row)?);
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rseq-slice-alloc: {error:#}");
            ExitCode::FAILURE
        }
    }
}
