// SPDX-License-Identifier: GPL-2.0

//! Threads with grants and restartable sequences, to let something else work beside them.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use rseq_slice_harness::{Area, Counters, Layout, Registration, pin_to, set_layout, sys};

use super::ledger::Ledger;
use super::memory::Page;
use super::scene::{BOTH_CPUS, Class, requested, set_class};
use super::sums::{Pace, Sums};
use crate::case::Skip;
use crate::ktap::diagnose;

/// What a thread does before it starts.
pub(crate) type Prepare = Arc<dyn Fn() -> Result<()> + Send + Sync>;
/// What a thread does after each addition.
pub(crate) type Between = Box<dyn FnMut() -> Result<()>>;

/// What the threads are like.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) layout: Layout,
    /// For each thread with requests.
    pub(crate) holder: Prepare,
    /// Makes what each thread with requests does after each addition.
    pub(crate) between: Arc<dyn Fn() -> Result<Between> + Send + Sync>,
    /// For each thread that wakes up now and then, which is on the CPU of that number before.
    pub(crate) rival: Prepare,
    /// Nanoseconds between two wakeups of such a thread, at least.
    pub(crate) period: u64,
    /// Where the areas of the threads with requests are; they are their own otherwise.
    pub(crate) pages: Vec<Page>,
}

impl Setup {
    /// Holders of the normal class, and real-time rivals.
    pub(crate) fn new(layout: Layout) -> Self {
        Self {
            layout,
            holder: Arc::new(|| Ok(())),
            between: Arc::new(|| Ok(Box::new(|| Ok(())))),
            rival: Arc::new(|| set_class(Class::Rival)),
            period: PERIOD,
            pages: Vec::new(),
        }
    }
}

/// How many threads with requests there are.
pub(crate) const THREADS: usize = 3;
/// Nanoseconds between two wakeups of a rival, at least, where nothing slows the kernel down.
const PERIOD: u64 = 15_000;
/// Looks for an answer, and turns of the work, of an addition.
const LOOKS: u32 = 6_000;
const WORK: u32 = 1_500;

/// What a thread has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    /// Additions that were not aborted.
    pub(crate) added: u64,
    pub(crate) aborted: u64,
    /// Yields that said 1.
    pub(crate) yields: u64,
}

/// Withdraws what is in the word, and gives up the grant that there may be.
fn give_up(area: &Area, request: u32) -> Result<bool> {
    area.clear_bits_in_slice_ctrl(request);
    Ok(area.slice_ctrl() != 0 && sys::rseq_slice_yield()? == 1)
}

fn hold(
    area: &Area,
    layout: Layout,
    sums: &Sums,
    over: &AtomicBool,
    mut between: Between,
) -> Result<Share> {
    let request = requested(layout);
    let mut share = Share::default();
    for turn in 0_u32.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let pace = Pace {
            request,
            looks: LOOKS + turn * 7_919 % LOOKS,
            work: 1 + turn * 104_729 % WORK,
        };
        match sums.add(area, pace) {
            true => share.added += 1,
            false => share.aborted += 1,
        }
        share.yields += u64::from(give_up(area, request)?);
        between()?;
    }
    Ok(share)
}

fn come_and_go(area: &Area, sums: &Sums, over: &AtomicBool, period: u64) -> Share {
    let mut share = Share::default();
    let pace = Pace {
        request: 0,
        looks: 1,
        work: 1,
    };
    for turn in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        // Spreads the wakeups, so that they fall everywhere.
        thread::sleep(Duration::from_nanos(period + turn * 7_919 % period));
        match sums.add(area, pace) {
            true => share.added += 1,
            false => share.aborted += 1,
        }
    }
    share
}

type Thread = JoinHandle<Result<Share>>;

/// Threads on both CPUs that add to per-CPU sums all the time, with requests, and others that
/// preempt them and add as well.
pub(crate) struct Holders {
    over: Arc<AtomicBool>,
    sums: Arc<Sums>,
    ledger: Ledger,
    holders: Vec<Thread>,
    rivals: Vec<Thread>,
}

/// Skips a test on a kernel that has not the control groups which all distributions have: how much
/// has to happen beside holders depends on what else is at work there.
pub(crate) fn ensure_distribution() -> Result<()> {
    match Path::new("/sys/fs/cgroup").exists() {
        true => Ok(()),
        false => Err(Skip("needs CONFIG_CGROUPS".into()).into()),
    }
}

