// SPDX-License-Identifier: GPL-2.0

//! A second reschedule ends a grant; it never extends it.

use anyhow::Result;
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::timer::Due;
use rseq_slice_harness::{Counters, Layout, set_extension_length, sys};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::support::{CPU, Ledger, PATIENCE, Rival, Scene, granted, requested, soon};

pub(crate) const TESTS: &[Test] = &[
    both(
        "second_wakeup_ends_grant",
        Needs::On,
        second_wakeup_ends_grant,
    )
    .alone(),
    both(
        "request_in_grant_gets_no_second_one",
        Needs::On,
        request_in_grant_gets_no_second_one,
    ),
];

const LENGTH: u32 = 50_000;
/// Nanoseconds from the grant to the second rival.
const APART: u64 = 15_000;
/// Nanoseconds within which the second rival has to get the CPU.
const SOON: u64 = APART + 12_000;

fn second_wakeup_ends_grant(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let scene = Scene::new(env, layout)?;
    let (rival, second) = (Rival::new(env, CPU)?, Rival::new(env, CPU)?);
    let ledger = Ledger::open()?;
    for turn in 1..=5 {
        let due = soon(env)?;
        second.wake(Due::At(due + APART))?;
        let first = scene.obtain_at(due, &rival)?;
        let over = scene.outlast();
        let word = scene.word();
        let both_ran = rival.runs() == turn && second.runs() == turn;
        let yielded = sys::rseq_slice_yield()?;
        let after = second.ran_at().saturating_sub(first);
        check!(over.is_some() && word == 0, "the word is {word:#x}");
        check!(
            both_ran,
            "{} and {} runs in turn {turn}",
            rival.runs(),
            second.runs()
        );
        check!(after <= SOON, "the second rival ran after {after} ns");
        check!(yielded == 0);
    }
    ledger.ensure(Counters::revokes(5))?;
    scene.obtain(&rival)?;
    check!(sys::rseq_slice_yield()? == 1, "no grant after a revocation");
    Ok(())
}

/// A request made inside of the grant does not help against the second rival.
fn request_in_grant_gets_no_second_one(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let scene = Scene::new(env, layout)?;
    let (rival, second) = (Rival::new(env, CPU)?, Rival::new(env, CPU)?);
    let ledger = Ledger::open()?;
    let due = soon(env)?;
    second.wake(Due::At(due + APART))?;
    scene.obtain_at(due, &rival)?;
    scene.set_word(granted(layout) | requested(layout));
    let over = spin_while(PATIENCE, || scene.word() != 0);
    let runs = (rival.runs(), second.runs());
    scene.set_word(0);
    check!(over && runs == (1, 1), "{over}, {runs:?} runs");
    ledger.ensure(Counters::revokes(1))
}
