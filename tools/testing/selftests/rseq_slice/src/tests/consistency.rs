// SPDX-License-Identifier: GPL-2.0

//! The BYTES layout under `rseq_debug`: system call entry compares the whole word with the kernel's
//! state, but only on a thread whose last grant has not seen a system call yet.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::timer::{Due, SignalTimer};
use rseq_slice_harness::{Counters, Implementation, Layout, sys};

use crate::case::{Needs, Test, once};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::support::{
    CPU, Ledger, PATIENCE, Rival, Scene, ensure_dies, ensure_fine, ensure_lie_kills, granted,
    handle, hits, null_call, requested, soon, yield_call,
};

pub(crate) const TESTS: &[Test] = &[
    once("unchanged_word_lives", Needs::On, unchanged_word_lives),
    once(
        "violation_in_grant_kills",
        Needs::On,
        violation_in_grant_kills,
    ),
    once("reserved_byte_kills", Needs::On, reserved_byte_kills),
    once(
        "request_after_revocation_lives",
        Needs::On,
        request_after_revocation_lives,
    ),
    once(
        "violation_after_revocation_kills",
        Needs::On,
        violation_after_revocation_kills,
    ),
    once("handler_returns", Needs::On, handler_returns),
    once(
        "unchecked_without_grant",
        Needs::On,
        unchecked_without_grant,
    ),
    once(
        "unchecked_without_rseq_debug",
        Needs::On,
        unchecked_without_rseq_debug,
    ),
];

const LAYOUT: Layout = Layout::Bytes;

/// Words that differ from the one that the kernel stored with the grant.
fn lies() -> [u32; 4] {
    let grant = granted(LAYOUT);
    [
        0,
        requested(LAYOUT),
        grant | requested(LAYOUT),
        grant | u32::from_ne_bytes([0, 0, 1, 0]),
    ]
}

fn unchanged_word_lives(env: Env) -> Result<()> {
    set_debug(true)?;
    let scene = Scene::new(env, LAYOUT)?;
    let rival = Rival::new(env, CPU)?;
    let ledger = Ledger::open()?;
    scene.obtain(&rival)?;
    check!(sys::rseq_slice_yield()? == 1);
    scene.obtain(&rival)?;
    null_call();
    scene.obtain(&rival)?;
    scene.outlast();
    null_call();
    ledger.ensure(Counters {
        granted: 3,
        yielded: 1,
        aborted: 1,
        revoked: 1,
        expired: 1,
        died: Some(0),
    })
}

/// The thread dies of the lie, and so does its grant. C counts the call instead.
fn violation_in_grant_kills(env: Env) -> Result<()> {
    set_debug(true)?;
    for lie in lies() {
        for (call, in_c) in [
            (yield_call as fn(), Counters::yields(1)),
            (null_call, Counters::aborts(1)),
        ] {
            let ledger = Ledger::open()?;
            ensure_lie_kills(env, LAYOUT, lie, call)?;
            ledger
                .ensure(match env.kernel.implementation() {
                    Implementation::C => in_c,
                    Implementation::Rust => Counters::deaths(1),
                })
                .with_context(|| format!("{lie:#x}"))?;
        }
    }
    Ok(())
}

/// The bytes that nobody owns have to be 0, although the grant keeps what is in them.
fn reserved_byte_kills(env: Env) -> Result<()> {
    set_debug(true)?;
    for (reserved, dies) in [([0, 0], false), ([1, 0], true), ([0, 0x80], true)] {
        let [low, high] = reserved;
        let program = || {
            let scene = Scene::new(env, LAYOUT)?;
            let rival = Rival::new(env, CPU)?;
            rival.wake_soon()?;
            scene.offer(u32::from_ne_bytes([1, 0, low, high]), env.lead() + PATIENCE);
            let word = scene.word();
            null_call();
            check!(word == u32::from_ne_bytes([0, 1, low, high]), "{word:#x}");
            Ok(())
        };
        if dies {
            ensure_dies(Signal::SIGSEGV, program)?;
        } else {
            ensure_fine(program)?;
        }
    }
    Ok(())
}

