// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the extension costs others: on CPU 0 a thread that always asks and never yields, one that
//! never asks, and a periodic thread whose wake-ups are late because of the former.

use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, bail, ensure};
use hdrhistogram::Histogram;
use lexopt::ValueExt;
use nix::time::{ClockId, clock_gettime};
use rseq_slice_bench_guest::{introduce, quantiles, report};
use rseq_slice_bench_record::{LatencyRecord, Policy, Record};
use rseq_slice_harness::scheduler::{self, set_policy};
use rseq_slice_harness::timer::{monotonic, sleep_until};
use rseq_slice_harness::{Control, ExtensionLength, Layout, Registration, pin_to, set_layout};

const USAGE: &str = "usage: rseq-slice-latency [--lengths US,...] [--periods N]";

/// Of the periodic thread, in nanoseconds. Not a multiple of the tick, so that the phase varies.
const PERIOD: u64 = 1_037_000;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rseq-slice-latency: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let (mut lengths, mut periods) = (vec![5, 10, 20, 50], 500);
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            lexopt::Arg::Long("lengths") => {
                let list = args.value()?.string()?;
                lengths = list
                    .split(',')
                    .map(|word| word.parse().map_err(|_| anyhow!("{word}: not a number")))
                    .collect::<Result<_>>()?;
            }
            lexopt::Arg::Long("periods") => periods = args.value()?.parse()?,
            _ => bail!(USAGE),
        }
    }
    ensure!(periods > 0, USAGE);

    pin_to(&[0])?;
    if introduce()?.is_none() {
        lengths.clear();
    }
    let lengths = lengths.into_iter().map(|us: u32| Some(us * 1_000));
    for length in [None].into_iter().chain(lengths) {
        for policy in [Policy::Other, Policy::Fifo] {
            report(&Record::Latency(beside_abuse(length, policy, periods)?))?;
        }
    }
    Ok(())
}

fn beside_abuse(length: Option<u32>, policy: Policy, periods: u32) -> Result<LatencyRecord> {
    let _length = length.map(ExtensionLength::set).transpose()?;
    let (start, stop) = (Barrier::new(3), AtomicBool::new(false));
    let panicked = |_| anyhow!("a thread panicked");
    thread::scope(|scope| {
        let asking = scope.spawn(|| -> Result<u64> {
            let ready = prepare(length.is_some());
            start.wait();
            let mut registration = ready?;
            let control = registration.bytes();
            // A request during a grant changes nothing.
            spend(&stop, || control.request())
        });
        let other = scope.spawn(|| -> Result<u64> {
            let ready = prepare(false);
            start.wait();
            let _registration = ready?;
            spend(&stop, || ())
        });
        let periodic = scope.spawn(|| -> Result<Histogram<u64>> {
            let ready = match policy {
                Policy::Other => Ok(()),
                Policy::Fifo => set_policy(scheduler::Policy::Fifo(1)),
            };
            start.wait();
            let latencies = ready.map_err(Into::into).and_then(|()| latencies(periods));
            stop.store(true, Ordering::Relaxed);
            latencies
        });
        let latencies = periodic.join().map_err(panicked)??;
        Ok(LatencyRecord {
            length,
            policy,
            latencies: quantiles(&latencies),
            asking: asking.join().map_err(panicked)??,
            other: other.join().map_err(panicked)??,
        })
    })
}

/// Threads that do not ask register as well, so that asking is the only difference.
fn prepare(enable: bool) -> Result<Registration> {
    let registration = Registration::new()?;
    if enable {
        set_layout(Some(Layout::Bytes))?;
    }
    Ok(registration)
}

/// Calls `f` until `stop`. Returns the CPU time that the calling thread got meanwhile.
fn spend(stop: &AtomicBool, f: impl Fn()) -> Result<u64> {
    let used =
        || -> Result<Duration> { Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into()) };
    let before = used()?;
    while !stop.load(Ordering::Relaxed) {
        f();
    }
    Ok(u64::try_from((used()? - before).as_nanos())?)
}

fn latencies(periods: u32) -> Result<Histogram<u64>> {
    let mut histogram = Histogram::new(3)?;
    let mut due = monotonic()?;
    for _ in 0..periods {
        due += PERIOD;
        // A thread that was late by more than a period has missed some.
        while due <= monotonic()? {
            due += PERIOD;
        }
        sleep_until(due)?;
        histogram.record(monotonic()? - due)?;
    }
    Ok(histogram)
}
