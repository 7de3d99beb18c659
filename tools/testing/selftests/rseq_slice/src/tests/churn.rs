// SPDX-License-Identifier: GPL-2.0

//! Many grants, while everything changes that an administrator can change: CPUs come and go, threads
//! are moved, the length of an extension, `rseq_debug` and the preemption model are set. The threads
//! count in restartable sequences, each of which is restarted if it has to be.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fs, mem};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};
use rseq_slice_harness::{Counters, Implementation, Layout, pin_to, set_extension_length};

use crate::case::{Needs, Skip, Test, once};
use crate::check::check;
use crate::env::Env;
use crate::kernel::{CPU1_ONLINE, set_debug, set_model};
use crate::ktap::diagnose;
use crate::support::{
    BOTH_CPUS, CPU, Class, CounterDelta, Numbers, OTHER_CPU, PerCpu, Ticker, Worker, set_class,
    take_short_slices,
};

pub(crate) const TESTS: &[Test] = &[once("loses_no_grant", Needs::On, loses_no_grant)];

/// Nanoseconds between two wakeups of a ticker, at least: with the extension and the switches so
/// that most sections get a grant and are over in time.
const PERIOD: u64 = 12_000;
/// The percentage of sections that last longer than their grants.
const OUTLASTING: u64 = 3;
/// Microseconds of guest time between two changes.
const BETWEEN: u64 = 1_000;
/// Grants between two removals of the CPU.
const PER_HOTPLUG: u64 = 700;
/// The least percentage of grants that end in a yield.
const YIELDED: u64 = 50;

/// What a thread has done.
#[derive(Default)]
struct Work {
    sequences: u64,
    yields: u64,
}

/// What the threads have in common.
#[derive(Default)]
struct Shared {
    counts: PerCpu,
    over: AtomicBool,
    /// Grants that they saw.
    seen: AtomicU64,
}

struct Thread {
    thread: JoinHandle<Result<Work>>,
    id: Pid,
}

