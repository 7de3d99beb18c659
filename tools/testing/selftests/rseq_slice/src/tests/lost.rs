// SPDX-License-Identifier: GPL-2.0

//! The reschedule that a grant postponed happens, whatever else happens meanwhile.

use anyhow::Result;
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::{now, spin_while};
use rseq_slice_harness::timer::{Due, SignalTimer, monotonic};
use rseq_slice_harness::{Counters, Layout, set_extension_length, sys};

use crate::case::{Needs, Skip, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::support::{CPU, Competitor, CounterDelta, PATIENCE, Remote, Setup, handle, hits, soon};

pub(crate) const TESTS: &[Test] = &[
    both("never_to_signal", Needs::On, never_to_signal).tolerates(&[]),
    both("never_to_wakeup", Needs::On, never_to_wakeup).tolerates(&[]),
    both("never_to_membarrier", Needs::OnTwoCpus, never_to_membarrier),
];

/// Nanoseconds that the interrupts of a step and the switches may cost on top of the extension.
const COST: u64 = 25_000;
/// Nanoseconds of the extension in a sweep.
const LENGTH: u32 = 5_000;

/// Runs one step: `act` sets the timers for a moment after `due`, then the first competitor's moment
/// passes. The competitor has to run in time, and each grant has to end in one way.
fn step(
    env: Env,
    setup: &Setup,
    competitor: &Competitor,
    act: impl FnOnce(u64) -> Result<()>,
) -> Result<()> {
    let delta = CounterDelta::start()?;
    let runs = competitor.runs();
    let due = soon(env)?;
    let here = now() + due.saturating_sub(monotonic()?);
    competitor.wake(Due::At(due))?;
    act(due)?;
    setup.request();
    let ran = spin_while(env.lead() + PATIENCE, || competitor.runs() == runs);
    // Blocking lets a competitor run whose reschedule was lost, so that the next step can begin.
    setup.set_word(0);
    let late = competitor.ran_at().saturating_sub(here);
    sys::rseq_slice_yield()?;
    check!(ran, "the competitor did not run within {PATIENCE} ns");
    check!(
        late <= u64::from(LENGTH) + COST,
        "the competitor ran {late} ns late"
    );
    if let Some(tally) = delta.counted()? {
        check!(tally.adds_up() && tally.granted <= 1, "{tally:?}");
    }
    Ok(())
}

/// A signal arrives around the moment of the grant: before the decision, between the decision and
/// user mode, and after.
fn never_to_signal(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let timer = SignalTimer::new(Signal::SIGUSR1 as i32)?;
    handle(Signal::SIGUSR1)?;
    for (signals, after) in (1..).zip((0..8_000).step_by(80)) {
        step(env, &setup, &competitor, |due| {
            Ok(timer.fire(Due::At(due + after))?)
        })
        .map_err(|error| error.context(format!("signal {after} ns after the wakeup")))?;
        check!(
            spin_while(PATIENCE, || hits() < signals),
            "the signal never came"
        );
    }
    Ok(())
}

/// A second competitor wakes up around the moment of the grant.
fn never_to_wakeup(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let setup = Setup::new(env, layout)?;
    let (competitor, second) = (Competitor::new(env, CPU)?, Competitor::new(env, CPU)?);
    for (wakeups, after) in (1..).zip((0..8_000).step_by(80)) {
        step(env, &setup, &competitor, |due| {
            second.wake(Due::At(due + after))
        })
        .map_err(|error| error.context(format!("wakeup {after} ns after the first")))?;
        second.ensure_runs(wakeups)?;
    }
    Ok(())
}

/// membarrier(2) makes the thread look at its critical section again, as a reschedule does, but is
/// none.
fn never_to_membarrier(env: Env, layout: Layout) -> Result<()> {
    const LENGTH: u32 = 50_000;
    set_extension_length(LENGTH)?;
    if sys::register_to_restart_sequences().is_err() {
        return Err(Skip("needs CONFIG_MEMBARRIER".into()).into());
    }
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let remote = Remote::ready(|| Ok(sys::restart_sequences()?))?;
    let delta = CounterDelta::start()?;
    let first = setup.obtain(&competitor)?;
    remote.go();
    let ran = spin_while(500_000, || competitor.runs() == 0);
    let word = setup.word();
    remote.join()?;
    let after = competitor.ran_at().saturating_sub(first);
    check!(
        ran && after <= u64::from(LENGTH) + COST,
        "the competitor ran {after} ns after the grant"
    );
    check!(word == 0, "the word is {word:#x}");
    delta.ensure(Counters::revokes(1))
}
