// SPDX-License-Identifier: GPL-2.0

//! Threads that want a CPU again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;
use rseq_slice::pin_to;

use super::scene::{Class, set_class};

/// A rival that wakes up by itself.
pub(crate) struct Ticker {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Wakes up on `cpu` about `nanos` after each run. A CPU that goes away and comes back gets it
    /// back as well.
    pub(crate) fn start(cpu: usize, nanos: u64) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        pin_to(&[cpu])?;
        set_class(Class::Fair)?;
        let thread = thread::spawn(move || {
            let _ = set_class(Class::Rival);
            // Spreads the wakeups, so that they fall everywhere.
            for turn in 0_u64.. {
                if seen.load(Ordering::Relaxed) {
                    break;
                }
                if turn % 64 == 0 {
                    // Fails while the CPU is away.
                    let _ = pin_to(&[cpu]);
                }
                thread::sleep(Duration::from_nanos(nanos + turn * 7_919 % (nanos / 2)));
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
