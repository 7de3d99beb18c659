// SPDX-License-Identifier: GPL-2.0

//! The kernel has to wait for the control word: a program answers the fault, and the thread continues.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::Signal;
use nix::unistd::gettid;
use rseq_slice_harness::clock::{spin, spin_while};
use rseq_slice_harness::{Counters, Implementation, Layout, set_extension_length, sys};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::ktap::diagnose;
use crate::support::{
    CPU, Competitor, CounterDelta, OTHER_CPU, PATIENCE, Page, Remote, Setup, Userfault, be_on,
    handle, hits,
};

pub(crate) const TESTS: &[Test] = &[
    both("at_grant_refuses", Needs::OnTwoCpus, at_grant_refuses),
    both(
        "at_expiry_delays_thread_only",
        Needs::OnTwoCpus,
        |env, layout| in_grant(env, layout, End::Expiry),
    ),
    both(
        "at_yield_delays_thread_only",
        Needs::OnTwoCpus,
        |env, layout| {
            set_debug(false)?;
            in_grant(env, layout, End::Yield)
        },
    ),
    both(
        "at_check_delays_thread_only",
        Needs::OnTwoCpus,
        |env, layout| {
            set_debug(true)?;
            in_grant(env, layout, End::CheckedYield)
        },
    ),
    both(
        "failed_update_reaches_handler",
        Needs::OnTwoCpus,
        failed_update_reaches_handler,
    ),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Expiry,
    /// In the BYTES layout nothing but the erasure of the word waits.
    Yield,
    /// The look at the word waits.
    CheckedYield,
}

/// How far the other CPU is.
pub(super) const GONE: u32 = 1;
const FAULTED: u32 = 2;
pub(super) const ANSWERED: u32 = 3;

/// Nanoseconds for which nobody answers.
const LATE: u64 = 200_000;

/// A setup on such a page, and a thread on the other CPU that drops the page when told to and answers
/// the next fault.
pub(super) fn droppable_setup(env: Env, layout: Layout) -> Result<(Setup, Remote, Arc<AtomicU32>)> {
    be_on(env, CPU)?;
    let page = Page::new()?;
    let setup = Setup::with(env, page.register()?, layout)?;
    let mut faults = Userfault::new(page)?;
    let state = Arc::new(AtomicU32::new(0));
    let theirs = Arc::clone(&state);
    let remote = Remote::ready(move || {
        let content = faults.drop_page()?;
        theirs.store(GONE, Ordering::Release);
        faults.wait()?;
        theirs.store(FAULTED, Ordering::Release);
        thread::sleep(Duration::from_nanos(LATE));
        faults.answer(&content)?;
        theirs.store(ANSWERED, Ordering::Release);
        // The file has to stay: without it the page is an ordinary one.
        std::mem::forget(faults);
        Ok(())
    })?;
    Ok((setup, remote, state))
}

pub(super) fn reaches(state: &AtomicU32, wanted: u32) -> bool {
    spin_while(2 * PATIENCE, || state.load(Ordering::Acquire) < wanted)
}

