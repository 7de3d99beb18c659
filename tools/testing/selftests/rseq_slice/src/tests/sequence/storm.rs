// SPDX-License-Identifier: GPL-2.0

//! Ordinary threads that count up per-CPU numbers in restartable sequences with grants in them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use rseq_slice_harness::{Layout, pin_to, set_extension_length};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::ktap::diagnose;
use crate::support::{BOTH_CPUS, Class, CounterDelta, Page, PerCpu, Worker, set_class};

pub(crate) const TESTS: &[Test] = &[
    both(
        "restarts_when_due_in_expiry_storm",
        Needs::OnTwoCpus,
        |env, layout| storm(env, layout, false),
    ),
    both(
        "restarts_when_due_in_expiry_storm_debug",
        Needs::OnTwoCpus,
        |env, layout| storm(env, layout, true),
    ),
];

/// Extensions are as short as can be, many expire in a page fault, and threads that wake up are not
/// always picked: the scheduler often picks the same thread again.
fn storm(env: Env, layout: Layout, debug: bool) -> Result<()> {
    const THREADS: u64 = 5;
    const GRANTS: u64 = 400;
    /// The percentage of sequences that last longer than their grants.
    const OUTLASTING: u64 = 80;
    set_debug(debug)?;
    set_extension_length(5_000)?;
    pin_to(&BOTH_CPUS)?;
    set_class(env, Class::Fair)?;
    let delta = CounterDelta::start()?;
    let counts = Arc::<PerCpu>::default();
    let over = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (1..=THREADS)
        .map(|seed| {
            let (counts, over) = (Arc::clone(&counts), Arc::clone(&over));
            thread::spawn(move || -> Result<u64> {
                let sleeps = seed % 2 == 0;
                let mut worker = Worker::new(layout, seed, OUTLASTING)?;
                while !over.load(Ordering::Relaxed) {
                    let page = Page::new()?;
                    worker.section(&counts, Some(page))?;
                    page.unmap()?;
                    if sleeps {
                        thread::sleep(Duration::from_micros(20));
                    }
                }
                Ok(worker.done())
            })
        })
        .collect();
    while delta.tally()?.granted < GRANTS && !threads.iter().any(|thread| thread.is_finished()) {
        thread::sleep(Duration::from_millis(1));
    }
    over.store(true, Ordering::Relaxed);
    let mut done = 0;
    for thread in threads {
        done += thread.join().map_err(|_| anyhow!("panic"))??;
    }
    let tally = delta.tally()?;
    diagnose(format_args!("{tally:?}, {done} sequences"));
    counts.ensure(done)?;
    check!(tally.expired > 10, "{tally:?}");
    Ok(())
}
