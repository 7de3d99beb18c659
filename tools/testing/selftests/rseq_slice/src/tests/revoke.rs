// SPDX-License-Identifier: GPL-2.0

//! A second reschedule that is not lazy ends a grant; none extends it.

use std::cell::Cell;

use anyhow::Result;
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::timer::Due;
use rseq_slice_harness::{Counters, Layout, set_extension_length, sys};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::support::{
    CPU, Competitor, CounterDelta, PATIENCE, Setup, grant_word, request_word, soon,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "second_wakeup_ends_grant",
        Needs::On,
        second_wakeup_ends_grant,
    )
    .tolerates(&[]),
    both(
        "request_in_grant_gets_no_second_one",
        Needs::On,
        request_in_grant_gets_no_second_one,
    ),
];

const LENGTH: u32 = 50_000;
/// Nanoseconds from the grant to the second competitor.
const APART: u64 = 15_000;
/// Nanoseconds within which the second competitor has to get the CPU.
const SOON: u64 = APART + 12_000;

fn second_wakeup_ends_grant(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let setup = Setup::new(env, layout)?;
    let (competitor, second) = (Competitor::new(env, CPU)?, Competitor::urgent(env, CPU)?);
    let delta = CounterDelta::start()?;
    for turn in 1..=5 {
        let due = soon(env)?;
        second.wake(Due::At(due + APART))?;
        let first = setup.obtain_at(due, &competitor)?;
        let over = setup.outlast();
        let word = setup.word();
        let both_ran = competitor.runs() == turn && second.runs() == turn;
        let yielded = sys::rseq_slice_yield()?;
        let after = second.ran_at().saturating_sub(first);
        check!(over.is_some() && word == 0, "the word is {word:#x}");
        check!(
            both_ran,
            "{} and {} runs in turn {turn}",
            competitor.runs(),
            second.runs()
        );
        check!(after <= SOON, "the second competitor ran after {after} ns");
        check!(yielded == 0);
    }
    delta.ensure(Counters::revokes(5))?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1, "no grant after a revocation");
    Ok(())
}

/// A request made inside of the grant does not help against the second competitor.
fn request_in_grant_gets_no_second_one(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let setup = Setup::new(env, layout)?;
    let (competitor, second) = (Competitor::new(env, CPU)?, Competitor::urgent(env, CPU)?);
    let delta = CounterDelta::start()?;
    let earlier = Cell::new(0);
    setup.obtain_when(&competitor, |due| {
        earlier.set(second.runs());
        second.wake(Due::At(due + APART))
    })?;
    setup.set_word(grant_word(layout) | request_word(layout));
    let over = spin_while(PATIENCE, || setup.word() != 0);
    let runs = (competitor.runs(), second.runs() - earlier.get());
    setup.set_word(0);
    check!(over && runs == (1, 1), "{over}, {runs:?} runs");
    delta.ensure(Counters::revokes(1))
}
