// SPDX-License-Identifier: GPL-2.0

//! Timers that expire at ticks bound nothing: no request is granted.

use anyhow::Result;
use rseq_slice_harness::{Counters, Layout, sys};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::ktap::diagnose;
use crate::support::{CPU, Competitor, CounterDelta, Seen, Setup, request_word};

pub(crate) const TESTS: &[Test] = &[both("grants_nothing", Needs::Coarse, grants_nothing)];

fn grants_nothing(env: Env, layout: Layout) -> Result<()> {
    const REQUESTS: u64 = 20;
    /// Nanoseconds, with a tick in them whatever their period.
    const LONG: u64 = 50_000_000;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    let (mut granted, mut refused) = (0, 0);
    for turn in 1..=REQUESTS {
        competitor.wake_in(1_000_000)?;
        let seen = setup.offer(request_word(layout), LONG);
        sys::rseq_slice_yield()?;
        setup.set_word(0);
        competitor.ensure_runs(turn)?;
        match seen {
            Seen::Granted => granted += 1,
            Seen::Erased => refused += 1,
            Seen::Pending | Seen::Other(_) => {}
        }
    }
    diagnose(format_args!("{granted} granted, {refused} refused"));
    check!(granted == 0);
    check!(refused == REQUESTS);
    delta.ensure(Counters::NOTHING)
}
