// SPDX-License-Identifier: GPL-2.0

//! Processes that want the CPU at a given moment.
//!
//! They live as long as the runner. Being real-time processes, they precede those of the programs,
//! which in turn precede everything else; the second precedes the first.

use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::{ForkResult, fork};

use crate::clock::timespec;
use crate::shared::shared;

/// Real-time priority of the programs.
pub(crate) const PROGRAM_PRIORITY: i32 = 10;
/// Real-time priorities of the rivals.
const PRIORITIES: [i32; 2] = [20, 21];
/// The descriptors of their timers, in all processes.
const TIMERS: [i32; 2] = [101, 102];

/// Makes the calling thread a real-time one.
pub(crate) fn set_priority(sched_priority: i32) -> Result<()> {
    let param = libc::sched_param { sched_priority };
    // SAFETY: The structure lives through the call.
    let ret = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) };
    Errno::result(ret).context("sched_setscheduler")?;
    Ok(())
}

/// Starts the rivals on the CPU of the calling process.
pub(crate) fn start() -> Result<()> {
    for (rival, (&priority, timer)) in PRIORITIES.iter().zip(TIMERS).enumerate() {
        // SAFETY: The call takes no pointer.
        let fd = Errno::result(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, 0) })?;
        // SAFETY: The kernel has just opened it for us; closed when the duplicate is made.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: Takes numbers only; nobody else uses this one.
        Errno::result(unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&fd), timer) })?;
        // SAFETY: This process has a single thread.
        if let ForkResult::Child = unsafe { fork() }? {
            let lived = live(rival, priority, timer);
            // SAFETY: Ends the process without running the exit handlers of its parent.
            unsafe { libc::_exit(i32::from(lived.is_err())) }
        }
    }
    Ok(())
}

fn live(rival: usize, priority: i32, timer: i32) -> Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    set_priority(priority)?;
    let runs = &shared().totals.rivals[rival];
    let mut expirations = 0_u64;
    loop {
        // SAFETY: Eight bytes, which the variable has.
        let len = unsafe { libc::read(timer, (&raw mut expirations).cast(), 8) };
        Errno::result(len)?;
        runs.fetch_add(1, SeqCst);
    }
}

/// Wakes a rival at that moment of `CLOCK_MONOTONIC`; never for 0.
pub(crate) fn wake(rival: usize, moment: u64) -> Result<()> {
    let when = libc::itimerspec {
        it_interval: timespec(0),
        it_value: timespec(moment),
    };
    let (timer, old) = (TIMERS[rival], std::ptr::null_mut());
    // SAFETY: The structure lives through the call, and no old value is asked for.
    let ret =
        unsafe { libc::timerfd_settime(timer, libc::TFD_TIMER_ABSTIME, &raw const when, old) };
    Errno::result(ret)?;
    Ok(())
}

/// Wakes nobody any more.
pub(crate) fn rest() -> Result<()> {
    (0..TIMERS.len()).try_for_each(|rival| wake(rival, 0))
}
