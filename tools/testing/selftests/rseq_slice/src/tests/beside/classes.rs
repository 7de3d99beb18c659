// SPDX-License-Identifier: GPL-2.0

//! Scheduling classes.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::spin_long_while;
use rseq_slice_harness::{Layout, pin_to};

use super::GRANTS;
use crate::case::{Needs, Skip, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::ktap::diagnose;
use crate::support::{
    BOTH_CPUS, Class, Extensible, HolderSetup, Holders, ensure_distribution, handle, hits,
    set_class, set_deadline,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "deadline_throttling_loses_no_restart",
        Needs::OnTwoCpus,
        deadline_throttling_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "fair_server_loses_no_restart",
        Needs::OnTwoCpus,
        fair_server_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "sched_ext_loses_no_restart",
        Needs::OnTwoCpus,
        sched_ext_loses_no_restart,
    )
    .tolerates(&[]),
];

const MILLI: u64 = 1_000_000;

/// Holders of the deadline class use up their runtime and are throttled. Their competitors have earlier
/// deadlines.
fn deadline_throttling_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    handle(Signal::SIGXCPU)?;
    let holders = Holders::start(&HolderSetup {
        holder: Arc::new(|| set_deadline(2 * MILLI, 8 * MILLI)),
        competitor: Arc::new(|| {
            // Threads of this class are bound to no CPU.
            pin_to(&BOTH_CPUS)?;
            set_deadline(MILLI / 4, MILLI)
        }),
        ..HolderSetup::new(env, layout)
    })?;
    holders.until_granted(GRANTS, || Ok(()))?;
    holders.end()?;
    let overruns = hits();
    diagnose(format_args!("{overruns} overruns"));
    check!(overruns > 5, "{overruns} overruns");
    Ok(())
}

/// Holders are real-time threads, and the scheduler lets starving threads of the normal class run
/// in front of them for a while.
fn fair_server_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    const ENOUGH: u64 = 20;
    ensure_distribution()?;
    let file = |cpu, name| format!("/sys/kernel/debug/sched/fair_server/cpu{cpu}/{name}");
    let settings = [("runtime", 2 * MILLI), ("period", 20 * MILLI)];
    let mut before = Vec::new();
    for cpu in BOTH_CPUS {
        for (name, value) in settings {
            let path = file(cpu, name);
            let Ok(old) = fs::read_to_string(&path) else {
                return Err(Skip(format!("needs {path}")).into());
            };
            // Neither is ever greater than the period.
            fs::write(&path, value.to_string()).context(path.clone())?;
            before.push((path, old));
        }
    }
    let over = Arc::new(AtomicBool::new(false));
    let turns = Arc::new(AtomicU64::new(0));
    let starving: Vec<_> = BOTH_CPUS
        .into_iter()
        .map(|cpu| {
            let (over, turns) = (Arc::clone(&over), Arc::clone(&turns));
            thread::spawn(move || -> Result<()> {
                pin_to(&[cpu])?;
                while !over.load(Ordering::Relaxed) {
                    turns.fetch_add(1, Ordering::Relaxed);
                    spin_long_while(10_000, || true);
                }
                Ok(())
            })
        })
        .collect();
    let holders = Holders::start(&HolderSetup {
        holder: Arc::new(move || set_class(env, Class::Requester)),
        ..HolderSetup::new(env, layout)
    })?;
    let early = turns.load(Ordering::Relaxed);
    let so_far = || Ok(turns.load(Ordering::Relaxed) - early);
    holders.until_granted(GRANTS, || Ok(()))?;
    let turns = holders.until_counted(ENOUGH, so_far, || Ok(()))?;
    holders.end()?;
    over.store(true, Ordering::Relaxed);
    for thread in starving {
        thread.join().map_err(|_| anyhow!("panic"))??;
    }
    for (path, old) in before.into_iter().rev() {
        fs::write(&path, old.trim()).context(path)?;
    }
    diagnose(format_args!("the starving threads had {turns} turns"));
    check!(turns >= ENOUGH, "{turns} turns");
    Ok(())
}

/// All threads of the normal class are scheduled by a BPF scheduler.
fn sched_ext_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    let scheduler = Extensible::load()?;
    check!(scheduler.is_on()?, "the scheduler did not start");
    let holders = Holders::start(&HolderSetup::new(env, layout))?;
    holders.until_granted(GRANTS, || Ok(()))?;
    let on = scheduler.is_on()?;
    // The threads go back to the normal class while they have grants.
    drop(scheduler);
    holders.until_granted(GRANTS / 4, || Ok(()))?;
    holders.end()?;
    check!(on, "the kernel has ejected the scheduler");
    Ok(())
}
