// SPDX-License-Identifier: GPL-2.0

//! A grant whose thread dies in it is counted as died.

use anyhow::Result;
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::spin;
use rseq_slice_harness::timer::{Due, SignalTimer};
use rseq_slice_harness::{Counters, Layout, set_extension_length};

use crate::case::Disturbance::{Checks, Load};
use crate::case::{Needs, Test, both};
use crate::env::Env;
use crate::support::{CPU, Child, Competitor, CounterDelta, PATIENCE, Setup, soon};

pub(crate) const TESTS: &[Test] = &[
    both("counts_kill_in_grant", Needs::On, counts_kill_in_grant).tolerates(&[Load, Checks]),
    both("counts_fault_in_grant", Needs::On, counts_fault_in_grant),
];

/// The grant ended with the thread. That may have taken longer than the extension.
#[track_caller]
fn ensure_died(delta: &CounterDelta) -> Result<()> {
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
    ensure_died(&delta)
}

fn counts_fault_in_grant(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let delta = CounterDelta::start()?;
    let child = Child::start(|| {
        let setup = Setup::new(env, layout)?;
        let competitor = Competitor::new(env, CPU)?;
        let nowhere = std::ptr::without_provenance::<u8>(8);
        setup.obtain(&competitor)?;
        // SAFETY: Not met: the fault is intended.
        unsafe { nowhere.read_volatile() };
        Ok(())
    })?;
    child.ensure_killed(Signal::SIGSEGV)?;
    ensure_died(&delta)
}