impl Holders {
    pub(crate) fn start(setup: &Setup) -> Result<Self> {
        ensure_distribution()?;
        let over = Arc::new(AtomicBool::new(false));
        let sums = Arc::new(Sums::default());
        let ledger = Ledger::open()?;
        let (ready, started) = mpsc::channel();
        // What acts on the threads comes in time, however busy they are; nor do they keep each other
        // from starting, who are of this class until then.
        set_class(Class::Realtime)?;
        pin_to(&BOTH_CPUS)?;
        let holders = (0..THREADS)
            .map(|number| {
                let (over, sums) = (Arc::clone(&over), Arc::clone(&sums));
                let Setup { layout, pages, .. } = setup;
                let (layout, page) = (*layout, pages.get(number).copied());
                let prepare = Arc::clone(&setup.holder);
                let between = Arc::clone(&setup.between);
                let ready = ready.clone();
                thread::spawn(move || {
                    let registration = page
                        .map_or_else(|| Ok(Registration::new()?), |page: Page| page.register())?;
                    set_layout(Some(layout))?;
                    ready.send(())?;
                    drop(ready);
                    set_class(Class::Fair)?;
                    prepare()?;
                    hold(registration.area(), layout, &sums, &over, between()?)
                })
            })
            .collect();
        let rivals = BOTH_CPUS
            .into_iter()
            .map(|cpu| {
                let (over, sums) = (Arc::clone(&over), Arc::clone(&sums));
                let (prepare, period) = (Arc::clone(&setup.rival), setup.period);
                let ready = ready.clone();
                thread::spawn(move || {
                    pin_to(&[cpu])?;
                    let registration = Registration::new()?;
                    ready.send(())?;
                    drop(ready);
                    set_class(Class::Fair)?;
                    prepare()?;
                    Ok(come_and_go(registration.area(), &sums, &over, period))
                })
            })
            .collect();
        drop(ready);
        // A thread that cannot start says why when it is joined.
        started.iter().for_each(drop);
        Ok(Self {
            over,
            sums,
            ledger,
            holders,
            rivals,
        })
    }

    /// How many grants there were by now.
    pub(crate) fn grants(&self) -> Result<u64> {
        let mut threads = self.holders.iter().chain(&self.rivals);
        ensure!(
            !threads.any(JoinHandle::is_finished),
            "a thread ended early"
        );
        Ok(self.ledger.tally()?.granted)
    }

    /// Waits for so many more grants, and calls `act` each millisecond meanwhile.
    pub(crate) fn until_granted(
        &self,
        grants: u64,
        mut act: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        let target = self.grants()? + grants;
        while self.grants()? < target {
            act()?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Lets the threads go on until `count` gives `enough`, for 5 s at most, and calls `act` each
    /// millisecond meanwhile. Returns what it gave last.
    pub(crate) fn until_counted(
        &self,
        enough: u64,
        mut count: impl FnMut() -> Result<u64>,
        mut act: impl FnMut() -> Result<()>,
    ) -> Result<u64> {
        const MILLIS: u32 = 5_000;
        for _ in 0..MILLIS {
            if count()? >= enough {
                break;
            }
            self.grants()?;
            act()?;
            thread::sleep(Duration::from_millis(1));
        }
        count()
    }

    /// Ends the threads. Expects that all their sequences are whole, and that they did what they are for.
    pub(crate) fn end(self) -> Result<Counters> {
        self.over.store(true, Ordering::Relaxed);
        let ended = |threads: Vec<Thread>| -> Result<Share> {
            let mut all = Share::default();
            for thread in threads {
                let share = thread.join().map_err(|_| anyhow!("panic"))??;
                all.added += share.added;
                all.aborted += share.aborted;
                all.yields += share.yields;
            }
            Ok(all)
        };
        let (holders, rivals) = (ended(self.holders)?, ended(self.rivals)?);
        let tally = self.ledger.tally()?;
        diagnose(format_args!("{holders:?}, rivals {rivals:?}; {tally:?}"));
        self.sums.ensure(holders.added + rivals.added)?;
        ensure!(
            tally.yielded == holders.yields,
            "{} yields, {tally:?}",
            holders.yields
        );
        ensure!(
            holders.added > 0 && holders.aborted > 0 && tally.granted > 0 && rivals.added > 0,
            "nothing to see: {holders:?}, rivals {rivals:?}"
        );
        Ok(tally)
    }
}
