// SPDX-License-Identifier: GPL-2.0

//! Threads on the other CPU that do something to a setup while that cannot make a system call.

use std::fs::File;
use std::hint;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::errno::Errno;
use rseq_slice_harness::clock::now;
use rseq_slice_harness::pin_to;

use super::competitor::Competitor;
use super::setup::OTHER_CPU;
use crate::env::Env;

/// A moment that does not come.
const NEVER: u64 = u64::MAX;

/// An action that waits on [`OTHER_CPU`].
pub(crate) struct Remote {
    go: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Remote {
    /// Gets `action` ready. The other CPU spins until [`go`](Self::go), so that no system call
    /// is needed to start the action.
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

    /// Starts the action. Makes no system call.
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

/// A file that [`Competitor::awaiting`] waits for, and that 8 bytes are written to.
pub(crate) fn eventfd() -> Result<File> {
    // SAFETY: The call takes no pointer.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    // SAFETY: The kernel has just opened it for us.
    Ok(unsafe { File::from_raw_fd(Errno::result(fd)?) })
}

/// A competitor that the other CPU wakes, by an interrupt of that kind instead of the timer's.
pub(crate) struct RemotelyWoken {
    competitor: Competitor,
    due: Arc<AtomicU64>,
}

impl RemotelyWoken {
    /// A competitor on `cpu`, which must not be [`OTHER_CPU`].
    pub(crate) fn new(env: Env, cpu: usize) -> Result<Self> {
        let event = eventfd()?;
        let mut theirs = event.try_clone()?;
        let competitor = Competitor::awaiting(env, event, cpu)?;
        let due = Arc::new(AtomicU64::new(NEVER));
        let when = Arc::clone(&due);
        Remote::ready(move || {
            loop {
                if now() >= when.load(Ordering::Acquire) {
                    when.store(NEVER, Ordering::Release);
                    theirs.write_all(&1_u64.to_ne_bytes())?;
                }
                hint::spin_loop();
            }
        })?
        .go();
        Ok(Self { competitor, due })
    }

    pub(crate) const fn competitor(&self) -> &Competitor {
        &self.competitor
    }

    /// Wakes the competitor at this moment of [`now`]. Makes no system call on this CPU.
    pub(crate) fn wake_at(&self, moment: u64) {
        self.due.store(moment, Ordering::Release);
    }
}
