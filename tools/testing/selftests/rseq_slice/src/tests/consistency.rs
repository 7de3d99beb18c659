// SPDX-License-Identifier: GPL-2.0

//! The BYTES layout under `rseq_debug`: system call entry compares the whole word with the kernel's
//! state, but only on a thread whose last grant has not seen a system call yet.

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::timer::{Due, SignalTimer};
use rseq_slice_harness::{Counters, Implementation, Layout, sys};

use crate::case::Disturbance::{Checks, Load};
use crate::case::{Needs, Test, once};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::support::{
    CPU, Competitor, CounterDelta, PATIENCE, Setup, ensure_dies, ensure_fine,
    ensure_violation_kills, grant_word, handle, hits, null_call, request_word, soon, yield_call,
};

pub(crate) const TESTS: &[Test] = &[
    once("unchanged_word_lives", Needs::On, unchanged_word_lives),
    once(
        "violation_in_grant_kills",
        Needs::On,
        violation_in_grant_kills,
    ),
    once("reserved_byte_kills", Needs::On, reserved_byte_kills).tolerates(&[Load, Checks]),
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
    once(
        "handler_return_with_request_lives",
        Needs::On,
        handler_return_with_request_lives,
    )
    .tolerates(&[Load, Checks]),
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
fn violations() -> [u32; 4] {
    let grant = grant_word(LAYOUT);
    [
        0,
        request_word(LAYOUT),
        grant | request_word(LAYOUT),
        grant | u32::from_ne_bytes([0, 0, 1, 0]),
    ]
}

fn unchanged_word_lives(env: Env) -> Result<()> {
    set_debug(true)?;
    let setup = Setup::new(env, LAYOUT)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    setup.obtain(&competitor)?;
    null_call();
    setup.obtain(&competitor)?;
    setup.outlast();
    null_call();
    delta.ensure(Counters {
        granted: 3,
        yielded: 1,
        aborted: 1,
        revoked: 1,
        expired: 1,
        died: Some(0),
    })
}

/// The violation kills the thread, and the grant dies with it. C counts the call instead.
fn violation_in_grant_kills(env: Env) -> Result<()> {
    set_debug(true)?;
    for violation in violations() {
        for (call, in_c) in [
            (yield_call as fn(), Counters::yields(1)),
            (null_call, Counters::aborts(1)),
        ] {
            let delta = CounterDelta::start()?;
            ensure_violation_kills(env, LAYOUT, violation, call)?;
            delta
                .ensure(match env.kernel.implementation() {
                    Implementation::C => in_c,
                    Implementation::Rust => Counters::deaths(1),
                })
                .with_context(|| format!("{violation:#x}"))?;
        }
    }
    Ok(())
}

/// The reserved bytes have to be 0, although the grant keeps what is in them.
fn reserved_byte_kills(env: Env) -> Result<()> {
    set_debug(true)?;
    for (reserved, dies) in [([0, 0], false), ([1, 0], true), ([0, 0x80], true)] {
        let [low, high] = reserved;
        let program = || {
            let setup = Setup::new(env, LAYOUT)?;
            let competitor = Competitor::new(env, CPU)?;
            competitor.wake_soon()?;
            setup.offer(u32::from_ne_bytes([1, 0, low, high]), env.lead() + PATIENCE);
            let word = setup.word();
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

/// A setup whose grant was revoked, so that the next system call looks at the word.
fn revoked(env: Env) -> Result<(Setup, Competitor)> {
    set_debug(true)?;
    let setup = Setup::new(env, LAYOUT)?;
    let competitor = Competitor::new(env, CPU)?;
    setup.obtain(&competitor)?;
    setup.outlast();
    Ok((setup, competitor))
}

/// A request alone is no violation: a program may be unable to avoid the system call.
fn request_after_revocation_lives(env: Env) -> Result<()> {
    ensure_fine(|| {
        let (setup, _competitor) = revoked(env)?;
        setup.request();
        null_call();
        let word = setup.word();
        setup.set_word(0);
        check!(word == request_word(LAYOUT), "the word is {word:#x}");
        Ok(())
    })
}

/// The kernel knows that there is no grant.
fn violation_after_revocation_kills(env: Env) -> Result<()> {
    let grant = grant_word(LAYOUT);
    for violation in [
        grant,
        grant | request_word(LAYOUT),
        u32::from_ne_bytes([0, 0, 1, 0]),
        u32::from_ne_bytes([1, 0, 0, 1]),
    ] {
        ensure_dies(Signal::SIGSEGV, || {
            let (setup, _competitor) = revoked(env)?;
            setup.set_word(violation);
            null_call();
            Ok(())
        })
        .with_context(|| format!("{violation:#x}"))?;
    }
    Ok(())
}

/// The return from a signal handler is such a system call.
fn handler_return_with_request_lives(env: Env) -> Result<()> {
    ensure_fine(|| {
        let timer = SignalTimer::new(Signal::SIGUSR1 as i32)?;
        handle(Signal::SIGUSR1)?;
        set_debug(true)?;
        let setup = Setup::new(env, LAYOUT)?;
        let competitor = Competitor::new(env, CPU)?;
        let due = soon(env)?;
        timer.fire(Due::At(due + 2 * PATIENCE / 10))?;
        setup.obtain_at(due, &competitor)?;
        let revoked = setup.outlast().is_some();
        let early = hits();
        setup.request();
        let came = spin_while(PATIENCE, || hits() == 0);
        let word = setup.word();
        setup.set_word(0);
        check!(
            revoked && early == 0 && came,
            "{revoked}, {early} signals before the request, then {}",
            hits()
        );
        check!(word == request_word(LAYOUT), "the word is {word:#x}");
        Ok(())
    })
}

fn unchecked_without_grant(env: Env) -> Result<()> {
    set_debug(true)?;
    let setup = Setup::new(env, LAYOUT)?;
    let competitor = Competitor::new(env, CPU)?;
    for word in violations().into_iter().chain([!0]) {
        setup.set_word(word);
        null_call();
        check!(setup.word() == word);
    }
    setup.set_word(0);
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    setup.set_word(!0);
    null_call();
    check!(sys::rseq_slice_yield()? == 0);
    check!(setup.word() == !0);
    Ok(())
}

/// Without `rseq_debug` nothing is checked: the kernel's state alone decides.
fn unchecked_without_rseq_debug(env: Env) -> Result<()> {
    set_debug(false)?;
    let setup = Setup::new(env, LAYOUT)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    for violation in violations() {
        setup.obtain(&competitor)?;
        setup.set_word(violation);
        let yielded = sys::rseq_slice_yield()?;
        check!(
            yielded == 1 && setup.word() == 0,
            "{violation:#x}: {yielded}, {:#x}",
            setup.word()
        );
    }
    delta.ensure(Counters::yields(4))
}
