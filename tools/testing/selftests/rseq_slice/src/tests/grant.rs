// SPDX-License-Identifier: GPL-2.0

//! When a reschedule is postponed, and what the control word says then.

use anyhow::Result;
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::timer::{Due, SignalTimer};
use rseq_slice_harness::{
    Counters, Layout, Registration, layout, set_extension_length, set_layout, sys,
};

use crate::case::Disturbance::{Checks, Load};
use crate::case::{Needs, Test, both, once};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::support::{
    CPU, Child, Competitor, CounterDelta, Page, Seen, Setup, be_on, fair_competitor, flags,
    grant_word, handle, hits, request_word, soon,
};

pub(crate) const TESTS: &[Test] = &[
    both("postpones_until_yield", Needs::On, postpones_until_yield),
    both("can_follow_grant", Needs::On, can_follow_grant),
    both(
        "postpones_lazy_reschedule",
        Needs::On,
        postpones_lazy_reschedule,
    )
    .tolerates(&[]),
    both(
        "copes_with_copy_on_write",
        Needs::On,
        copes_with_copy_on_write,
    )
    .tolerates(&[Load, Checks]),
    both("not_without_request", Needs::On, not_without_request),
    both(
        "not_for_cleared_request",
        Needs::On,
        not_for_cleared_request,
    ),
    both("not_when_disabled", Needs::On, not_when_disabled),
    both(
        "not_with_signal_pending",
        Needs::On,
        not_with_signal_pending,
    ),
    once("takes_any_request_byte", Needs::On, takes_any_request_byte).tolerates(&[Load, Checks]),
    once("keeps_reserved_bytes", Needs::On, keeps_reserved_bytes),
    once(
        "leaves_unregistered_memory_alone",
        Needs::On,
        leaves_unregistered_memory_alone,
    ),
];

/// The request becomes a grant, and the competitor waits until the CPU is given up.
fn postpones_until_yield(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    let word = setup.word();
    let waiting = competitor.runs() == 0;
    let yielded = sys::rseq_slice_yield()?;
    check!(word == grant_word(layout), "the word is {word:#x}");
    check!(waiting, "the competitor ran during the grant");
    check!(yielded == 1, "the yield returned {yielded}");
    check!(
        competitor.runs() == 1,
        "the competitor did not run by the end of the yield"
    );
    check!(
        setup.word() == 0,
        "after the yield the word is {:#x}",
        setup.word()
    );
    check!(setup.area().flags() == flags(true));
    delta.ensure(Counters::yields(1))
}

fn can_follow_grant(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    for turn in 1..=20 {
        setup.obtain(&competitor)?;
        check!(sys::rseq_slice_yield()? == 1);
        check!(competitor.runs() == turn);
    }
    delta.ensure(Counters::yields(20))
}

/// A competitor of the normal class, which the scheduler does not always let preempt.
fn postpones_lazy_reschedule(env: Env, layout: Layout) -> Result<()> {
    let competitor = fair_competitor(env, CPU)?;
    let registration = Registration::new()?;
    rseq_slice_harness::pin_to(&[CPU])?;
    set_layout(Some(layout))?;
    set_extension_length(50_000)?;
    let area = registration.area();
    let delta = CounterDelta::start()?;
    let mut yields = 0;
    // Others of the normal class may want the CPU too, so that only this much is certain: sooner or
    // later a request made while another thread waits is granted.
    for _ in 0..50 {
        let runs = competitor.runs();
        competitor.wake_soon()?;
        area.set_slice_ctrl(request_word(layout));
        spin_while(5_000_000, || area.slice_ctrl() == request_word(layout));
        if area.slice_ctrl() != grant_word(layout) {
            area.set_slice_ctrl(0);
        } else if sys::rseq_slice_yield()? == 1 && competitor.runs() == runs + 1 {
            yields += 1;
        }
    }
    let tally = delta.counted()?;
    check!(yields > 0, "no grant was yielded: {tally:?}");
    check!(tally.is_none_or(|tally| tally.adds_up()), "{tally:?}");
    Ok(())
}

