// SPDX-License-Identifier: GPL-2.0

//! Threads with grants and restartable sequences, beside which a test does something else.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Result, anyhow};
use rseq_slice_harness::{Area, Counters, Layout, Registration, pin_to, set_layout, sys};

use super::class::{Class, set_class};
use super::counter_delta::CounterDelta;
use super::counting::{PerCpu, Timing};
use super::memory::Page;
use super::sequence::How;
use super::setup::{BOTH_CPUS, request_word};
use crate::case::Skip;
use crate::check::check;
use crate::env::Env;
use crate::ktap::diagnose;

/// What a thread does before it starts.
pub(crate) type Prepare = Arc<dyn Fn() -> Result<()> + Send + Sync>;
/// What a thread does after each sequence.
pub(crate) type Between = Box<dyn FnMut() -> Result<()>>;

/// How the threads are set up.
#[derive(Clone)]
pub(crate) struct HolderSetup {
    pub(crate) env: Env,
    pub(crate) layout: Layout,
    /// For each thread with requests.
    pub(crate) holder: Prepare,
    /// Makes what each thread with requests does after each sequence.
    pub(crate) between: Arc<dyn Fn() -> Result<Between> + Send + Sync>,
    /// For each thread that wakes up now and then, which is on the CPU of that number before.
    pub(crate) competitor: Prepare,
    /// Nanoseconds between two wakeups of such a thread, at least.
    pub(crate) period: u64,
    /// Where the areas of the threads with requests are; they are their own otherwise.
    pub(crate) pages: Vec<Page>,
}

impl HolderSetup {
    /// Holders of the normal class, and real-time competitors.
    pub(crate) fn new(env: Env, layout: Layout) -> Self {
        Self {
            env,
            layout,
            holder: Arc::new(|| Ok(())),
            between: Arc::new(|| Ok(Box::new(|| Ok(())))),
            competitor: Arc::new(move || set_class(env, Class::Competitor)),
            period: PERIOD,
            pages: Vec::new(),
        }
    }
}

/// How many threads with requests there are.
pub(crate) const THREADS: usize = 3;
/// Nanoseconds between two wakeups of a competitor, at least, where nothing slows the kernel down.
const PERIOD: u64 = 15_000;
/// Nanoseconds to wait for an answer, and turns of the work, of a sequence.
const PATIENCE: u64 = 24_000;
const WORK: u64 = 13_000;

/// What a thread has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ThreadStats {
    /// Sequences that were not aborted.
    pub(crate) counted: u64,
    pub(crate) aborted: u64,
    /// Yields that returned 1.
    pub(crate) yields: u64,
}

/// Clears the request, and yields the grant that there may be.
fn clear_and_yield(area: &Area, request: u32) -> Result<bool> {
    area.clear_bits_in_slice_ctrl(request);
    Ok(area.slice_ctrl() != 0 && sys::rseq_slice_yield()? == 1)
}

fn hold(
    area: &Area,
    layout: Layout,
    counts: &PerCpu,
    over: &AtomicBool,
    mut between: Between,
) -> Result<ThreadStats> {
    let request = request_word(layout);
    let mut stats = ThreadStats::default();
    for turn in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let timing = Timing {
            request,
            patience: PATIENCE + turn * 31_663 % PATIENCE,
            work: 1 + turn * 104_729 % WORK,
        };
        match counts.count_requesting(area, timing)? {
            true => stats.counted += 1,
            false => stats.aborted += 1,
        }
        stats.yields += u64::from(clear_and_yield(area, request)?);
        between()?;
    }
    Ok(stats)
}

fn wake_and_count(
    area: &Area,
    counts: &PerCpu,
    over: &AtomicBool,
    period: u64,
) -> Result<ThreadStats> {
    let mut stats = ThreadStats::default();
    for turn in 0_u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        // Spreads the wakeups, so that they fall everywhere.
        thread::sleep(Duration::from_nanos(period + turn * 7_919 % period));
        match counts.count(area, Vec::new())?.how {
            How::Done => stats.counted += 1,
            _ => stats.aborted += 1,
        }
    }
    Ok(stats)
}

type Thread = JoinHandle<Result<ThreadStats>>;

