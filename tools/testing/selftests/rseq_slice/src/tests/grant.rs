// SPDX-License-Identifier: GPL-2.0

//! When a reschedule is postponed, and what the control word says then.

use anyhow::Result;
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::timer::{Due, SignalTimer};
use rseq_slice_harness::{
    Counters, Layout, Registration, layout, set_extension_length, set_layout, sys,
};

use crate::case::{Needs, Test, both, once};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::support::{
    CPU, Child, Ledger, Page, Rival, Scene, Seen, be_on, fair_rival, flags, granted, handle, hits,
    requested, soon,
};

pub(crate) const TESTS: &[Test] = &[
    both("postpones_until_yield", Needs::On, postpones_until_yield),
    both("can_follow_grant", Needs::On, can_follow_grant),
    both(
        "postpones_lazy_reschedule",
        Needs::On,
        postpones_lazy_reschedule,
    )
    .alone(),
    both(
        "copes_with_copy_on_write",
        Needs::On,
        copes_with_copy_on_write,
    )
    .undisturbed(),
    both("not_without_request", Needs::On, not_without_request),
    both("not_after_withdrawal", Needs::On, not_after_withdrawal),
    both("not_when_disabled", Needs::On, not_when_disabled),
    both(
        "not_with_signal_pending",
        Needs::On,
        not_with_signal_pending,
    ),
    once("takes_any_request_byte", Needs::On, takes_any_request_byte).undisturbed(),
    once("keeps_reserved_bytes", Needs::On, keeps_reserved_bytes),
    once(
        "leaves_unregistered_memory_alone",
        Needs::On,
        leaves_unregistered_memory_alone,
    ),
];

/// The request goes, the grant comes, and the one who wants the CPU waits until it is given up.
fn postpones_until_yield(env: Env, layout: Layout) -> Result<()> {
    let scene = Scene::new(env, layout)?;
    let rival = Rival::new(env, CPU)?;
    let ledger = Ledger::open()?;
    scene.obtain(&rival)?;
    let word = scene.word();
    let waiting = rival.runs() == 0;
    let yielded = sys::rseq_slice_yield()?;
    check!(word == granted(layout), "the word is {word:#x}");
    check!(waiting, "the rival ran during the grant");
    check!(yielded == 1, "the yield returned {yielded}");
    check!(
        rival.runs() == 1,
        "the rival did not run by the end of the yield"
    );
    check!(
        scene.word() == 0,
        "after the yield the word is {:#x}",
        scene.word()
    );
    check!(scene.area().flags() == flags(true));
    ledger.ensure(Counters::yields(1))
}

fn can_follow_grant(env: Env, layout: Layout) -> Result<()> {
    let scene = Scene::new(env, layout)?;
    let rival = Rival::new(env, CPU)?;
    let ledger = Ledger::open()?;
    for turn in 1..=20 {
        scene.obtain(&rival)?;
        check!(sys::rseq_slice_yield()? == 1);
        check!(rival.runs() == turn);
    }
    ledger.ensure(Counters::yields(20))
}

/// A rival of the normal class that preempts when the scheduler finds it fair.
fn postpones_lazy_reschedule(env: Env, layout: Layout) -> Result<()> {
    let rival = fair_rival(env, CPU)?;
    let registration = Registration::new()?;
    rseq_slice_harness::pin_to(&[CPU])?;
    set_layout(Some(layout))?;
    set_extension_length(50_000)?;
    let area = registration.area();
    let ledger = Ledger::open()?;
    let mut yields = 0;
    // Others of the normal class may want the CPU too, so that only this much is certain: sooner or
    // later a request made while somebody waits is granted.
    for _ in 0..50 {
        let runs = rival.runs();
        rival.wake_soon()?;
        area.set_slice_ctrl(requested(layout));
        spin_while(5_000_000, || area.slice_ctrl() == requested(layout));
        if area.slice_ctrl() != granted(layout) {
            area.set_slice_ctrl(0);
        } else if sys::rseq_slice_yield()? == 1 && rival.runs() == runs + 1 {
            yields += 1;
        }
    }
    let tally = ledger.counted()?;
    check!(yields > 0, "no grant was yielded: {tally:?}");
    check!(tally.is_none_or(|tally| tally.adds_up()), "{tally:?}");
    Ok(())
}

/// The page of the area has to be copied before the grant can be stored. The fault may give the CPU
/// up by itself; then there is no grant, but nothing worse happens either.
fn copes_with_copy_on_write(env: Env, layout: Layout) -> Result<()> {
    be_on(env, CPU)?;
    let rival = Rival::new(env, CPU)?;
    let scene = Scene::with(env, Page::new()?.register()?, layout)?;
    let ledger = Ledger::open()?;
    rival.wake_in(3_000_000)?;
    scene.request();
    // Shares all pages with the child, which does not run before this thread gives the CPU up.
    let child = Child::start(|| Ok(()))?;
    let left = spin_while(5_000_000, || scene.word() == requested(layout));
    let was_granted = scene.word() == granted(layout);
    let yielded = sys::rseq_slice_yield()?;
    check!(left);
    check!(rival.runs() == 1);
    check!(
        yielded == i64::from(was_granted),
        "{was_granted}, but the yield returned {yielded}"
    );
    check!(scene.word() == 0);
    check!(ledger.counted()?.is_none_or(|tally| tally.adds_up()));
    child.ensure_fine()?;
    scene.obtain(&rival)?;
    check!(sys::rseq_slice_yield()? == 1);
    Ok(())
}

