// SPDX-License-Identifier: GPL-2.0

//! The BYTES layout under `rseq_debug`: system call entry compares the whole word with the kernel's
//! state, but only on a thread whose last grant has not seen a system call yet.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use rseq_slice::{Implementation, Layout, sys};

use crate::case::{Needs, Test, once};
use crate::kernel::{Kernel, set_debug};
use crate::support::{
    CPU, Ledger, PATIENCE, Rival, Scene, Tally, ensure_dies, ensure_fine, ensure_lie_kills,
    granted, lead, null_call, requested, yield_call,
};

pub(crate) const TESTS: &[Test] = &[
    once("consistency.truth_lives", Needs::On, truth_lives),
    once("consistency.lie_in_grant", Needs::On, lie_in_grant),
    once("consistency.reserved_bytes", Needs::On, reserved_bytes),
    once(
        "consistency.request_after_revocation",
        Needs::On,
        request_after_revocation,
    ),
    once(
        "consistency.unchecked_without_grant",
        Needs::On,
        unchecked_without_grant,
    ),
    once("consistency.off", Needs::On, off),
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

fn truth_lives(_: &Kernel) -> Result<()> {
    set_debug(true)?;
    let scene = Scene::new(LAYOUT)?;
    let rival = Rival::new(CPU)?;
    let ledger = Ledger::open()?;
    scene.obtain(&rival)?;
    ensure!(sys::rseq_slice_yield()? == 1);
    scene.obtain(&rival)?;
    null_call();
    scene.obtain(&rival)?;
    scene.outlast();
    null_call();
    ledger.ensure(Tally {
        granted: 3,
        yielded: 1,
        aborted: 1,
        revoked: 1,
        expired: 1,
        died: 0,
    })
}

/// The thread dies of the lie, and so does its grant. C counts the call instead.
fn lie_in_grant(kernel: &Kernel) -> Result<()> {
    set_debug(true)?;
    for lie in lies() {
        for (call, in_c) in [
            (yield_call as fn(), Tally::yields(1)),
            (null_call, Tally::aborts(1)),
        ] {
            let ledger = Ledger::open()?;
            ensure_lie_kills(LAYOUT, lie, call)?;
            ledger
                .ensure(match kernel.implementation() {
                    Implementation::C => in_c,
                    Implementation::Rust => Tally::deaths(1),
                })
                .with_context(|| format!("{lie:#x}"))?;
        }
    }
    Ok(())
}

/// The bytes that nobody owns have to be 0, although the grant keeps what is in them.
fn reserved_bytes(_: &Kernel) -> Result<()> {
    set_debug(true)?;
    for (reserved, dies) in [([0, 0], false), ([1, 0], true), ([0, 0x80], true)] {
        let [low, high] = reserved;
        let program = || {
            let scene = Scene::new(LAYOUT)?;
            let rival = Rival::new(CPU)?;
            rival.wake_soon()?;
            scene.offer(u32::from_ne_bytes([1, 0, low, high]), lead() + PATIENCE);
            let word = scene.word();
            null_call();
            ensure!(word == u32::from_ne_bytes([0, 1, low, high]), "{word:#x}");
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

/// A request counts as a lie in the first system call after a grant was revoked.
fn request_after_revocation(_: &Kernel) -> Result<()> {
    set_debug(true)?;
    let program = |first: fn()| {
        move || {
            let scene = Scene::new(LAYOUT)?;
            let rival = Rival::new(CPU)?;
            scene.obtain(&rival)?;
            scene.outlast();
            first();
            scene.request();
            null_call();
            scene.set_word(0);
            Ok(())
        }
    };
    ensure_dies(Signal::SIGSEGV, program(|| ()))?;
    ensure_fine(program(null_call))
}

fn unchecked_without_grant(_: &Kernel) -> Result<()> {
    set_debug(true)?;
    let scene = Scene::new(LAYOUT)?;
    let rival = Rival::new(CPU)?;
    for word in lies().into_iter().chain([!0]) {
        scene.set_word(word);
        null_call();
        ensure!(scene.word() == word);
    }
    scene.set_word(0);
    scene.obtain(&rival)?;
    ensure!(sys::rseq_slice_yield()? == 1);
    scene.set_word(!0);
    null_call();
    ensure!(sys::rseq_slice_yield()? == 0);
    ensure!(scene.word() == !0);
    Ok(())
}

/// Without `rseq_debug` nobody looks: the grant goes by the kernel's state.
fn off(_: &Kernel) -> Result<()> {
    set_debug(false)?;
    let scene = Scene::new(LAYOUT)?;
    let rival = Rival::new(CPU)?;
    let ledger = Ledger::open()?;
    for lie in lies() {
        scene.obtain(&rival)?;
        scene.set_word(lie);
        let yielded = sys::rseq_slice_yield()?;
        ensure!(
            yielded == 1 && scene.word() == 0,
            "{lie:#x}: {yielded}, {:#x}",
            scene.word()
        );
    }
    ledger.ensure(Tally::yields(4))
}