/// Threads on both CPUs that count in per-CPU sequences all the time, with requests, and others that
/// preempt them and count as well.
pub(crate) struct Holders {
    over: Arc<AtomicBool>,
    counts: Arc<PerCpu>,
    /// Why a thread has ended early.
    failure: Arc<OnceLock<String>>,
    delta: CounterDelta,
    holders: Vec<Thread>,
    competitors: Vec<Thread>,
}

/// Skips a test on a kernel without the control groups that all distributions have: how often something
/// has to happen beside holders depends on what else runs there.
pub(crate) fn ensure_distribution() -> Result<()> {
    match Path::new("/sys/fs/cgroup").exists() {
        true => Ok(()),
        false => Err(Skip("needs CONFIG_CGROUPS".into()).into()),
    }
}

impl Holders {
    pub(crate) fn start(setup: &HolderSetup) -> Result<Self> {
        let env = setup.env;
        ensure_distribution()?;
        let over = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(PerCpu::default());
        let failure = Arc::<OnceLock<String>>::default();
        let reported = |result: Result<ThreadStats>, failure: &OnceLock<String>| {
            result.inspect_err(|error| drop(failure.set(format!("{error:#}"))))
        };
        let delta = CounterDelta::start()?;
        let (ready, started) = mpsc::channel();
        // This thread acts on the others in time, however busy they are. They start in this class, so
        // that they do not keep each other from starting.
        set_class(env, Class::Realtime)?;
        pin_to(&BOTH_CPUS)?;
        let holders = (0..THREADS)
            .map(|number| {
                let (over, counts) = (Arc::clone(&over), Arc::clone(&counts));
                let failure = Arc::clone(&failure);
                let HolderSetup { layout, pages, .. } = setup;
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
                    set_class(env, Class::Fair)?;
                    prepare()?;
                    let area = registration.area();
                    reported(hold(area, layout, &counts, &over, between()?), &failure)
                })
            })
            .collect();
        let competitors = BOTH_CPUS
            .into_iter()
            .map(|cpu| {
                let (over, counts) = (Arc::clone(&over), Arc::clone(&counts));
                let failure = Arc::clone(&failure);
                let (prepare, period) = (Arc::clone(&setup.competitor), setup.period);
                let ready = ready.clone();
                thread::spawn(move || {
                    pin_to(&[cpu])?;
                    let registration = Registration::new()?;
                    ready.send(())?;
                    drop(ready);
                    set_class(env, Class::Fair)?;
                    prepare()?;
                    let area = registration.area();
                    reported(wake_and_count(area, &counts, &over, period), &failure)
                })
            })
            .collect();
        drop(ready);
        // A thread that cannot start says why when it is joined.
        started.iter().for_each(drop);
        Ok(Self {
            over,
            counts,
            failure,
            delta,
            holders,
            competitors,
        })
    }

    /// How many grants there were by now.
    pub(crate) fn grants(&self) -> Result<u64> {
        let mut threads = self.holders.iter().chain(&self.competitors);
        check!(
            !threads.any(JoinHandle::is_finished),
            "a thread ended early: {}",
            self.failure
                .get()
                .map_or("it panicked, or could not start", String::as_str)
        );
        Ok(self.delta.tally()?.granted)
    }

    /// Waits until that many grants more were made, and calls `act` each millisecond meanwhile.
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

    /// Ends the threads. Expects that no sequence has missed its restart, and that there were grants,
    /// restarts and sequences of all threads.
    pub(crate) fn end(self) -> Result<Counters> {
        self.over.store(true, Ordering::Relaxed);
        let ended = |threads: Vec<Thread>| -> Result<ThreadStats> {
            let mut all = ThreadStats::default();
            for thread in threads {
                let stats = thread.join().map_err(|_| anyhow!("panic"))??;
                all.counted += stats.counted;
                all.aborted += stats.aborted;
                all.yields += stats.yields;
            }
            Ok(all)
        };
        let (holders, competitors) = (ended(self.holders)?, ended(self.competitors)?);
        let tally = self.delta.tally()?;
        diagnose(format_args!(
            "{holders:?}, competitors {competitors:?}; {tally:?}"
        ));
        self.counts.ensure(holders.counted + competitors.counted)?;
        check!(
            tally.yielded == holders.yields,
            "{} yields, {tally:?}",
            holders.yields
        );
        check!(
            holders.counted > 0
                && holders.aborted > 0
                && tally.granted > 0
                && competitors.counted > 0,
            "not all of it happened: {holders:?}, competitors {competitors:?}"
        );
        Ok(tally)
    }
}