/// The decision waits. The thread is scheduled out there, and so gets no grant.
fn at_grant_refuses(env: Env, layout: Layout) -> Result<()> {
    // It has the kernel look at the area on the way out of every system call.
    set_debug(false)?;
    let (setup, remote, state) = droppable_setup(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.request();
    remote.go();
    let gone = reaches(&state, GONE);
    // A system call without a grant does not look at the word.
    competitor.wake_in(env.lead())?;
    let answered = reaches(&state, ANSWERED);
    let ran = competitor.runs();
    remote.join()?;
    check!(
        gone && answered && ran == 1,
        "{gone}, {answered}, {ran} runs"
    );
    let word = setup.word();
    let yielded = sys::rseq_slice_yield()?;
    let tally = delta.counted()?;
    diagnose(format_args!(
        "the word is {word:#x}, the yield returned {yielded}, {tally:?}"
    ));
    check!(word == 0 && yielded == 0, "{word:#x}, {yielded}");
    check!(
        tally.is_none_or(|tally| tally == Counters::NOTHING),
        "{tally:?}"
    );
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    Ok(())
}

/// A grant that was revoked, which may have taken longer than the extension.
fn revoked(tally: &Counters) -> Counters {
    Counters {
        expired: tally.expired,
        ..Counters::revokes(1)
    }
}

/// The end of the grant waits: the competitor has the CPU meanwhile.
fn in_grant(env: Env, layout: Layout, end: End) -> Result<()> {
    set_extension_length(50_000)?;
    let (setup, remote, state) = droppable_setup(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    remote.go();
    let gone = reaches(&state, GONE);
    let yielded = match end {
        End::Yield | End::CheckedYield => sys::rseq_slice_yield()?,
        End::Expiry => {
            spin_while(PATIENCE, || competitor.runs() == 0);
            spin(LATE);
            sys::rseq_slice_yield()?
        }
    };
    let (at, ran) = (state.load(Ordering::Acquire), competitor.runs());
    remote.join()?;
    check!(
        gone && at >= FAULTED && ran == 1,
        "{gone}, {at}: the kernel did not touch the page; {ran} runs"
    );
    let word = setup.word();
    let tally = delta.tally()?;
    diagnose(format_args!("the yield returned {yielded}, {tally:?}"));
    check!(word == 0, "the word is {word:#x}");
    // A thread that waited at the look at its word has given the CPU up there.
    let (returns, expected) = match (end, layout) {
        (End::Expiry, _) => (0, Counters::expiries(1)),
        (End::Yield, Layout::Bytes) => (1, Counters::yields(1)),
        (End::Yield, Layout::Bits) | (End::CheckedYield, _) => (0, revoked(&tally)),
    };
    check!(
        yielded == returns && tally == expected,
        "the yield returned {yielded}, {tally:?}"
    );
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    Ok(())
}

/// A thread sleeps in a fault of its own during a grant, comes back on another CPU, and the kernel
/// finds that the area says something else than it stored. The `SIGSEGV` for that gets to its
/// handler: the grant does not lead to another one before.
fn failed_update_reaches_handler(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    be_on(env, CPU)?;
    let (page, elsewhere) = (Page::new()?, Page::new()?);
    let setup = Setup::with(env, page.register()?, layout)?;
    let cpu_id = page.area().as_ptr().cast::<u32>().wrapping_add(1);
    let cell = elsewhere.area().as_ptr().cast::<u8>();
    // SAFETY: Nobody else uses the page.
    unsafe { cell.write_volatile(1) };
    let mut faults = Userfault::new(elsewhere)?;
    let gone = Arc::new(AtomicU32::new(0));
    let (theirs, thread) = (Arc::clone(&gone), gettid());
    let remote = Remote::ready(move || {
        let content = faults.drop_page()?;
        theirs.store(GONE, Ordering::Release);
        faults.wait()?;
        let mut there = CpuSet::new();
        there.set(OTHER_CPU)?;
        sched_setaffinity(thread, &there)?;
        faults.answer(&content)?;
        // The file has to stay: without it the page is an ordinary one.
        std::mem::forget(faults);
        Ok(())
    })?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    handle(Signal::SIGSEGV)?;
    setup.obtain(&competitor)?;
    remote.go();
    let taken = reaches(&gone, GONE);
    // SAFETY: The area is memory of this thread.
    let stored = unsafe { cpu_id.read_volatile() };
    // SAFETY: The area is memory of this thread, and no reference to it is used meanwhile.
    unsafe { cpu_id.write_volatile(stored + 1) };
    // SAFETY: The page comes back with the answer to the fault.
    let read = unsafe { cell.read_volatile() };
    // SAFETY: The area is memory of this thread; the field holds again what the kernel stored.
    unsafe { cpu_id.write_volatile(stored) };
    let signals = hits();
    remote.join()?;
    let tally = delta.tally()?;
    diagnose(format_args!("{signals} signals, {tally:?}"));
    check!(taken && read == 1, "{taken}, read {read}");
    check!(stored == u32::try_from(CPU)?, "CPU {stored}");
    check!(signals == 1, "{signals} signals");
    match env.kernel.implementation() {
        // The update leaves the grant. A reschedule ends it, or the return from the handler.
        Implementation::C => check!(tally.granted == 1, "{tally:?}"),
        Implementation::Rust => check!(tally == revoked(&tally), "{tally:?}"),
    }
    Ok(())
}
