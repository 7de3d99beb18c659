// SPDX-License-Identifier: MIT OR Apache-2.0

//! The paths.

use std::hint::black_box;
use std::os::raw::c_int;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use nix::sys::signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::sys::timerfd::{ClockId, TimerFd, TimerFlags};
use nix::unistd::gettid;
use rseq_slice_bench_guest::periodic::{PRIORITY, Periodic, Wake, beside};
use rseq_slice_bench_record::PathName;
use rseq_slice_harness::scheduler::{Policy, set_policy};
use rseq_slice_harness::timer::{monotonic, sleep_until};
use rseq_slice_harness::{
    Bytes, Control, ExtensionLength, Layout, Registration, counters, layout, set_layout,
};

use crate::sample::{
    ensure_nearly, finish, gap_of_grant, measure, next_gap, null_call, time, wait_for_grant,
    yield_call,
};

/// Until an interrupt that nobody waits for.
const SOON: Duration = Duration::from_micros(30);
/// Wants the CPU for next to nothing, again and again.
const COMPETITOR: Periodic = Periodic {
    wake: Wake::After(Duration::from_micros(50)),
    compute: 0,
};
/// Nanoseconds between two wake-ups of a competitor: more than a cycle takes.
const PERIOD: u64 = 200_000;
/// Nanoseconds from one competitor's wake-up to the next one's, in which a grant is seen but not over.
const APART: u64 = 20_000;
/// An extension that outlasts `APART`, in nanoseconds.
const LONG: u32 = 50_000;
/// The shortest extension, which is the default, in nanoseconds.
const SHORT: u32 = 5_000;

/// Paths that exist for every thread on every kernel.
pub(crate) fn any_thread(samples: usize, paths: &[PathName]) -> Result<()> {
    for &path in paths {
        match path {
            PathName::Nothing => measure(samples, path, || Ok(Some(time(|| ()))))?,
            PathName::InterruptUnregistered
            | PathName::InterruptRegistered
            | PathName::InterruptEnabled => interrupt(samples, path)?,
            _ => measure(samples, path, || Ok(Some(time(null_call))))?,
        }
    }
    Ok(())
}

/// A timer interrupt that leaves nothing to do: nobody waits for the timer.
fn interrupt(samples: usize, path: PathName) -> Result<()> {
    let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::empty())?;
    measure(samples, path, || {
        let expiration = nix::sys::timer::Expiration::OneShot(SOON.into());
        timer.set(expiration, nix::sys::timerfd::TimerSetTimeFlags::empty())?;
        Ok(next_gap())
    })
}

/// Two threads of one priority that pass the CPU to each other. Neither uses the extension.
pub(crate) fn switch(samples: usize, path: PathName) -> Result<()> {
    let (start, stop) = (Barrier::new(2), AtomicBool::new(false));
    let prepare = || -> Result<Option<Registration>> {
        let registration = match path {
            PathName::SwitchRegistered => Some(Registration::new()?),
            _ => None,
        };
        // The other one cannot start before this one sleeps.
        set_policy(Policy::Fifo(1))?;
        start.wait();
        Ok(registration)
    };
    thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            let _registration = prepare()?;
            let result = measure(samples, path, || Ok(Some(time(thread::yield_now))));
            stop.store(true, Ordering::Relaxed);
            result
        });
        let other = scope.spawn(|| -> Result<()> {
            let _registration = prepare()?;
            while !stop.load(Ordering::Relaxed) {
                thread::yield_now();
            }
            Ok(())
        });
        let panicked = |_| anyhow!("a thread panicked");
        measuring.join().map_err(panicked)??;
        other.join().map_err(panicked)?
    })
}

/// An interrupt that wakes up a competitor, beside which this thread has no chance.
pub(crate) fn preempted(samples: usize) -> Result<()> {
    beside(&[COMPETITOR], |_| {
        measure(samples, PathName::Preempted, || Ok(next_gap()))
    })
}

/// System calls of the extension, without a grant.
pub(crate) fn calls(samples: usize) -> Result<()> {
    measure(samples, PathName::YieldWithoutGrant, || {
        Ok(Some(time(yield_call)))
    })?;
    measure(samples, PathName::PrctlGet, || {
        Ok(Some(time(|| drop(black_box(layout())))))
    })?;
    let set = |layout| drop(black_box(set_layout(layout)));
    measure(samples, PathName::PrctlSetOff, || {
        let taken = time(|| set(None));
        set(Some(Layout::Bytes));
        Ok(Some(taken))
    })?;
    measure(samples, PathName::PrctlSetOn, || {
        set(None);
        Ok(Some(time(|| set(Some(Layout::Bytes)))))
    })
}

