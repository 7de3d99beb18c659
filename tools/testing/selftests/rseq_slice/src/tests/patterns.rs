// SPDX-License-Identifier: GPL-2.0

//! Every kind of control word at every point of a grant, with `rseq_debug` on and off: what follows
//! is what the documentation says, and nothing else.

use std::process;

use anyhow::Result;
use nix::sys::signal::Signal;
use nix::sys::wait::WaitStatus;
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::timer::Due;
use rseq_slice_harness::{Counters, Implementation, Layout, set_extension_length, sys};

use crate::case::Disturbance::{Checks, Load};
use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::ktap::diagnose;
use crate::support::{
    CPU, Child, Competitor, CounterDelta, PATIENCE, Setup, grant_word, null_call,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "end_as_documented_before_interrupt",
        Needs::On,
        |env, layout| matrix(env, layout, Point::Interrupt),
    )
    .tolerates(&[Load, Checks]),
    both(
        "end_as_documented_before_expiry",
        Needs::On,
        |env, layout| matrix(env, layout, Point::Expiry),
    ),
    both(
        "end_as_documented_before_wakeup",
        Needs::On,
        |env, layout| matrix(env, layout, Point::Wakeup),
    ),
    both(
        "end_as_documented_before_yield",
        Needs::On,
        |env, layout| matrix(env, layout, Point::Yield),
    ),
    both("end_as_documented_before_call", Needs::On, |env, layout| {
        matrix(env, layout, Point::Call)
    }),
];

/// Where a word is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// Before a reschedule is due.
    Interrupt,
    /// During the grant, which then expires.
    Expiry,
    /// During the grant, which a second competitor then ends.
    Wakeup,
    /// During the grant, before the yield.
    Yield,
    /// During the grant, before another system call.
    Call,
}

/// What the thread finds afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It was killed.
    Killed,
    /// The word when the competitor had the CPU, or when there was an answer; and what the yield
    /// returned.
    Lives(u32, i64),
}

/// One of each kind: each bit that means something, alone and together, with bits that mean nothing.
const WORDS: [u32; 16] = [
    0,
    1,
    2,
    3,
    4,
    1 | 4,
    2 | 4,
    0x80,
    0x100,
    0x101,
    0x200,
    0x1_0000,
    0x1_0101,
    0x8000_0000,
    0x8000_0002,
    !0,
];

/// How often a word is tried on a kernel that disturbs the test.
const ATTEMPTS: u32 = 4;

/// What the documentation says.
fn effect(layout: Layout, debug: bool, point: Point, word: u32) -> Effect {
    let [request, _, low, high] = word.to_ne_bytes();
    match (layout, point) {
        (Layout::Bytes, Point::Interrupt) if request != 0 => {
            let kept = u32::from_ne_bytes([0, 1, low, high]);
            // The yield looks at the bytes that the grant kept.
            if debug && kept != grant_word(layout) {
                Effect::Killed
            } else {
                Effect::Lives(kept, 1)
            }
        }
        (Layout::Bytes, Point::Interrupt | Point::Expiry | Point::Wakeup) => Effect::Lives(0, 0),
        (Layout::Bytes, Point::Yield | Point::Call) if debug && word != grant_word(layout) => {
            Effect::Killed
        }
        (Layout::Bits, Point::Interrupt) if word & !1 != 0 => Effect::Killed,
        (Layout::Bits, Point::Interrupt) if word == 1 => Effect::Lives(2, 1),
        (Layout::Bits, Point::Interrupt) => Effect::Lives(0, 0),
        (Layout::Bits, _) if word & !1 != 2 => Effect::Killed,
        (Layout::Bits, Point::Expiry | Point::Wakeup) => Effect::Lives(0, 0),
        (_, Point::Yield) => Effect::Lives(0, 1),
        (_, Point::Call) => Effect::Lives(0, 0),
    }
}

