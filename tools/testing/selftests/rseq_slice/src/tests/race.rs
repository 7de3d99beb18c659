// SPDX-License-Identifier: GPL-2.0

//! The yield that arrives at the moment of expiry.
//!
//! The timer may fire, and the thread may be switched out, after the yield has entered the kernel and
//! before the grant is ended there. The CPU was taken then: the yield must not claim that it gave it
//! up, nor give it up again.

use std::hint::black_box;

use anyhow::{Context, Result, bail, ensure};
use rseq_slice::{Layout, set_extension_length, sys};

use crate::case::{Needs, Test, both};
use crate::kernel::Kernel;
use crate::support::{CPU, Ledger, Rival, Scene, Tally, now};

pub(crate) const TESTS: &[Test] = &[both("race.yield_at_expiry", Needs::On, yield_at_expiry)];

const LENGTH: u32 = 10_000;
/// Nanoseconds before and after the end of user mode within which the yield is called.
const BEFORE: u64 = 2_000;
const AFTER: u64 = 200;
/// Spins for a time that is proportional to `turns`, a few nanoseconds each.
fn turn(turns: u64) {
    for turn in 0..turns {
        black_box(turn);
    }
}

struct Step {
    yielded: i64,
    tally: Tally,
    /// Whether the rival ran before the yield was called.
    before: bool,
}

fn step(scene: &Scene, rival: &Rival, turns: u64) -> Result<Step> {
    let ledger = Ledger::open()?;
    scene.obtain(rival)?;
    turn(turns);
    let called = now();
    let yielded = sys::rseq_slice_yield()?;
    Ok(Step {
        yielded,
        tally: ledger.tally()?,
        before: rival.ran_at() < called,
    })
}

/// Either the yield ended the grant, or the timer did.
fn check(step: &Step) -> Result<()> {
    match step.yielded {
        1 => ensure!(step.tally == Tally::yields(1) && !step.before),
        0 => ensure!(step.tally == Tally::expiries(1)),
        other => bail!("returned {other}"),
    }
    Ok(())
}

fn yield_at_expiry(_: &Kernel, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let scene = Scene::new(layout)?;
    let rival = Rival::new(CPU)?;

    let start = now();
    turn(10_000);
    let per_1000 = (now() - start) / 10;
    let turns_in = |nanos: u64| nanos * 1000 / per_1000;

    let in_time = step(&scene, &rival, 0)?;
    ensure!(in_time.tally == Tally::yields(1) && in_time.yielded == 1);
    let first = scene.obtain(&rival)?;
    let last = scene.outlast().context("the grant never ended")?;
    sys::rseq_slice_yield()?;
    let user = last - first;

    let (mut yields, mut expiries) = (0, 0);
    for turns in turns_in(user.saturating_sub(BEFORE))..turns_in(user + AFTER) {
        let step = step(&scene, &rival, turns)?;
        check(&step).with_context(|| {
            format!(
                "after {turns} turns: yield returned {}, {:?}",
                step.yielded, step.tally
            )
        })?;
        yields += step.tally.yielded;
        expiries += step.tally.expired;
    }
    ensure!(
        yields > 10 && expiries > 10,
        "{yields} yields, {expiries} expiries: missed the moment"
    );
    Ok(())
}
