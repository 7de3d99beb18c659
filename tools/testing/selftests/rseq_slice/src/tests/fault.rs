// SPDX-License-Identifier: GPL-2.0

//! The kernel cannot access the control word: that kills the process, and no other one.

mod handler;

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::mman::ProtFlags;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::sys::wait::WaitStatus;
use rseq_slice_harness::abi::{AREA_LEN, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON, SIGNATURE};
use rseq_slice_harness::clock::{calibrate, spin, spin_while};
use rseq_slice_harness::scheduler::FeatureOff;
use rseq_slice_harness::timer::Due;
use rseq_slice_harness::{Counters, Layout, layout, set_extension_length, set_layout, sys};

use crate::case::Disturbance::{KernelThreads, Load};
use crate::case::{Needs, Test, both};
use crate::check::{check, fail};
use crate::env::Env;
use crate::kernel::set_debug;
use crate::ktap::diagnose;
use crate::support::{
    CPU, Child, Competitor, CounterDelta, FaultCause, FaultingPage, PATIENCE, Page, Remote, Setup,
    Ticker, Userfault, be_on, ensure_dies, null_call, yield_call,
};

pub(crate) use handler::TESTS as HANDLER;

pub(crate) const TESTS: &[Test] = &[
    both("at_grant_kills", Needs::On, at_grant_kills),
    both("without_request_kills", Needs::On, without_request_kills),
    both("at_expiry_kills", Needs::OnTwoCpus, at_expiry_kills).tolerates(&[Load, KernelThreads]),
    both("at_revocation_kills", Needs::OnTwoCpus, at_revocation_kills)
        .tolerates(&[Load, KernelThreads]),
    both("at_yield_kills", Needs::OnTwoCpus, |env, layout| {
        at_call(env, layout, yield_call)
    })
    .tolerates(&[Load, KernelThreads]),
    both("at_other_call_kills", Needs::OnTwoCpus, |env, layout| {
        at_call(env, layout, null_call)
    })
    .tolerates(&[Load, KernelThreads]),
    both("at_check_kills", Needs::OnTwoCpus, |env, layout| {
        set_debug(true)?;
        at_call(env, layout, yield_call)
    })
    .tolerates(&[Load, KernelThreads]),
    both(
        "at_update_in_grant_kills",
        Needs::OnTwoCpus,
        at_update_in_grant_kills,
    )
    .tolerates(&[Load]),
    both("at_prctl_kills", Needs::On, at_prctl_kills),
    both(
        "at_registration_is_efault",
        Needs::On,
        at_registration_is_efault,
    ),
    both("refusal_writes_no_zero", Needs::On, refusal_writes_no_zero).tolerates(&[]),
];

/// Other threads still get grants.
fn others_get_grants(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    Ok(())
}

fn on_page(env: Env, layout: Layout, cause: FaultCause) -> Result<(FaultingPage, Setup)> {
    be_on(env, CPU)?;
    let page = cause.page()?;
    let setup = Setup::with(env, page.page().register()?, layout)?;
    Ok((page, setup))
}

/// Where a program faulted, according to the counters of its grants.
enum Site {
    /// Where the test wants it.
    Intended,
    /// After the extension: the other CPU took that long to make the page inaccessible.
    Later,
    /// Elsewhere.
    Wrong,
}

impl From<bool> for Site {
    fn from(right: bool) -> Self {
        if right { Self::Intended } else { Self::Wrong }
    }
}

/// Expects `program` to be killed by a fault of the kernel for each cause of faults, at the site that
/// `met` tells. Prints how many faults that were.
fn each_cause<M: Into<Site>>(
    env: Env,
    site: &str,
    layout: Layout,
    met: impl Fn(&Counters) -> M,
    program: impl Fn(FaultCause) -> Result<()>,
) -> Result<()> {
    let (mut faults, mut later) = (0, 0);
    for cause in FaultCause::ALL {
        let delta = CounterDelta::start()?;
        ensure_dies(Signal::SIGSEGV, || program(cause)).with_context(|| format!("{cause:?}"))?;
        let tally = delta.tally()?;
        match met(&tally).into() {
            Site::Intended => faults += 1,
            Site::Later => later += 1,
            Site::Wrong => fail!("{cause:?}: {tally:?}"),
        }
    }
    diagnose(format_args!("{faults} faults at {site}, {later} later"));
    check!(faults > 0);
    others_get_grants(env, layout)
}