/// What a competitor and a request lead to.
pub(crate) fn grants(samples: usize, control: &Bytes<'_>) -> Result<()> {
    let _length = ExtensionLength::set(SHORT)?;
    beside(&[COMPETITOR], |_| {
        ends(samples, control)?;
        measure(samples, PathName::RefusedNoRequest, || Ok(next_gap()))
    })?;
    // A real-time thread that waits for the CPU hides further ones from a thread that is none: they
    // ask for no second reschedule.
    set_policy(Policy::Fifo(PRIORITY - 1))?;
    revoked(samples, control)?;
    refused_for_a_signal(samples, control)?;
    Ok(set_policy(Policy::Other)?)
}

/// A grant, and the ways in which it ends.
fn ends(samples: usize, control: &Bytes<'_>) -> Result<()> {
    measure(samples, PathName::Granted, || {
        control.request();
        let gap = gap_of_grant(control);
        finish(control);
        Ok(gap)
    })?;
    let end = |path, call: fn()| {
        measure(samples, path, || {
            control.request();
            Ok(wait_for_grant(control).map(|_| time(call)))
        })
    };
    end(PathName::Yield, yield_call)?;
    end(PathName::Abort, null_call)?;

    let before = counters()?;
    measure(samples, PathName::Expired, || {
        control.request();
        if wait_for_grant(control).is_none() {
            return Ok(None);
        }
        let gap = next_gap();
        finish(control);
        Ok(gap)
    })?;
    ensure_nearly("expiry", (counters()? - before).expired, samples)
}

/// A second competitor wakes up while a grant is live.
fn revoked(samples: usize, control: &Bytes<'_>) -> Result<()> {
    let _length = ExtensionLength::set(LONG)?;
    let competitor = |offset| Periodic {
        wake: Wake::Every {
            period: PERIOD,
            offset,
        },
        compute: 0,
    };
    beside(&[competitor(0), competitor(APART)], |_| {
        let before = counters()?;
        measure(samples, PathName::Revoked, || {
            control.request();
            if wait_for_grant(control).is_none() {
                return Ok(None);
            }
            let gap = next_gap();
            let live = control.is_granted();
            finish(control);
            Ok(gap.filter(|_| !live))
        })?;
        let counted = counters()? - before;
        ensure_nearly("revocation", counted.revoked - counted.expired, samples)
    })
}

extern "C" fn ignore(_: c_int) {}

/// A signal is due at the moment at which the competitor wakes up.
fn refused_for_a_signal(samples: usize, control: &Bytes<'_>) -> Result<()> {
    const SIGNAL: Signal = Signal::SIGALRM;
    let action = SigAction::new(
        SigHandler::Handler(ignore),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: The handler does nothing.
    unsafe { nix::sys::signal::sigaction(SIGNAL, &action) }?;
    let mut timer = Timer::new(
        nix::time::ClockId::CLOCK_MONOTONIC,
        SigEvent::new(SigevNotify::SigevThreadId {
            signal: SIGNAL,
            thread_id: gettid().as_raw(),
            si_value: 0,
        }),
    )?;
    let competitor = Periodic {
        wake: Wake::Every {
            period: PERIOD,
            offset: 0,
        },
        compute: 0,
    };
    beside(&[competitor], |base| {
        let first = Duration::from_nanos(base + 10 * PERIOD);
        let period = Duration::from_nanos(PERIOD);
        let due = Expiration::IntervalDelayed(first.into(), period.into());
        timer.set(due, TimerSetTimeFlags::TFD_TIMER_ABSTIME)?;
        sleep_until(monotonic()? + 12 * PERIOD)?;
        let before = counters()?;
        measure(samples, PathName::RefusedOtherWork, || {
            control.request();
            let gap = next_gap();
            let granted = control.is_granted();
            finish(control);
            Ok(gap.filter(|_| !granted))
        })?;
        let granted = (counters()? - before).granted;
        ensure_nearly(
            "refusals",
            (samples as u64).saturating_sub(granted),
            samples,
        )
    })
}
