// SPDX-License-Identifier: GPL-2.0

//! A setup with sequences, and what may happen to them.

use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid, gettid};
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::{Layout, pin_to, sys};

use super::class::{Class, set_class_of};
use super::competitor::Competitor;
use super::fault_cause::droppable_page;
use super::memory::Page;
use super::remote::eventfd;
use super::remote_worker::RemoteWorker;
use super::sequence::interfere;
use super::setup::{CPU, OTHER_CPU, Setup, be_on};
use super::signals::handle;
use super::timer::PATIENCE;
use crate::check::check;
use crate::env::Env;

/// The page of the area is dropped from memory.
pub(crate) const DROP: u32 = 1 << 0;
/// The thread's class is changed and changed back: a reschedule although nobody wants the CPU.
pub(crate) const RECLASS: u32 = 1 << 1;
/// The second competitor is woken.
pub(crate) const PREEMPT: u32 = 1 << 2;
/// The thread is moved to the other CPU.
pub(crate) const MIGRATE: u32 = 1 << 3;
/// The thread gets a signal, which has a handler.
pub(crate) const SIGNAL: u32 = 1 << 4;
/// membarrier(2) has the sequences of all threads restarted.
pub(crate) const MEMBARRIER: u32 = 1 << 5;

/// A setup on a page that can be dropped, its competitors, and the thread that carries orders out.
pub(crate) struct OrderedSetup {
    pub(crate) setup: Setup,
    pub(crate) competitor: Competitor,
    pub(crate) worker: RemoteWorker,
    /// Woken by [`PREEMPT`].
    second: Competitor,
    /// How often that was.
    wakeups: Arc<AtomicU64>,
}

impl OrderedSetup {
    pub(crate) fn new(env: Env, layout: Layout) -> Result<Self> {
        be_on(env, CPU)?;
        let page = droppable_page()?;
        let setup = Setup::with(env, page.register()?, layout)?;
        let competitor = Competitor::new(env, CPU)?;
        let (event, second) = woken_by_event(env)?;
        handle(Signal::SIGUSR1)?;
        sys::register_to_restart_sequences()?;
        let wakeups = Arc::<AtomicU64>::default();
        let worker = RemoteWorker::new(env, actions(env, page, event, Arc::clone(&wakeups)))?;
        Ok(Self {
            setup,
            competitor,
            worker,
            second,
            wakeups,
        })
    }

    /// Waits until all orders have been carried out, with the thread back on its CPU, and the second
    /// competitor sleeps.
    pub(crate) fn settle(&self) -> Result<()> {
        // The thread would keep the other CPU from finishing.
        spin_while(5 * PATIENCE, || {
            let _ = pin_to(&[CPU]);
            !self.worker.is_idle()
        });
        self.worker.ensure_idle()?;
        pin_to(&[CPU])?;
        self.second
            .ensure_runs(self.wakeups.load(Ordering::Relaxed))
    }
}

/// A competitor on the CPU of the setup, and the file that wakes it when a number is written to it.
pub(crate) fn woken_by_event(env: Env) -> Result<(File, Competitor)> {
    let event = eventfd()?;
    let competitor = Competitor::awaiting(env, event.try_clone()?, CPU)?;
    Ok((event, competitor))
}

/// Wakes the competitor that waits for `event`.
pub(crate) fn wake(event: &mut File) -> Result<()> {
    Ok(event.write_all(&1_u64.to_ne_bytes())?)
}

/// Has the thread of a setup rescheduled, although nobody wants its CPU.
pub(crate) fn reclass(env: Env, thread: Pid) -> Result<()> {
    set_class_of(env, thread, Class::Fair)?;
    set_class_of(env, thread, Class::Requester)
}

type Action = Box<dyn FnMut() -> Result<()> + Send>;

fn actions(env: Env, page: Page, mut event: File, wakeups: Arc<AtomicU64>) -> Vec<Action> {
    let (process, thread) = (getpid(), gettid());
    vec![
        Box::new(move || page.drop_from_memory()),
        Box::new(move || reclass(env, thread)),
        Box::new(move || {
            wakeups.fetch_add(1, Ordering::Relaxed);
            wake(&mut event)
        }),
        Box::new(move || {
            let mut set = CpuSet::new();
            set.set(OTHER_CPU)?;
            Ok(sched_setaffinity(thread, &set)?)
        }),
        Box::new(move || {
            let (process, thread) = (process.as_raw(), thread.as_raw());
            // SAFETY: The call takes no pointer.
            let ret = unsafe { libc::syscall(libc::SYS_tgkill, process, thread, libc::SIGUSR1) };
            Errno::result(ret)?;
            Ok(())
        }),
        Box::new(|| {
            sys::restart_sequences()?;
            interfere();
            Ok(())
        }),
    ]
}

/// How often the calling thread was switched out.
pub(crate) fn switches() -> Result<i64> {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: The structure lives through the call.
    let ret = unsafe { libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr()) };
    check!(ret == 0, "getrusage");
    // SAFETY: The call succeeded and has written it.
    let usage = unsafe { usage.assume_init() };
    Ok(usage.ru_nvcsw + usage.ru_nivcsw)
}
