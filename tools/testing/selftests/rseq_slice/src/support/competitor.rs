// SPDX-License-Identifier: GPL-2.0

//! Threads that want a CPU at a given moment.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};
use rseq_slice_harness::clock::{now, spin_while};
use rseq_slice_harness::pin_to;
use rseq_slice_harness::timer::{Due, alarm, each_event, set_alarm};

use super::class::{Class, set_class};
use super::sequence::interfere;
use super::sleeper::Sleeper;
use super::timer::soon;
use crate::case::Skip;
use crate::check::check;
use crate::env::Env;

#[derive(Default)]
struct Runs {
    count: AtomicU64,
    first: AtomicU64,
}

impl Runs {
    fn note(&self) {
        interfere();
        self.first.store(now(), Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

enum Alarm {
    Timer(File),
    Sleeper(Sleeper),
}

/// A thread that sleeps until a timer wakes it, notes the time, and sleeps again.
///
/// It wakes up in a timer interrupt of the CPU that armed the timer and preempts, on the CPU that it is
/// bound to, what runs there.
pub(crate) struct Competitor {
    env: Env,
    class: Class,
    alarm: Alarm,
    runs: Arc<Runs>,
}

impl Competitor {
    /// A competitor on the given CPU that precedes every [`Setup`](super::Setup).
    pub(crate) fn new(env: Env, cpu: usize) -> Result<Self> {
        Self::acting(env, cpu, || ())
    }

    /// Such a competitor, whose wake-up ends grants: it is not lazy anywhere.
    pub(crate) fn urgent(env: Env, cpu: usize) -> Result<Self> {
        Self::of_class(env, cpu, Class::Realtime, || ())
    }

    /// Such a competitor that does something each time it has got the CPU.
    pub(crate) fn acting(env: Env, cpu: usize, act: impl Fn() + Send + 'static) -> Result<Self> {
        Self::of_class(env, cpu, Class::Competitor, act)
    }

    fn of_class(
        env: Env,
        cpu: usize,
        class: Class,
        act: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        if !env.only_lazy() {
            return Self::start(env, cpu, class, act);
        }
        let runs = Arc::<Runs>::default();
        let counts = Arc::clone(&runs);
        let awake = move || {
            act();
            counts.note();
        };
        let alarm = Alarm::Sleeper(Sleeper::new(env, cpu, awake)?);
        Ok(Self {
            env,
            class,
            alarm,
            runs,
        })
    }

    fn start(env: Env, cpu: usize, class: Class, act: impl Fn() + Send + 'static) -> Result<Self> {
        Self::waiting_for(env, alarm()?, cpu, class, act)
    }

    /// A competitor that an event wakes instead of a timer: any file of which 8 bytes can be read then.
    pub(crate) fn awaiting(env: Env, event: File, cpu: usize) -> Result<Self> {
        if env.only_lazy() {
            let why = "a lazy reschedule that another CPU asks for sends no interrupt";
            return Err(Skip(why.into()).into());
        }
        Self::waiting_for(env, event, cpu, Class::Competitor, || ())
    }

    fn waiting_for(
        env: Env,
        timer: File,
        cpu: usize,
        class: Class,
        act: impl Fn() + Send + 'static,
    ) -> Result<Self> {
        let runs = Arc::<Runs>::default();
        let theirs = timer.try_clone()?;
        let counts = Arc::clone(&runs);
        let (ready, started) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let set_up = pin_to(&[cpu])
                .map_err(Into::into)
                .and_then(|()| set_class(env, class));
            let failed = set_up.is_err();
            // The receiver waits for exactly this one message.
            let _ = ready.send(set_up);
            if !failed {
                each_event(&theirs, || {
                    act();
                    counts.note();
                });
            }
        });
        started.recv()?.context("cannot set up a competitor")?;
        let alarm = Alarm::Timer(timer);
        Ok(Self {
            env,
            class,
            alarm,
            runs,
        })
    }

    /// Wakes the competitor when that is due. Replaces an earlier call whose time has not come.
    pub(crate) fn wake(&self, due: Due) -> Result<()> {
        match &self.alarm {
            Alarm::Timer(timer) => Ok(set_alarm(timer, due)?),
            Alarm::Sleeper(sleeper) => sleeper.wake(due, self.class),
        }
    }

    /// Wakes the competitor at a quiet moment, not before a request can be made.
    pub(crate) fn wake_soon(&self) -> Result<()> {
        self.wake(Due::At(soon(self.env)?))
    }

    /// Wakes the competitor in `nanos` from now.
    pub(crate) fn wake_in(&self, nanos: u64) -> Result<()> {
        self.wake(Due::In(nanos))
    }

    /// How often the competitor has run.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.count.load(Ordering::Relaxed)
    }

    /// Waits until the competitor has run once more than `runs` times, and does not count that run.
    #[track_caller]
    pub(super) fn discount_run(&self, runs: u64) -> Result<()> {
        self.ensure_runs(runs + 1)?;
        self.runs.count.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    /// Waits in user mode until the competitor has run so often since it exists. Coarse timers expire
    /// one or two ticks late.
    #[track_caller]
    pub(crate) fn ensure_runs(&self, times: u64) -> Result<()> {
        const TICKS: u64 = 20_000_000;
        let ran = spin_while(self.env.lead() + TICKS, || self.runs() < times);
        check!(ran, "the competitor ran {} times, not {times}", self.runs());
        Ok(())
    }

    /// When the competitor's last run began.
    pub(crate) fn ran_at(&self) -> u64 {
        self.runs.first.load(Ordering::Relaxed)
    }
}

/// A competitor of the normal scheduling class, which preempts lazily where the kernel has lazy
/// preemption.
pub(crate) fn fair_competitor(env: Env, cpu: usize) -> Result<Competitor> {
    Competitor::start(env, cpu, Class::Fair, || ())
}
