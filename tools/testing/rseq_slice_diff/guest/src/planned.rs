// SPDX-License-Identifier: GPL-2.0

//! Events that reach a thread while it waits in user mode.

use std::mem::ManuallyDrop;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpid, gettid};
use rseq_slice_diff_program::arg::{Event, Protection};
use rseq_slice_harness::scheduler::{Policy, set_policy_of};
use rseq_slice_harness::timer::{Due, SignalTimer, sleep_until};
use rseq_slice_harness::{pin_to, sys};

use crate::area::{self, Page, zero_or_error};
use crate::competitors;
use crate::knobs;
use crate::shared::shared;

/// The CPU of everything but the actions of the other one.
pub(crate) const CPU: usize = 0;
/// The CPU of those.
pub(crate) const OTHER_CPU: usize = 1;
/// No moment.
const NEVER: u64 = 0;

/// An event that waits to be told its moment.
pub(crate) enum Planned {
    Competitor,
    /// A timer that sends the thread that created it a signal. It outlives the plan, and ends with the
    /// process.
    Signal(ManuallyDrop<SignalTimer>),
    /// A thread on the other CPU.
    Remote(Sender<u64>),
}

impl Planned {
    /// Gets `event` ready for the calling thread.
    pub(crate) fn new(event: Event) -> Result<Self> {
        match event {
            Event::Competitor => Ok(Self::Competitor),
            Event::Signal => {
                let timer = SignalTimer::new(libc::SIGUSR1)?;
                Ok(Self::Signal(ManuallyDrop::new(timer)))
            }
            _ => remote(event).map(Self::Remote),
        }
    }

    /// Lets it happen at that moment of `CLOCK_MONOTONIC`.
    pub(crate) fn at(&self, moment: u64) -> Result<()> {
        match self {
            Self::Competitor => competitors::wake(1, Due::At(moment)),
            Self::Signal(timer) => Ok(timer.fire(Due::At(moment))?),
            Self::Remote(thread) => Ok(thread.send(moment)?),
        }
    }

    /// Lets it not happen, unless it has already.
    pub(crate) fn cancel(&self) -> Result<()> {
        match self {
            Self::Competitor => competitors::wake(1, Due::Never),
            Self::Signal(timer) => Ok(timer.fire(Due::Never)?),
            Self::Remote(thread) => Ok(thread.send(NEVER)?),
        }
    }
}

/// A thread on the other CPU that does something to the calling thread when its moment comes.
fn remote(event: Event) -> Result<Sender<u64>> {
    if event == Event::Membarrier {
        register_membarrier();
    }
    let (page, target) = (area::mine(), gettid());
    let (sender, moments) = channel();
    let (ready, waiting) = channel();
    thread::spawn(move || -> Result<()> {
        pin_to(&[OTHER_CPU])?;
        ready.send(())?;
        let mut moment = moments.recv()?;
        loop {
            if moment == NEVER {
                moment = moments.recv()?;
                continue;
            }
            sleep_until(moment)?;
            match moments.try_recv() {
                Ok(instead) => moment = instead,
                Err(_) => break,
            }
        }
        act(event, page, target);
        Ok(())
    });
    waiting.recv()?;
    Ok(sender)
}

/// Does something to the thread `target`, whose page is `page`.
fn act(event: Event, page: &Page, target: Pid) {
    match event {
        Event::Drop => drop(page.drop_memory()),
        Event::Fork => protect_by_fork(),
        Event::Class => change_class(target),
        Event::Migrate => {
            for cpu in [OTHER_CPU, CPU] {
                let mut cpus = CpuSet::new();
                let _ = cpus
                    .set(cpu)
                    .and_then(|()| sched_setaffinity(target, &cpus));
            }
        }
        Event::Unmap => drop(page.unmap()),
        Event::ReadOnly => drop(page.protect(Protection::Read)),
        Event::NoAccess => drop(page.protect(Protection::None)),
        Event::Membarrier => drop(membarrier()),
        Event::Kill => {
            // SAFETY: The call takes no pointer.
            unsafe { libc::kill(getpid().as_raw(), libc::SIGKILL) };
        }
        Event::Debug => drop(knobs::write_debug("1")),
        Event::Length => drop(knobs::write(knobs::LENGTH, "5000")),
        Event::Competitor | Event::Signal => unreachable!("these take no thread"),
    }
}

/// Forks a child that ends at once. The first store to a page after that takes a page fault.
fn protect_by_fork() {
    // SAFETY: The child calls nothing but the kernel.
    match unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) } {
        // SAFETY: Ends the child.
        0 => unsafe {
            libc::syscall(libc::SYS_exit_group, 0);
        },
        child if child > 0 => drop(waitpid(Pid::from_raw(child as i32), None)),
        _ => {}
    }
}

/// Changes the scheduling class of a thread, and changes it back.
fn change_class(target: Pid) {
    for policy in [Policy::Other, Policy::Fifo(competitors::PROGRAM_PRIORITY)] {
        let _ = set_policy_of(target.as_raw(), policy);
    }
    shared().totals.classes.fetch_add(1, SeqCst);
}

/// Waits until all has happened that was planned, so that nothing depends on whether the processes
/// of a program end before.
pub(crate) fn await_all() -> Result<()> {
    /// Nanoseconds for what happens then.
    const AFTER: u64 = 60_000;
    match shared().planned_until.load(SeqCst) {
        0 => Ok(()),
        last => Ok(sleep_until(last + AFTER)?),
    }
}

/// Registers the process for [`membarrier`].
pub(crate) fn register_membarrier() {
    let _ = sys::register_to_restart_sequences();
}

/// Makes all threads of the process that run leave their restartable sequences.
pub(crate) fn membarrier() -> i64 {
    let totals = &shared().totals;
    totals.barriers_begun.fetch_add(1, SeqCst);
    let result = zero_or_error(sys::restart_sequences());
    if result == 0 {
        totals.barriers_over.fetch_add(1, SeqCst);
    }
    result
}

/// Puts the calling thread where programs run.
pub(crate) fn take_place() -> Result<()> {
    pin_to(&[CPU]).context("there is no CPU 0")
}