/// A reschedule is due while the page is inaccessible. With a request in it that can still be read, the
/// decision itself faults.
fn at_grant_kills(env: Env, layout: Layout) -> Result<()> {
    let none = |tally: &Counters| *tally == Counters::NOTHING;
    each_cause(env, "the grant", layout, none, |cause| {
        let (page, setup) = on_page(env, layout, cause)?;
        let competitor = Competitor::new(env, CPU)?;
        competitor.wake_in(100_000)?;
        setup.request();
        page.make_fault()?;
        spin(PATIENCE);
        Ok(())
    })
}

/// Without a request there is no decision, but the update of user space erases the word.
fn without_request_kills(env: Env, layout: Layout) -> Result<()> {
    let none = |tally: &Counters| *tally == Counters::NOTHING;
    each_cause(env, "the update of user space", layout, none, |cause| {
        let (page, _setup) = on_page(env, layout, cause)?;
        let competitor = Competitor::new(env, CPU)?;
        competitor.wake_in(100_000)?;
        page.make_fault()?;
        spin(PATIENCE);
        Ok(())
    })
}

/// Gets a grant and has the other CPU make the page inaccessible while it is live. Returns after that;
/// nothing may access the page then.
fn make_fault_in_grant(
    env: Env,
    layout: Layout,
    cause: FaultCause,
    also: impl Fn(u64) -> Result<()>,
) -> Result<Setup> {
    let (page, setup) = on_page(env, layout, cause)?;
    let competitor = Competitor::new(env, CPU)?;
    let done = Arc::new(AtomicBool::new(false));
    let remote_done = Arc::clone(&done);
    let remote = Remote::ready(move || {
        page.make_fault()?;
        remote_done.store(true, Ordering::Release);
        Ok(())
    })?;
    setup.obtain_when(&competitor, also)?;
    remote.go();
    spin_while(PATIENCE, || !done.load(Ordering::Acquire));
    // The competitor's timer and thread have to stay.
    std::mem::forget((competitor, remote));
    Ok(setup)
}

/// One grant: any ending is accepted if it is counted.
fn one(tally: &Counters) -> bool {
    tally.granted == 1 && tally.adds_up()
}

fn at_expiry_kills(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let expired = |tally: &Counters| one(tally) && tally.expired == 1;
    each_cause(env, "the revocation by expiry", layout, expired, |cause| {
        let _setup = make_fault_in_grant(env, layout, cause, |_| Ok(()))?;
        spin(PATIENCE);
        Ok(())
    })
}

fn at_revocation_kills(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let revoked = |tally: &Counters| one(tally) && tally.expired == 0;
    each_cause(
        env,
        "the revocation by a wakeup",
        layout,
        revoked,
        |cause| {
            let second = Competitor::urgent(env, CPU)?;
            let _setup =
                make_fault_in_grant(env, layout, cause, |due| second.wake(Due::At(due + 40_000)))?;
            spin(PATIENCE);
            Ok(())
        },
    )
}

fn at_call(env: Env, layout: Layout, call: fn()) -> Result<()> {
    set_extension_length(50_000)?;
    let met = |tally: &Counters| match tally.expired {
        _ if !one(tally) => Site::Wrong,
        0 => Site::Intended,
        _ => Site::Later,
    };
    each_cause(env, "system call entry", layout, met, |cause| {
        let _setup = make_fault_in_grant(env, layout, cause, |_| Ok(()))?;
        call();
        // SAFETY: Ends the process, should it still be there, without touching the page.
        unsafe { libc::_exit(0) }
    })
}

/// A thread sleeps in a fault of its own during a grant, and the page of its area is inaccessible when it
/// runs again: not the end of the grant faults, but the update of user space after the switch.
fn at_update_in_grant_kills(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    // Skips the test where there is none.
    drop(Userfault::new(Page::new()?)?);
    let revoked = |tally: &Counters| one(tally) && tally.revoked == 1;
    each_cause(env, "the update in a grant", layout, revoked, |cause| {
        let (page, setup) = on_page(env, layout, cause)?;
        let elsewhere = Page::new()?;
        let cell = elsewhere.area().as_ptr().cast::<u8>();
        // SAFETY: Nobody else uses the page.
        unsafe { cell.write_volatile(1) };
        let mut faults = Userfault::new(elsewhere)?;
        let gone = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&gone);
        let remote = Remote::ready(move || {
            let content = faults.drop_page()?;
            theirs.store(true, Ordering::Release);
            faults.wait()?;
            page.make_fault()?;
            faults.answer(&content)?;
            // The file has to stay: without it the page is an ordinary one.
            std::mem::forget(faults);
            Ok(())
        })?;
        let competitor = Competitor::new(env, CPU)?;
        setup.obtain(&competitor)?;
        remote.go();
        spin_while(PATIENCE, || !gone.load(Ordering::Acquire));
        // SAFETY: The page comes back with the answer to the fault.
        let read = unsafe { cell.read_volatile() };
        // SAFETY: Ends the process, should it still be there, without touching the page.
        unsafe { libc::_exit(read.into()) }
    })
}

