// SPDX-License-Identifier: GPL-2.0

//! Threads that want a CPU again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use rseq_slice_harness::clock::spin_long_while;
use rseq_slice_harness::pin_to;

use super::attributes::take_short_slices;
use super::class::{Class, set_class};
use crate::env::Env;

/// A thread that wants a CPU by itself.
pub(crate) struct Ticker {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Wakes up on `cpu` about `nanos` after each run, in front of the normal class.
    pub(crate) fn waking(env: Env, cpu: usize, nanos: u64) -> Result<Self> {
        Self::start(env, cpu, Class::Competitor, move |turn| {
            // Spreads the wakeups, so that they fall everywhere.
            thread::sleep(Duration::from_nanos(nanos + turn * 7_919 % (nanos / 2)));
        })
    }

    /// Never leaves `cpu` to the others of the normal class for longer than their slices.
    pub(crate) fn spinning(env: Env, cpu: usize) -> Result<Self> {
        Self::start(env, cpu, Class::Fair, |turn| {
            if turn == 0 {
                let _ = take_short_slices();
            }
            spin_long_while(10_000, || true);
        })
    }

    /// Runs on `cpu` whenever no other thread wants it.
    pub(crate) fn idle(env: Env, cpu: usize) -> Result<Self> {
        Self::start(env, cpu, Class::Idle, |_| {
            spin_long_while(10_000, || true);
        })
    }

    /// A CPU that goes offline and comes online again gets the thread back.
    fn start(
        env: Env,
        cpu: usize,
        class: Class,
        want: impl Fn(u64) + Send + 'static,
    ) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        pin_to(&[cpu])?;
        set_class(env, Class::Fair)?;
        let thread = thread::spawn(move || {
            let _ = set_class(env, class);
            for turn in 0_u64.. {
                if seen.load(Ordering::Relaxed) {
                    break;
                }
                if turn % 64 == 0 {
                    // Fails while the CPU is offline.
                    let _ = pin_to(&[cpu]);
                }
                want(turn);
            }
        });
        Ok(Self {
            over,
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
