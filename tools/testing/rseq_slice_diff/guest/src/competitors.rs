// SPDX-License-Identifier: GPL-2.0

//! Processes that want the CPU at a given moment.
//!
//! They live as long as the runner. Being real-time processes, they precede those of the programs,
//! which in turn precede everything else; the second precedes the first.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::Ordering::SeqCst;

use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::{ForkResult, fork};
use rseq_slice_harness::scheduler::{Policy, set_policy};
use rseq_slice_harness::timer::{Due, alarm, each_event, set_alarm};

use crate::shared::shared;

/// Real-time priority of the programs.
pub(crate) const PROGRAM_PRIORITY: i32 = 10;
/// Real-time priorities of the competitors.
const PRIORITIES: [i32; 2] = [20, 21];
/// The descriptors of their timers, in all processes.
const TIMERS: [i32; 2] = [101, 102];

/// Starts the competitors on the CPU of the calling process.
pub(crate) fn start() -> Result<()> {
    for (competitor, (&priority, timer)) in PRIORITIES.iter().zip(TIMERS).enumerate() {
        let alarm = alarm()?;
        // SAFETY: Takes numbers only; nobody else uses this one. It stays open over an exec.
        Errno::result(unsafe { libc::dup2(alarm.as_raw_fd(), timer) })?;
        // SAFETY: This process has a single thread.
        if let ForkResult::Child = unsafe { fork() }? {
            let lived = live(competitor, priority, &alarm);
            // SAFETY: Ends the process without running the exit handlers of its parent.
            unsafe { libc::_exit(i32::from(lived.is_err())) }
        }
    }
    Ok(())
}

fn live(competitor: usize, priority: i32, timer: &File) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    set_policy(Policy::Fifo(priority))?;
    let runs = &shared().totals.competitors[competitor];
    Err(each_event(timer, || {
        runs.fetch_add(1, SeqCst);
    })
    .into())
}

/// Wakes a competitor when that is due.
pub(crate) fn wake(competitor: usize, due: Due) -> Result<()> {
    // SAFETY: Opened by `start`, and never closed.
    let timer = unsafe { BorrowedFd::borrow_raw(TIMERS[competitor]) };
    Ok(set_alarm(timer, due)?)
}

/// Wakes nobody any more.
pub(crate) fn rest() -> Result<()> {
    (0..TIMERS.len()).try_for_each(|competitor| wake(competitor, Due::Never))
}