/// Other work is due besides a reschedule, and the word is 0: there is nothing to erase. In one tick a
/// timer of CPU time expires, which the kernel does not handle in the interrupt, and a slice ends, after
/// which the scheduler picks the same thread again. A switch would kill: the update of user space writes.
fn refusal_writes_no_zero(env: Env, layout: Layout) -> Result<()> {
    const ATTEMPTS: u32 = 10;
    // Otherwise the slice ends by itself, not in a tick.
    let _ticks = FeatureOff::new("HRTICK")?;
    // The scheduler checks slices only if the CPU has another thread.
    let _other = Ticker::idle(env, CPU)?;
    calibrate();
    let mut killed = 0;
    while killed < ATTEMPTS {
        match Child::start(|| ticks_without_write(layout))?.wait()? {
            WaitStatus::Exited(_, 0) => {
                diagnose(format_args!("switched out in {killed} attempts"));
                return others_get_grants(env, layout);
            }
            WaitStatus::Signaled(_, Signal::SIGSEGV, _) => killed += 1,
            other => fail!("the child process ended with {other:?}"),
        }
    }
    fail!("SIGSEGV in each of {ATTEMPTS} attempts")
}

/// Spins for some ticks in which timers of CPU time expire, with an area that cannot be written.
fn ticks_without_write(layout: Layout) -> Result<()> {
    /// Nanoseconds until the other thread has had its share, which it has in one piece.
    const SHARE: u64 = 50_000_000;
    const TICKS: u64 = 30_000_000;
    // SAFETY: An ignored signal has no handler.
    unsafe { signal(Signal::SIGPROF, SigHandler::SigIgn) }?;
    let page = Page::new()?;
    std::mem::forget(page.register()?);
    set_layout(Some(layout))?;
    spin(SHARE);
    let often = libc::timeval {
        tv_sec: 0,
        tv_usec: 100,
    };
    let often = libc::itimerval {
        it_interval: often,
        it_value: often,
    };
    // SAFETY: The structure lives through the call, and no old value is asked for.
    Errno::result(unsafe {
        libc::setitimer(libc::ITIMER_PROF, &raw const often, ptr::null_mut())
    })?;
    page.protect(ProtFlags::PROT_READ)?;
    spin(TICKS);
    Ok(())
}

/// Every change of the setting writes to the flags. Reading it does not touch the page, nor does
/// setting what is set.
fn at_prctl_kills(env: Env, wanted: Layout) -> Result<()> {
    let none = |tally: &Counters| *tally == Counters::NOTHING;
    for from in [None, Some(wanted)] {
        let to = from.xor(Some(wanted));
        each_cause(env, "prctl", wanted, none, |cause| {
            be_on(env, CPU)?;
            let page = cause.page()?;
            std::mem::forget(page.page().register()?);
            set_layout(from)?;
            page.make_fault()?;
            // A signal that is pending already would be attributed to one of these calls.
            check!(layout()? == from);
            set_layout(from)?;
            let result = set_layout(to);
            fail!("survived the change from {from:?} to {to:?}: {result:?}")
        })?;
    }
    Ok(())
}

/// A registration of inaccessible memory fails, and nothing is registered then.
fn at_registration_is_efault(env: Env, wanted: Layout) -> Result<()> {
    let mut faults = 0;
    for cause in FaultCause::ALL {
        for flags in [0, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON] {
            let page = cause.page()?;
            page.make_fault()?;
            // SAFETY: The call is to fail, and if not, nobody touches the page.
            let result =
                unsafe { sys::rseq(page.page().area().as_ptr(), AREA_LEN, flags, SIGNATURE) };
            let errno = result.err().and_then(|error| error.raw_os_error());
            check!(errno == Some(libc::EFAULT), "{cause:?}: {errno:?}");
            check!(layout()?.is_none());
            faults += 1;
        }
    }
    diagnose(format_args!("{faults} faults at the registration"));
    check!(faults == 2 * FaultCause::ALL.len());
    others_get_grants(env, wanted)
}
