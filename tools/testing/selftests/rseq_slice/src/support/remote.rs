// SPDX-License-Identifier: GPL-2.0

//! A thread on the other CPU that does something to a scene while that is inside of a grant.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rseq_slice::pin_to;

use super::scene::OTHER_CPU;

/// An action that waits for its sign on [`OTHER_CPU`].
pub(crate) struct Remote {
    go: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Remote {
    /// Gets `action` ready. The other CPU spins until the sign is given, so that no system call
    /// is needed for it.
    pub(crate) fn ready(action: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Self> {
        let go = Arc::new(AtomicBool::new(false));
        let there = Arc::new(AtomicBool::new(false));
        let (their_go, their_there) = (Arc::clone(&go), Arc::clone(&there));
        let thread = thread::spawn(move || {
            pin_to(&[OTHER_CPU])?;
            their_there.store(true, Ordering::Release);
            while !their_go.load(Ordering::Acquire) {
                hint::spin_loop();
            }
            action()
        });
        while !there.load(Ordering::Acquire) && !thread.is_finished() {
            thread::sleep(Duration::from_micros(100));
        }
        Ok(Self { go, thread })
    }

    /// Gives the sign. Makes no system call.
    pub(crate) fn go(&self) {
        self.go.store(true, Ordering::Release);
    }

    /// Waits until the action is over.
    pub(crate) fn join(self) -> Result<()> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(anyhow!("panic")))
            .context("on the other CPU")
    }
}
