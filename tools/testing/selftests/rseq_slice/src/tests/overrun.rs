// SPDX-License-Identifier: GPL-2.0

//! How long a grant makes a competitor wait, whatever the thread with the grant does.

use anyhow::Result;
use rseq_slice_harness::clock::{now, spin_while};
use rseq_slice_harness::timer::{Due, monotonic};
use rseq_slice_harness::{Counters, Layout, set_extension_length};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::ktap::diagnose;
use crate::support::{
    CPU, Competitor, CounterDelta, Durations, PATIENCE, Setup, grant_word, request_word, soon,
};

pub(crate) const TESTS: &[Test] = &[
    both("bounded_without_yield", Needs::On, |env, layout| {
        each_length(env, layout, Manner::Spinning)
    })
    .tolerates(&[]),
    both(
        "bounded_with_requests_in_grant",
        Needs::On,
        |env, layout| each_length(env, layout, Manner::Requesting),
    )
    .tolerates(&[]),
    both(
        "bounded_with_request_after_grant",
        Needs::On,
        bounded_with_request_after_grant,
    )
    .tolerates(&[]),
];

const LENGTHS: [u32; 4] = [5_000, 10_000, 20_000, 50_000];
/// Grants of each length.
const TURNS: usize = 50;

/// What a thread does with its grant. It makes no system call.
#[derive(Clone, Copy)]
enum Manner {
    /// Nothing.
    Spinning,
    /// Requests, again and again.
    Requesting,
}

/// A moment of [`monotonic`] as one of [`now`].
fn here(moment: u64) -> Result<u64> {
    let (clock, now) = (monotonic()?, now());
    Ok(moment.wrapping_sub(clock).wrapping_add(now))
}

/// Lets `competitor` want the CPU, calls `meanwhile` until it had it, and returns for how long it
/// waited from the interrupt that woke it.
fn wait(
    env: Env,
    setup: &Setup,
    competitor: &Competitor,
    mut meanwhile: impl FnMut(),
) -> Result<u64> {
    let runs = competitor.runs();
    let due = soon(env)?;
    let from = here(due)?;
    competitor.wake(Due::At(due))?;
    let ran = spin_while(PATIENCE, || {
        meanwhile();
        competitor.runs() == runs
    });
    setup.set_word(0);
    check!(ran, "the competitor did not run within {PATIENCE} ns");
    Ok(competitor.ran_at().saturating_sub(from))
}

/// What an interrupt that switches to the competitor takes here, without any grant.
fn interrupt(env: Env, setup: &Setup, competitor: &Competitor) -> Result<Durations> {
    let delta = CounterDelta::start()?;
    let mut samples = Durations::default();
    for _ in 0..TURNS {
        samples.add(wait(env, setup, competitor, || ())?);
    }
    delta.ensure(Counters::NOTHING)?;
    Ok(samples)
}

/// The wait of a competitor is that of any interrupt, and the extension, and at most another interrupt.
fn ensure_bounded(waits: &Durations, length: u32, plain: &Durations) -> Result<()> {
    let length = u64::from(length);
    let bound = length + 2 * plain.max();
    check!(
        waits.max() <= bound,
        "a competitor waited {} ns for an extension of {length} ns and two interrupts of {} ns",
        waits.max(),
        plain.max()
    );
    check!(
        waits.min() >= length,
        "a competitor waited only {} ns in spite of a grant of {length} ns",
        waits.min()
    );
    Ok(())
}

fn each_length(env: Env, layout: Layout, manner: Manner) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let plain = interrupt(env, &setup, &competitor)?;
    diagnose(format_args!(
        "a reschedule without an extension: {plain} ns"
    ));
    for length in LENGTHS {
        set_extension_length(length)?;
        let delta = CounterDelta::start()?;
        let mut waits = Durations::default();
        for _ in 0..TURNS {
            let mut asked = false;
            waits.add(wait(env, &setup, &competitor, || match manner {
                Manner::Spinning if asked => {}
                Manner::Spinning | Manner::Requesting => {
                    // A grant that is there stays in the word.
                    let grant = setup.word() & grant_word(layout);
                    if grant != 0 || !asked {
                        setup.add_request();
                    }
                    asked = true;
                }
            })?);
        }
        let overruns = waits.less(u64::from(length) + plain.median());
        diagnose(format_args!(
            "{length} ns, over it and that reschedule: {overruns} ns"
        ));
        if let Some(tally) = delta.counted()? {
            check!(
                tally.granted == TURNS as u64 && tally.expired == tally.granted && tally.adds_up(),
                "{tally:?}"
            );
        }
        ensure_bounded(&waits, length, &plain)?;
    }
    Ok(())
}

/// A thread that requests again as soon as it runs again: each competitor waits for one extension
/// only, wherever its wakeup falls.
fn bounded_with_request_after_grant(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitors = [Competitor::new(env, CPU)?, Competitor::new(env, CPU)?];
    let plain = interrupt(env, &setup, &competitors[0])?;
    for length in LENGTHS {
        set_extension_length(length)?;
        let length = u64::from(length);
        let (mut first, mut second) = (Durations::default(), Durations::default());
        let delta = CounterDelta::start()?;
        for turn in 0..TURNS as u64 {
            let apart = 2 * (length + plain.max()) * turn / TURNS as u64;
            let runs = [competitors[0].runs(), competitors[1].runs()];
            let due = soon(env)?;
            let from = here(due)?;
            competitors[1].wake(Due::At(due + apart))?;
            competitors[0].wake(Due::At(due))?;
            let ran = spin_while(PATIENCE, || {
                if setup.word() == 0 {
                    setup.set_word(request_word(layout));
                }
                competitors[0].runs() == runs[0] || competitors[1].runs() == runs[1]
            });
            setup.set_word(0);
            check!(ran, "a competitor did not run within {PATIENCE} ns");
            first.add(competitors[0].ran_at().saturating_sub(from));
            second.add(competitors[1].ran_at().saturating_sub(from + apart));
        }
        diagnose(format_args!(
            "{length} ns, waits of the first: {first} ns, of the second: {second} ns"
        ));
        if let Some(tally) = delta.counted()? {
            check!(tally.adds_up(), "{tally:?}");
            // Most second competitors found a grant of their own.
            check!(tally.granted > TURNS as u64 * 5 / 4, "{tally:?}");
        }
        for waits in [&first, &second] {
            let bound = length + 3 * plain.max();
            check!(
                waits.max() <= bound,
                "a competitor waited {} ns for an extension of {length} ns and the interrupts of two \
                 competitors of {} ns",
                waits.max(),
                plain.max()
            );
        }
    }
    Ok(())
}
