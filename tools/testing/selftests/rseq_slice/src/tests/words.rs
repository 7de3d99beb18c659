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
    CPU, Ledger, PATIENCE, Rival, Scene, ensure_dies, ensure_lie_kills, handle, hits, null_call,
    yield_call,
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
        let ledger = Ledger::open()?;
        for word in FORGED {
            ensure_dies(Signal::SIGSEGV, || {
                let scene = Scene::new(env, LAYOUT)?;
                let rival = Rival::new(env, CPU)?;
                rival.wake_soon()?;
                scene.set_word(word);
                spin(PATIENCE);
                scene.set_word(0);
                Ok(())
            })?;
        }
        ledger.ensure(Counters::NOTHING)?;
    }
    Ok(())
}

fn violation_at_call_kills(env: Env) -> Result<()> {
    for debug in [false, true] {
        set_debug(debug)?;
        for word in BROKEN {
            for call in [yield_call, null_call] {
                let ledger = Ledger::open()?;
                ensure_lie_kills(env, LAYOUT, word, call)?;
                ledger
                    .ensure(Counters::deaths(1))
                    .with_context(|| format!("{word:#x}"))?;
            }
        }
    }
    Ok(())
}

/// The grant is taken back: for a second rival, and at its expiry.
fn violation_at_revocation_kills(env: Env) -> Result<()> {
    for (length, second_after, expired) in [(50_000, 15_000, 0), (20_000, 900_000, 1)] {
        set_extension_length(length)?;
        for word in BROKEN {
            let ledger = Ledger::open()?;
            ensure_dies(Signal::SIGSEGV, || {
                let scene = Scene::new(env, LAYOUT)?;
                let (rival, second) = (Rival::new(env, CPU)?, Rival::new(env, CPU)?);
                scene.obtain_when(&rival, |due| second.wake(Due::At(due + second_after)))?;
                scene.set_word(word);
                spin(PATIENCE);
                Ok(())
            })?;
            let died = Counters {
                expired,
                ..Counters::deaths(1)
            };
            ledger.ensure(died).with_context(|| format!("{word:#x}"))?;
        }
    }
    Ok(())
}

fn request_never_counts(env: Env) -> Result<()> {
    for debug in [false, true] {
        set_debug(debug)?;
        let scene = Scene::new(env, LAYOUT)?;
        let rival = Rival::new(env, CPU)?;
        scene.request();
        null_call();
        scene.set_word(0);
        scene.obtain(&rival)?;
        scene.set_word(3);
        check!(sys::rseq_slice_yield()? == 1);
        check!(scene.word() == 0);
        scene.obtain(&rival)?;
        scene.outlast();
        scene.request();
        null_call();
        check!(sys::rseq_slice_yield()? == 0);
        check!(scene.word() == 1);
        scene.set_word(0);
    }
    Ok(())
}

/// A thread that handles the signal has lost the CPU and the word, and may ask again.
fn survivor_can_request_again(env: Env) -> Result<()> {
    let scene = Scene::new(env, LAYOUT)?;
    let rival = Rival::new(env, CPU)?;
    handle(Signal::SIGSEGV)?;
    let ledger = Ledger::open()?;
    rival.wake_soon()?;
    scene.set_word(3);
    let came = spin_while(PATIENCE, || hits() == 0);
    check!(came && rival.runs() == 1, "{came}, {} runs", rival.runs());
    check!(scene.word() == 0, "the word is {:#x}", scene.word());
    ledger.ensure(Counters::NOTHING)?;
    scene.obtain(&rival)?;
    check!(sys::rseq_slice_yield()? == 1);
    check!(hits() == 1);
    ledger.ensure(Counters::yields(1))
}