fn start(layout: Layout, seed: u64, short_slices: bool, shared: &Arc<Shared>) -> Result<Thread> {
    let shared = Arc::clone(shared);
    let (id, its_id) = std::sync::mpsc::channel();
    let thread = thread::spawn(move || {
        let mut worker = Worker::new(layout, seed, OUTLASTING)?;
        if short_slices {
            take_short_slices()?;
        }
        id.send(gettid())?;
        drop(id);
        while !shared.over.load(Ordering::Relaxed) {
            if worker.section(&shared.counts, None)? {
                shared.seen.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(Work {
            sequences: worker.done(),
            yields: worker.yields(),
        })
    });
    let id = its_id.recv().context("a worker did not start")?;
    Ok(Thread { thread, id })
}

/// Kinds of changes. Each is made once, before they are picked at random.
const KINDS: u64 = 5;

/// How often each thing was changed.
#[derive(Debug, Default)]
struct ChangeCounts {
    turns: u64,
    lengths: u64,
    debug: u64,
    models: u64,
    moves: u64,
    removals: u64,
}

fn make_change(
    env: Env,
    changes: &mut ChangeCounts,
    numbers: &mut Numbers,
    workers: &[Thread],
) -> Result<()> {
    changes.turns += 1;
    let kind = match changes.turns {
        turn @ 1..=KINDS => turn - 1,
        _ => numbers.below(KINDS),
    };
    match kind {
        0 => {
            let length = 5_000 + 1_000 * numbers.below(46);
            set_extension_length(u32::try_from(length)?)?;
            changes.lengths += 1;
        }
        1 => {
            set_debug(numbers.below(2) == 0)?;
            changes.debug += 1;
        }
        // Where only lazy reschedules are postponed, `full` would leave none.
        2 if env.kernel.model.is_some() && !env.kernel.realtime => {
            set_model(if changes.models % 2 == 0 {
                "full"
            } else {
                "lazy"
            })?;
            changes.models += 1;
        }
        2 => {}
        _ if env.kernel.cpus == 1 => {}
        _ => {
            let worker = usize::try_from(numbers.below(workers.len() as u64))?;
            let mut set = CpuSet::new();
            let cpus: &[usize] = match numbers.below(3) {
                0 => &[CPU],
                1 => &[OTHER_CPU],
                _ => &BOTH_CPUS,
            };
            cpus.iter().try_for_each(|&cpu| set.set(cpu))?;
            sched_setaffinity(workers[worker].id, &set)?;
            changes.moves += 1;
        }
    }
    Ok(())
}

fn remove_cpu() -> Result<()> {
    for state in ["0", "1"] {
        fs::write(CPU1_ONLINE, state).context(CPU1_ONLINE)?;
        thread::sleep(Duration::from_micros(BETWEEN));
    }
    Ok(())
}

fn loses_no_grant(env: Env) -> Result<()> {
    if env.kernel.cpus > 1 && !Path::new(CPU1_ONLINE).exists() {
        return Err(Skip("needs CONFIG_HOTPLUG_CPU".into()).into());
    }
    let target = env.grants;
    let layouts = match env.kernel.implementation() {
        Implementation::C => [Layout::Bytes; 3],
        Implementation::Rust => [Layout::Bytes, Layout::Bits, Layout::Bytes],
    };
    let delta = CounterDelta::start()?;
    // Where the wakeup of a real-time thread is not postponed, slices come to their ends.
    let ticker = |cpu| match env.kernel.realtime {
        false => Ticker::waking(env, cpu, PERIOD),
        true => Ticker::spinning(env, cpu),
    };
    let cpus = &BOTH_CPUS[..env.kernel.cpus.min(BOTH_CPUS.len())];
    let tickers: Vec<_> = cpus.iter().map(|&cpu| ticker(cpu)).collect::<Result<_>>()?;
    pin_to(cpus)?;
    let shared = Arc::new(Shared::default());
    let workers: Vec<_> = (1..)
        .zip(layouts)
        .map(|(seed, layout)| start(layout, seed, env.kernel.realtime, &shared))
        .collect::<Result<_>>()?;

    // The changes come in time, however many workers there are.
    set_class(
        env,
        match env.kernel.realtime {
            false => Class::Requester,
            true => Class::Realtime,
        },
    )?;
    let mut numbers = Numbers(7);
    let mut changes = ChangeCounts::default();
    let mut reported = 0;
    loop {
        let seen = shared.seen.load(Ordering::Relaxed);
        let granted = match env.kernel.counts {
            true => delta.tally()?.granted,
            false => seen,
        };
        if granted >= target && changes.turns >= KINDS {
            break;
        }
        // The error of one that ended is reported when it is joined.
        if workers.iter().any(|worker| worker.thread.is_finished()) {
            break;
        }
        if granted >= (reported + 1) * target.div_ceil(10) {
            reported += 1;
            diagnose(format_args!("{granted} grants, {seen} seen; {changes:?}"));
        }
        if env.kernel.cpus > 1 && granted / PER_HOTPLUG > changes.removals {
            remove_cpu()?;
            changes.removals += 1;
        }
        make_change(env, &mut changes, &mut numbers, &workers)?;
        thread::sleep(Duration::from_micros(BETWEEN));
    }

    shared.over.store(true, Ordering::Relaxed);
    let mut all = Work::default();
    for worker in workers {
        let work = worker.thread.join().map_err(|_| anyhow!("panic"))??;
        all.sequences += work.sequences;
        all.yields += work.yields;
    }
    mem::drop(tickers);
    diagnose(format_args!("{changes:?}; {} sequences", all.sequences));
    shared.counts.ensure(all.sequences)?;
    check!(
        changes.lengths > 0
            && changes.debug > 0
            && (changes.models > 0 || env.kernel.model.is_none() || env.kernel.realtime)
            && (changes.moves > 0 && changes.removals > 0 || env.kernel.cpus == 1),
        "{changes:?}"
    );
    if env.kernel.counts {
        let tally = delta.tally()?;
        diagnose(format_args!("at rest: {tally:?}"));
        judge(env, &tally, all.yields)
    } else {
        let seen = shared.seen.load(Ordering::Relaxed);
        diagnose(format_args!(
            "seen grants {seen}\nseen yields {}",
            all.yields
        ));
        judge_seen(seen, all.yields)
    }
}

/// What the workers saw says less than what the kernel counts: a grant may come after they looked.
fn judge_seen(seen: u64, yields: u64) -> Result<()> {
    check!(
        yields * 100 >= seen * YIELDED,
        "{yields} yields in {seen} grants"
    );
    Ok(())
}

fn judge(env: Env, tally: &Counters, yields: u64) -> Result<()> {
    match env.kernel.implementation() {
        Implementation::Rust => check!(tally.adds_up(), "{tally:?}"),
        Implementation::C => check!(tally.without_end() >= 0, "{tally:?}"),
    }
    check!(tally.yielded == yields, "{yields} yields, {tally:?}");
    check!(
        tally.yielded * 100 >= tally.granted * YIELDED,
        "less than {YIELDED} % of the grants ended in a yield: {tally:?}"
    );
    check!(
        tally.revoked > 0 && tally.aborted > 0 && tally.died == Some(0),
        "{tally:?}"
    );
    Ok(())
}
