// SPDX-License-Identifier: GPL-2.0

//! The BITS layout: whatever is not REQUEST has to be as the kernel left it, `rseq_debug` or not.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::{spin, spin_while};
use rseq_slice_harness::timer::Due;
use rseq_slice_harness::{Counters, Layout, set_extension_length, sys};

use crate::case::{Needs, Test, once};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::support::{
    CPU, Competitor, CounterDelta, PATIENCE, Setup, ensure_dies, ensure_violation_kills, handle,
    hits, null_call, yield_call,
};

pub(crate) const TESTS: &[Test] = &[
    once(
        "violation_at_decision_kills.bits",
        Needs::On,
        violation_at_decision_kills,
    ),
    once(
        "violation_at_call_kills.bits",
        Needs::On,
        violation_at_call_kills,
    ),
    once(
        "violation_at_revocation_kills.bits",
        Needs::On,
        violation_at_revocation_kills,
    ),
    once("request_never_counts.bits", Needs::On, request_never_counts),
    once(
        "survivor_can_request_again.bits",
        Needs::On,
        survivor_can_request_again,
    ),
];

const LAYOUT: Layout = Layout::Bits;
/// What a thread without a grant must not have in its word when a reschedule is due.
const FORGED: [u32; 7] = [2, 3, 4, 1 | 4, 1 << 16, 1 | 1 << 31, !0];
/// What a thread with a grant must not have in its word. The second is what storing a request does.
const BROKEN: [u32; 5] = [0, 1, 2 | 4, 3 | 1 << 31, !0];

fn violation_at_decision_kills(env: Env) -> Result<()> {
    for debug in [false, true] {
        set_debug(debug)?;
        let delta = CounterDelta::start()?;
        for word in FORGED {
            ensure_dies(Signal::SIGSEGV, || {
                let setup = Setup::new(env, LAYOUT)?;
                let competitor = Competitor::new(env, CPU)?;
                competitor.wake_soon()?;
                setup.set_word(word);
                spin(PATIENCE);
                setup.set_word(0);
                Ok(())
            })?;
        }
        delta.ensure(Counters::NOTHING)?;
    }
    Ok(())
}

fn violation_at_call_kills(env: Env) -> Result<()> {
    for debug in [false, true] {
        set_debug(debug)?;
        for word in BROKEN {
            for call in [yield_call, null_call] {
                let delta = CounterDelta::start()?;
                ensure_violation_kills(env, LAYOUT, word, call)?;
                delta
                    .ensure(Counters::deaths(1))
                    .with_context(|| format!("{word:#x}"))?;
            }
        }
    }
    Ok(())
}

/// The grant is revoked: for a second competitor, and at its expiry.
fn violation_at_revocation_kills(env: Env) -> Result<()> {
    for (length, second_after, expired) in [(50_000, 15_000, 0), (20_000, 900_000, 1)] {
        set_extension_length(length)?;
        for word in BROKEN {
            let delta = CounterDelta::start()?;
            ensure_dies(Signal::SIGSEGV, || {
                let setup = Setup::new(env, LAYOUT)?;
                let (competitor, second) =
                    (Competitor::new(env, CPU)?, Competitor::urgent(env, CPU)?);
                setup.obtain_when(&competitor, |due| second.wake(Due::At(due + second_after)))?;
                setup.set_word(word);
                spin(PATIENCE);
                Ok(())
            })?;
            let died = Counters {
                expired,
                ..Counters::deaths(1)
            };
            delta.ensure(died).with_context(|| format!("{word:#x}"))?;
        }
    }
    Ok(())
}

fn request_never_counts(env: Env) -> Result<()> {
    for debug in [false, true] {
        set_debug(debug)?;
        let setup = Setup::new(env, LAYOUT)?;
        let competitor = Competitor::new(env, CPU)?;
        setup.request();
        null_call();
        setup.set_word(0);
        setup.obtain(&competitor)?;
        setup.set_word(3);
        check!(sys::rseq_slice_yield()? == 1);
        check!(setup.word() == 0);
        setup.obtain(&competitor)?;
        setup.outlast();
        setup.request();
        null_call();
        check!(sys::rseq_slice_yield()? == 0);
        check!(setup.word() == 1);
        setup.set_word(0);
    }
    Ok(())
}

/// A thread that handles the signal was scheduled out, its word is erased, and it may request again.
fn survivor_can_request_again(env: Env) -> Result<()> {
    let setup = Setup::new(env, LAYOUT)?;
    let competitor = Competitor::new(env, CPU)?;
    handle(Signal::SIGSEGV)?;
    let delta = CounterDelta::start()?;
    competitor.wake_soon()?;
    setup.set_word(3);
    let came = spin_while(PATIENCE, || hits() == 0);
    check!(
        came && competitor.runs() == 1,
        "{came}, {} runs",
        competitor.runs()
    );
    check!(setup.word() == 0, "the word is {:#x}", setup.word());
    delta.ensure(Counters::NOTHING)?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    check!(hits() == 1);
    delta.ensure(Counters::yields(1))
}
