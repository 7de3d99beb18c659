// SPDX-License-Identifier: MIT OR Apache-2.0

//! Real-time threads that want a CPU at certain moments.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rseq_slice_harness::clock::ticks;
use rseq_slice_harness::scheduler::{Policy, set_policy};
use rseq_slice_harness::timer::{monotonic, sleep_until};

/// Nanoseconds until the first wake-up: enough for all threads to start.
const LEAD: u64 = 500_000;

/// Of the periodic threads.
pub const PRIORITY: i32 = 2;

/// When a thread wakes up.
#[derive(Debug, Clone, Copy)]
pub enum Wake {
    /// So long after it has gone to sleep.
    After(Duration),
    /// So long after each multiple of the period.
    Every {
        /// Nanoseconds between two wake-ups.
        period: u64,
        /// Nanoseconds after the multiple.
        offset: u64,
    },
}

/// A thread that wakes up, computes, and sleeps again.
#[derive(Debug, Clone, Copy)]
pub struct Periodic {
    /// When it wakes up.
    pub wake: Wake,
    /// How many ticks it computes.
    pub compute: u64,
}

/// Spends time in user mode.
pub fn compute(duration: u64) {
    let begin = ticks();
    while ticks() - begin < duration {}
}

impl Periodic {
    fn run(&self, base: u64, stop: &AtomicBool) -> Result<()> {
        set_policy(Policy::Fifo(PRIORITY))?;
        sleep_until(base)?;
        let mut due = base;
        while !stop.load(Ordering::Relaxed) {
            match self.wake {
                Wake::After(pause) => thread::sleep(pause),
                Wake::Every { period, offset } => {
                    due += period;
                    let now = monotonic()?;
                    while due + offset <= now {
                        due += period;
                    }
                    sleep_until(due + offset)?;
                }
            }
            compute(self.compute);
        }
        Ok(())
    }
}

/// Runs `f` while `threads` want its CPUs; tells it the moment from which periods are counted, in
/// nanoseconds of `CLOCK_MONOTONIC`.
///
/// # Errors
///
/// Those of `f`, and those of the threads.
///
/// # Panics
///
/// If a thread panics.
pub fn beside<T>(threads: &[Periodic], f: impl FnOnce(u64) -> Result<T>) -> Result<T> {
    let stop = AtomicBool::new(false);
    let base = monotonic()? + LEAD;
    thread::scope(|scope| {
        let running: Vec<_> = threads
            .iter()
            .map(|periodic| scope.spawn(|| periodic.run(base, &stop)))
            .collect();
        sleep_until(base)?;
        let result = f(base);
        stop.store(true, Ordering::Relaxed);
        for thread in running {
            thread.join().expect("a periodic thread panicked")?;
        }
        result
    })
}