fn not_without_request(env: Env, layout: Layout) -> Result<()> {
    let scene = Scene::new(env, layout)?;
    let rival = Rival::new(env, CPU)?;
    let ledger = Ledger::open()?;
    rival.wake_soon()?;
    rival.ensure_runs(1)?;
    check!(scene.word() == 0);
    check!(sys::rseq_slice_yield()? == 0);
    ledger.ensure(Counters::NOTHING)
}

fn not_after_withdrawal(env: Env, layout: Layout) -> Result<()> {
    let scene = Scene::new(env, layout)?;
    let rival = Rival::new(env, CPU)?;
    let ledger = Ledger::open()?;
    rival.wake_soon()?;
    scene.request();
    scene.set_word(0);
    rival.ensure_runs(1)?;
    ledger.ensure(Counters::NOTHING)
}

/// A request of a thread that has the extension off is erased when the thread is scheduled out.
fn not_when_disabled(env: Env, wanted: Layout) -> Result<()> {
    let scene = Scene::new(env, wanted)?;
    let rival = Rival::new(env, CPU)?;
    let ledger = Ledger::open()?;
    set_layout(None)?;
    check!(scene.ask(&rival)? == Seen::Erased);
    check!(rival.runs() == 1);
    ledger.ensure(Counters::NOTHING)?;
    set_layout(Some(wanted))?;
    scene.obtain(&rival)?;
    check!(sys::rseq_slice_yield()? == 1);
    check!(layout()? == Some(wanted));
    ledger.ensure(Counters::yields(1))
}

/// One interrupt brings both the reschedule and a signal: the signal comes first, so no grant.
fn not_with_signal_pending(env: Env, layout: Layout) -> Result<()> {
    let scene = Scene::new(env, layout)?;
    let rival = Rival::new(env, CPU)?;
    let timer = SignalTimer::new(Signal::SIGUSR1 as i32)?;
    handle(Signal::SIGUSR1)?;
    let ledger = Ledger::open()?;
    let due = Due::At(soon(env)?);
    rival.wake(due)?;
    timer.fire(due)?;
    scene.request();
    spin_while(1_000_000, || hits() == 0);
    check!(hits() == 1);
    check!(rival.runs() == 1);
    check!(scene.word() == 0, "the word is {:#x}", scene.word());
    ledger.ensure(Counters::NOTHING)
}

/// Any byte but 0 is a request.
fn takes_any_request_byte(env: Env) -> Result<()> {
    let scene = Scene::new(env, Layout::Bytes)?;
    let rival = Rival::new(env, CPU)?;
    for byte in [2, 0x80, 0xff] {
        rival.wake_soon()?;
        let seen = scene.offer(u32::from_ne_bytes([byte, 0, 0, 0]), 1_000_000);
        let yielded = sys::rseq_slice_yield()?;
        check!(seen == Seen::Granted && yielded == 1, "{byte:#x}: {seen:?}");
    }
    Ok(())
}

/// The bytes that nobody owns stay through the grant, and go with it.
fn keeps_reserved_bytes(env: Env) -> Result<()> {
    set_debug(false)?;
    let scene = Scene::new(env, Layout::Bytes)?;
    let rival = Rival::new(env, CPU)?;
    rival.wake_soon()?;
    let seen = scene.offer(u32::from_ne_bytes([1, 0, 0xbe, 0xef]), 1_000_000);
    let yielded = sys::rseq_slice_yield()?;
    let expected = Seen::Other(u32::from_ne_bytes([0, 1, 0xbe, 0xef]));
    check!(seen == expected, "{seen:x?}");
    check!(yielded == 1);
    check!(scene.word() == 0);
    Ok(())
}

/// After unregistration the memory is the program's again.
fn leaves_unregistered_memory_alone(env: Env) -> Result<()> {
    be_on(env, CPU)?;
    let rival = Rival::new(env, CPU)?;
    let page = Page::new()?;
    let scene = Scene::with(env, page.register()?, Layout::Bytes)?;
    scene.obtain(&rival)?;
    check!(sys::rseq_slice_yield()? == 1);
    scene.into_registration().unregister()?;
    // SAFETY: The page is never freed and still holds the area.
    let area = unsafe { page.area().as_ref() };
    let ledger = Ledger::open()?;
    let runs = rival.runs();
    rival.wake_soon()?;
    area.set_slice_ctrl(requested(Layout::Bytes));
    rival.ensure_runs(runs + 1)?;
    check!(area.slice_ctrl() == requested(Layout::Bytes));
    ledger.ensure(Counters::NOTHING)
}
