// SPDX-License-Identifier: GPL-2.0

//! A grant whose thread dies in it is counted as died.

use anyhow::Result;
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::spin;
use rseq_slice_harness::timer::{Due, SignalTimer};
use rseq_slice_harness::{Counters, Layout, set_extension_length};

use crate::case::{Needs, Test, both};
use crate::env::Env;
use crate::support::{CPU, Child, Ledger, PATIENCE, Rival, Scene, soon};

pub(crate) const TESTS: &[Test] = &[
    both("counts_kill_in_grant", Needs::On, counts_kill_in_grant).undisturbed(),
    both("counts_fault_in_grant", Needs::On, counts_fault_in_grant),
];

/// The grant ended with the thread. That may have taken longer than the extension.
#[track_caller]
fn ensure_died(ledger: &Ledger) -> Result<()> {
    let died = Counters {
        expired: ledger.counted()?.map_or(0, |tally| tally.expired),
        ..Counters::deaths(1)
    };
    ledger.ensure(died)
}

fn counts_kill_in_grant(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let ledger = Ledger::open()?;
    let child = Child::start(|| {
        let scene = Scene::new(env, layout)?;
        let rival = Rival::new(env, CPU)?;
        let timer = SignalTimer::new(Signal::SIGKILL as i32)?;
        let due = soon(env)?;
        timer.fire(Due::At(due + 20_000))?;
        scene.obtain_at(due, &rival)?;
        spin(PATIENCE);
        Ok(())
    })?;
    child.ensure_killed(Signal::SIGKILL)?;
    ensure_died(&ledger)
}

fn counts_fault_in_grant(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let ledger = Ledger::open()?;
    let child = Child::start(|| {
        let scene = Scene::new(env, layout)?;
        let rival = Rival::new(env, CPU)?;
        let nowhere = std::ptr::without_provenance::<u8>(8);
        scene.obtain(&rival)?;
        // SAFETY: There is none: the fault is what is wanted.
        unsafe { nowhere.read_volatile() };
        Ok(())
    })?;
    child.ensure_killed(Signal::SIGSEGV)?;
    ensure_died(&ledger)
}