/// What the counters say then. C counts the call that finds the violation, not the death.
fn tally(env: Env, layout: Layout, point: Point, effect: Effect) -> Counters {
    let in_call = match point {
        Point::Call => Counters::aborts(1),
        _ => Counters::yields(1),
    };
    // A violation in the BYTES layout is found after the grant that it came with.
    let point = match (layout, point, effect) {
        (Layout::Bytes, Point::Interrupt, Effect::Killed) => Point::Yield,
        _ => point,
    };
    match (point, effect) {
        (Point::Interrupt, Effect::Killed) => Counters::NOTHING,
        (Point::Interrupt, Effect::Lives(0, _)) => Counters::NOTHING,
        (Point::Interrupt, Effect::Lives(..)) => Counters::yields(1),
        (Point::Expiry, Effect::Killed) => Counters {
            expired: 1,
            ..Counters::deaths(1)
        },
        (Point::Expiry, Effect::Lives(..)) => Counters::expiries(1),
        (Point::Wakeup, Effect::Killed) => Counters::deaths(1),
        (Point::Wakeup, Effect::Lives(..)) => Counters::revokes(1),
        (Point::Yield | Point::Call, Effect::Killed) => match env.kernel.implementation() {
            Implementation::C => in_call,
            Implementation::Rust => Counters::deaths(1),
        },
        (Point::Yield | Point::Call, Effect::Lives(..)) => in_call,
    }
}

/// Runs through it, unless it is killed.
fn run_through(env: Env, layout: Layout, point: Point, word: u32) -> Result<(u32, i64)> {
    let setup = Setup::new(env, layout)?;
    let (competitor, second) = (Competitor::new(env, CPU)?, Competitor::urgent(env, CPU)?);
    if point == Point::Interrupt {
        competitor.wake_soon()?;
        setup.set_word(word);
        spin_while(PATIENCE, || competitor.runs() == 0 && setup.word() == word);
        let end = setup.word();
        let yielded = sys::rseq_slice_yield()?;
        check!(competitor.runs() == 1, "the competitor did not run");
        return Ok((end, yielded));
    }
    setup.obtain_when(&competitor, |due| match point {
        Point::Wakeup => second.wake(Due::At(due + 15_000)),
        _ => Ok(()),
    })?;
    setup.set_word(word);
    match point {
        Point::Yield => {
            let yielded = sys::rseq_slice_yield()?;
            return Ok((setup.word(), yielded));
        }
        Point::Call => null_call(),
        _ => {
            let ran = spin_while(PATIENCE, || competitor.runs() == 0);
            check!(ran, "the competitor did not run");
        }
    }
    Ok((setup.word(), sys::rseq_slice_yield()?))
}

/// Runs it in a process, and compares its end and the counters with what is expected.
fn try_word(env: Env, layout: Layout, point: Point, word: u32, expected: Effect) -> Result<()> {
    let delta = CounterDelta::start()?;
    let status = Child::start(|| {
        let (end, yielded) = run_through(env, layout, point, word)?;
        let right = expected == Effect::Lives(end, yielded);
        if !right {
            diagnose(format_args!("{word:#x}: {end:#x}, {yielded}"));
        }
        process::exit(i32::from(!right))
    })?
    .wait()?;
    let right = match status {
        WaitStatus::Signaled(_, Signal::SIGSEGV, _) => expected == Effect::Killed,
        WaitStatus::Exited(_, 0) => expected != Effect::Killed,
        _ => false,
    };
    check!(right, "{status:?}, not {expected:?}");
    let mut expected = tally(env, layout, point, expected);
    if let (Point::Wakeup, Some(seen)) = (point, delta.counted()?) {
        // Both CPUs share one clock: the other one can hold up the wakeup beyond the expiry.
        expected.expired = seen.expired.min(1);
    }
    delta.ensure(expected)
}

fn matrix(env: Env, layout: Layout, point: Point) -> Result<()> {
    set_extension_length(match point {
        Point::Expiry => 20_000,
        _ => 50_000,
    })?;
    let (mut killed, mut lived) = (0, 0);
    for debug in [false, true] {
        set_debug(debug)?;
        for word in WORDS {
            let expected = effect(layout, debug, point, word);
            let mut left = if env.kernel.disturbs() { ATTEMPTS } else { 1 };
            while let Err(error) = try_word(env, layout, point, word, expected) {
                let error = error.context(format!("{word:#x}, rseq_debug {debug}"));
                left -= 1;
                if left == 0 {
                    return Err(error);
                }
                diagnose(format_args!("again: {error:#}"));
            }
            if expected == Effect::Killed {
                killed += 1;
            } else {
                lived += 1;
            }
        }
    }
    diagnose(format_args!("{killed} killed, {lived} live"));
    check!(lived > 0);
    check!(lived + killed == 2 * WORDS.len());
    // Grants are still made.
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    set_debug(env.kernel.debug)?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    Ok(())
}
