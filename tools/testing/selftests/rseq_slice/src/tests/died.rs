// SPDX-License-Identifier: GPL-2.0

//! A grant whose thread dies in it is counted as died, and its reschedule is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::spin;
use rseq_slice_harness::timer::{Due, SignalTimer, monotonic};
use rseq_slice_harness::{Counters, Layout, set_extension_length};

use crate::case::Disturbance::{Checks, Load};
use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::support::{
    CPU, Child, Competitor, CounterDelta, PATIENCE, Seen, Setup, be_on, request_word, soon,
};

pub(crate) const TESTS: &[Test] = &[
    both("counts_kill_in_grant", Needs::On, counts_kill_in_grant).tolerates(&[Load, Checks]),
    both("counts_fault_in_grant", Needs::On, counts_fault_in_grant),
    both(
        "does_postponed_reschedule",
        Needs::On,
        does_postponed_reschedule,
    )
    .tolerates(&[]),
];

/// The grant ended with the thread. That may have taken longer than the extension.
#[track_caller]
fn ensure_counted_as_died(delta: &CounterDelta) -> Result<()> {
    let died = Counters {
        expired: delta.counted()?.map_or(0, |tally| tally.expired),
        ..Counters::deaths(1)
    };
    delta.ensure(died)
}

fn counts_kill_in_grant(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let delta = CounterDelta::start()?;
    let child = Child::start(|| {
        let setup = Setup::new(env, layout)?;
        let competitor = Competitor::new(env, CPU)?;
        let timer = SignalTimer::new(Signal::SIGKILL as i32)?;
        let due = soon(env)?;
        timer.fire(Due::At(due + 20_000))?;
        setup.obtain_at(due, &competitor)?;
        spin(PATIENCE);
        Ok(())
    })?;
    child.ensure_killed(Signal::SIGKILL)?;
    ensure_counted_as_died(&delta)
}

fn counts_fault_in_grant(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let delta = CounterDelta::start()?;
    let child = Child::start(|| {
        let setup = Setup::new(env, layout)?;
        let competitor = Competitor::new(env, CPU)?;
        let nowhere = std::ptr::without_provenance::<u8>(8);
        setup.obtain(&competitor)?;
        // SAFETY: Nothing is mapped there: the read faults, as intended, and kills the process.
        unsafe { nowhere.read_volatile() };
        Ok(())
    })?;
    child.ensure_killed(Signal::SIGSEGV)?;
    ensure_counted_as_died(&delta)
}

/// The competitor does not wait until the process that dies has freed its memory.
fn does_postponed_reschedule(env: Env, layout: Layout) -> Result<()> {
    /// To free it takes some milliseconds.
    const MEMORY: usize = 64 << 20;
    /// Nanoseconds that the child process has to set itself up.
    const START: u64 = 100_000_000;
    /// Nanoseconds within which the competitor gets the CPU: an extension, and the path to the exit of the thread.
    const SOON: u64 = 150_000;

    set_extension_length(50_000)?;
    be_on(env, CPU)?;
    let ran_at = Arc::<AtomicU64>::default();
    let theirs = Arc::clone(&ran_at);
    let competitor = Competitor::acting(env, CPU, move || {
        theirs.store(monotonic().unwrap_or(0), Ordering::Relaxed);
    })?;
    let memory = vec![1u8; MEMORY];
    let due = monotonic()? + START;
    competitor.wake(Due::At(due))?;
    let child = Child::start(|| {
        // Its own copy.
        let mut memory = memory;
        memory.iter_mut().step_by(4096).for_each(|byte| *byte = 2);
        let setup = Setup::new(env, layout)?;
        let timer = SignalTimer::new(Signal::SIGKILL as i32)?;
        timer.fire(Due::At(due + 20_000))?;
        while monotonic()? + 100_000 < due {}
        let seen = setup.offer(request_word(layout), 2 * START);
        spin(PATIENCE);
        check!(seen == Seen::Granted, "{seen:?}, and the thread lives");
        Ok(())
    })?;
    child.ensure_killed(Signal::SIGKILL)?;
    competitor.ensure_runs(1)?;
    let after = ran_at.load(Ordering::Relaxed).saturating_sub(due);
    check!(
        after >= 20_000,
        "no grant: the competitor ran after {after} ns"
    );
    check!(after <= SOON, "the competitor ran after {after} ns");
    Ok(())
}