/// The page of the area has to be copied before the grant can be stored. The fault may give the CPU
/// up by itself; then there is no grant, but nothing worse happens either.
fn copes_with_copy_on_write(env: Env, layout: Layout) -> Result<()> {
    be_on(env, CPU)?;
    let competitor = Competitor::new(env, CPU)?;
    let setup = Setup::with(env, Page::new()?.register()?, layout)?;
    let delta = CounterDelta::start()?;
    competitor.wake_in(3_000_000)?;
    setup.request();
    // Shares all pages with the child, which does not run before this thread gives the CPU up.
    let child = Child::start(|| Ok(()))?;
    let left = spin_while(5_000_000, || setup.word() == request_word(layout));
    let was_granted = setup.word() == grant_word(layout);
    let yielded = sys::rseq_slice_yield()?;
    check!(left);
    check!(competitor.runs() == 1);
    check!(
        yielded == i64::from(was_granted),
        "{was_granted}, but the yield returned {yielded}"
    );
    check!(setup.word() == 0);
    check!(delta.counted()?.is_none_or(|tally| tally.adds_up()));
    child.ensure_fine()?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    Ok(())
}

fn not_without_request(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    competitor.wake_soon()?;
    competitor.ensure_runs(1)?;
    check!(setup.word() == 0);
    check!(sys::rseq_slice_yield()? == 0);
    delta.ensure(Counters::NOTHING)
}

fn not_for_cleared_request(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    competitor.wake_soon()?;
    setup.request();
    setup.set_word(0);
    competitor.ensure_runs(1)?;
    delta.ensure(Counters::NOTHING)
}

/// A request of a thread that has the extension off is erased when the thread is scheduled out.
fn not_when_disabled(env: Env, wanted: Layout) -> Result<()> {
    let setup = Setup::new(env, wanted)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    set_layout(None)?;
    check!(setup.ask(&competitor)? == Seen::Erased);
    // A thread of the kernel may come before it.
    competitor.ensure_runs(1)?;
    delta.ensure(Counters::NOTHING)?;
    set_layout(Some(wanted))?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    check!(layout()? == Some(wanted));
    delta.ensure(Counters::yields(1))
}

/// One interrupt brings both the reschedule and a signal: the signal comes first, so no grant.
fn not_with_signal_pending(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let timer = SignalTimer::new(Signal::SIGUSR1 as i32)?;
    handle(Signal::SIGUSR1)?;
    let delta = CounterDelta::start()?;
    let due = Due::At(soon(env)?);
    competitor.wake(due)?;
    timer.fire(due)?;
    setup.request();
    spin_while(1_000_000, || hits() == 0);
    check!(hits() == 1);
    check!(competitor.runs() == 1);
    check!(setup.word() == 0, "the word is {:#x}", setup.word());
    delta.ensure(Counters::NOTHING)
}

/// Any byte but 0 is a request.
fn takes_any_request_byte(env: Env) -> Result<()> {
    let setup = Setup::new(env, Layout::Bytes)?;
    let competitor = Competitor::new(env, CPU)?;
    for byte in [2, 0x80, 0xff] {
        competitor.wake_soon()?;
        let seen = setup.offer(u32::from_ne_bytes([byte, 0, 0, 0]), 1_000_000);
        let yielded = sys::rseq_slice_yield()?;
        check!(seen == Seen::Granted && yielded == 1, "{byte:#x}: {seen:?}");
    }
    Ok(())
}

/// The reserved bytes stay during the grant, and are erased with it.
fn keeps_reserved_bytes(env: Env) -> Result<()> {
    set_debug(false)?;
    let setup = Setup::new(env, Layout::Bytes)?;
    let competitor = Competitor::new(env, CPU)?;
    competitor.wake_soon()?;
    let seen = setup.offer(u32::from_ne_bytes([1, 0, 0xbe, 0xef]), 1_000_000);
    let yielded = sys::rseq_slice_yield()?;
    let expected = Seen::Other(u32::from_ne_bytes([0, 1, 0xbe, 0xef]));
    check!(seen == expected, "{seen:x?}");
    check!(yielded == 1);
    check!(setup.word() == 0);
    Ok(())
}

/// After unregistration the kernel does not write to the memory any more.
fn leaves_unregistered_memory_alone(env: Env) -> Result<()> {
    be_on(env, CPU)?;
    let competitor = Competitor::new(env, CPU)?;
    let page = Page::new()?;
    let setup = Setup::with(env, page.register()?, Layout::Bytes)?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    setup.into_registration().unregister()?;
    // SAFETY: The page is never freed and still holds the area.
    let area = unsafe { page.area().as_ref() };
    let delta = CounterDelta::start()?;
    let runs = competitor.runs();
    competitor.wake_soon()?;
    area.set_slice_ctrl(request_word(Layout::Bytes));
    competitor.ensure_runs(runs + 1)?;
    check!(area.slice_ctrl() == request_word(Layout::Bytes));
    delta.ensure(Counters::NOTHING)
}