/// A scene whose grant was revoked, so that the next system call looks at the word.
fn revoked(env: Env) -> Result<(Scene, Rival)> {
    set_debug(true)?;
    let scene = Scene::new(env, LAYOUT)?;
    let rival = Rival::new(env, CPU)?;
    scene.obtain(&rival)?;
    scene.outlast();
    Ok((scene, rival))
}

/// A request alone is no lie: a program may be unable to avoid the system call.
fn request_after_revocation_lives(env: Env) -> Result<()> {
    ensure_fine(|| {
        let (scene, _rival) = revoked(env)?;
        scene.request();
        null_call();
        let word = scene.word();
        scene.set_word(0);
        check!(word == requested(LAYOUT), "the word is {word:#x}");
        Ok(())
    })
}

/// The kernel knows that there is no grant.
fn violation_after_revocation_kills(env: Env) -> Result<()> {
    let grant = granted(LAYOUT);
    for lie in [
        grant,
        grant | requested(LAYOUT),
        u32::from_ne_bytes([0, 0, 1, 0]),
        u32::from_ne_bytes([1, 0, 0, 1]),
    ] {
        ensure_dies(Signal::SIGSEGV, || {
            let (scene, _rival) = revoked(env)?;
            scene.set_word(lie);
            null_call();
            Ok(())
        })
        .with_context(|| format!("{lie:#x}"))?;
    }
    Ok(())
}

/// The return from a signal handler is such a system call.
fn handler_returns(env: Env) -> Result<()> {
    ensure_fine(|| {
        let timer = SignalTimer::new(Signal::SIGUSR1 as i32)?;
        handle(Signal::SIGUSR1)?;
        set_debug(true)?;
        let scene = Scene::new(env, LAYOUT)?;
        let rival = Rival::new(env, CPU)?;
        let due = soon(env)?;
        timer.fire(Due::At(due + 2 * PATIENCE / 10))?;
        scene.obtain_at(due, &rival)?;
        let revoked = scene.outlast().is_some();
        let early = hits();
        scene.request();
        let came = spin_while(PATIENCE, || hits() == 0);
        let word = scene.word();
        scene.set_word(0);
        check!(
            revoked && early == 0 && came,
            "{revoked}, {early} signals before the request, then {}",
            hits()
        );
        check!(word == requested(LAYOUT), "the word is {word:#x}");
        Ok(())
    })
}

fn unchecked_without_grant(env: Env) -> Result<()> {
    set_debug(true)?;
    let scene = Scene::new(env, LAYOUT)?;
    let rival = Rival::new(env, CPU)?;
    for word in lies().into_iter().chain([!0]) {
        scene.set_word(word);
        null_call();
        check!(scene.word() == word);
    }
    scene.set_word(0);
    scene.obtain(&rival)?;
    check!(sys::rseq_slice_yield()? == 1);
    scene.set_word(!0);
    null_call();
    check!(sys::rseq_slice_yield()? == 0);
    check!(scene.word() == !0);
    Ok(())
}

/// Without `rseq_debug` nobody looks: the grant goes by the kernel's state.
fn unchecked_without_rseq_debug(env: Env) -> Result<()> {
    set_debug(false)?;
    let scene = Scene::new(env, LAYOUT)?;
    let rival = Rival::new(env, CPU)?;
    let ledger = Ledger::open()?;
    for lie in lies() {
        scene.obtain(&rival)?;
        scene.set_word(lie);
        let yielded = sys::rseq_slice_yield()?;
        check!(
            yielded == 1 && scene.word() == 0,
            "{lie:#x}: {yielded}, {:#x}",
            scene.word()
        );
    }
    ledger.ensure(Counters::yields(4))
}
