// SPDX-License-Identifier: GPL-2.0

//! A thread that does not give the CPU up loses it when the extension is over.

use anyhow::Result;
use rseq_slice_harness::{Counters, Layout, set_extension_length, sys};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::ktap::diagnose;
use crate::support::{CPU, Competitor, CounterDelta, Setup};

pub(crate) const TESTS: &[Test] = &[
    both("erases_and_yield_returns_0", Needs::On, erases),
    both("comes_within_5us", Needs::On, |env, layout| {
        bound(env, layout, 5_000)
    })
    .tolerates(&[]),
    both("comes_within_10us", Needs::On, |env, layout| {
        bound(env, layout, 10_000)
    })
    .tolerates(&[]),
    both("comes_within_20us", Needs::On, |env, layout| {
        bound(env, layout, 20_000)
    })
    .tolerates(&[]),
    both("comes_within_50us", Needs::On, |env, layout| {
        bound(env, layout, 50_000)
    })
    .tolerates(&[]),
];

/// Nanoseconds of the way from the decision to user mode, which is part of the extension.
const WAY_OUT: u64 = 3_000;
/// Nanoseconds of the interrupt that ends a grant and the switch to the competitor. Allows for a tick
/// that comes in between.
const INTERRUPT: u64 = 9_000;

fn erases(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    for turn in 1..=5 {
        setup.obtain(&competitor)?;
        let over = setup.outlast();
        let ran = competitor.runs();
        let word = setup.word();
        let yielded = sys::rseq_slice_yield()?;
        check!(over.is_some(), "the grant never ended");
        check!(word == 0, "the word is {word:#x}");
        check!(
            ran == turn,
            "the competitor had run {ran} times after {turn} grants"
        );
        check!(yielded == 0, "the yield returned {yielded}");
    }
    delta.ensure(Counters::expiries(5))
}

/// User mode ends with the extension, mostly not much before, and the competitor runs at once.
fn bound(env: Env, layout: Layout, length: u32) -> Result<()> {
    const TURNS: u64 = 10;
    /// Extensions that may be shorter in user mode: where QEMU counts instructions, what the other
    /// CPU does takes time from this one.
    const SHORT: u64 = 3;
    set_extension_length(length)?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    let length = u64::from(length);
    let mut short = 0;
    for _ in 0..TURNS {
        let first = setup.obtain(&competitor)?;
        let last = setup.outlast();
        let ran = competitor.ran_at().saturating_sub(first);
        // Ends the system call work that a grant leaves behind.
        sys::rseq_slice_yield()?;
        let user = last.map_or(u64::MAX, |last| last - first);
        check!(user <= length, "{user} ns in user mode of {length}");
        if user + WAY_OUT < length {
            diagnose(format_args!("only {user} ns in user mode of {length}"));
            short += 1;
        }
        check!(
            ran > user && ran <= length + INTERRUPT,
            "the competitor ran after {ran} ns of {length}"
        );
    }
    delta.ensure(Counters::expiries(TURNS))?;
    check!(short <= SHORT, "{short} of {TURNS} extensions were short");
    Ok(())
}
