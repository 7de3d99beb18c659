// SPDX-License-Identifier: GPL-2.0

//! The trace events: one for each grant, end, expiry and refusal, and none for anything else.

use std::fs;
use std::mem::{self, MaybeUninit};
use std::ops::Range;
use std::ptr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use rseq_slice_harness::clock::{spin, spin_long_while, spin_while};
use rseq_slice_harness::contest::{Contest, Longest};
use rseq_slice_harness::lock::{Pattern, SpinLock};
use rseq_slice_harness::timer::{Due, SignalTimer};
use rseq_slice_harness::{Counters, Layout, set_extension_length, sys};

use super::userfault::{ANSWERED, GONE, droppable_setup, reaches};
use crate::case::{Needs, Test, both, once};
use crate::check::{check, fail};
use crate::env::Env;
use crate::kernel::{set_debug, set_policy};
use crate::ktap::diagnose;
use crate::support::{
    CPU, Child, Competitor, CounterDelta, Event, PATIENCE, Seen, Setup, TraceLog, handle, hits,
    request_word, soon,
};

pub(crate) const TESTS: &[Test] = &[
    both("yield_is_traced", Needs::On, yield_is_traced).tolerates(&[]),
    both("abort_is_traced", Needs::On, abort_is_traced).tolerates(&[]),
    both("revocation_is_traced", Needs::On, revocation_is_traced).tolerates(&[]),
    both("expiry_is_traced", Needs::On, expiry_is_traced).tolerates(&[]),
    both("death_is_traced", Needs::On, death_is_traced).tolerates(&[]),
    once("contest_adds_up", Needs::On, contest_adds_up).tolerates(&[]),
    both(
        "refusal_for_signal_is_traced",
        Needs::On,
        refusal_for_signal_is_traced,
    )
    .tolerates(&[]),
    once(
        "refusal_for_task_work_is_traced",
        Needs::On,
        refusal_for_task_work_is_traced,
    )
    .tolerates(&[]),
    both(
        "refusal_for_urgent_is_traced",
        Needs::On,
        refusal_for_urgent_is_traced,
    )
    .tolerates(&[]),
    both(
        "refusal_after_switch_is_traced",
        Needs::OnTwoCpus,
        refusal_after_switch_is_traced,
    )
    .tolerates(&[]),
    both(
        "refusal_by_cpu_is_traced",
        Needs::Coarse,
        refusal_by_cpu_is_traced,
    )
    .tolerates(&[]),
    both("no_request_is_no_refusal", Needs::On, no_request).tolerates(&[]),
];

/// Nanoseconds of an extension: events take some of it.
const LENGTH: u32 = 50_000;
const TURNS: u64 = 5;

/// Flags of work on the way to user mode.
const NOTIFY_RESUME: u64 = 1 << 0;
const SIGPENDING: u64 = 1 << 1;
const NEED_RESCHED: u64 = 1 << 4;

/// Expects [`TURNS`] grants of [`LENGTH`] and nothing else, each followed by an end of that kind after
/// a time in `used`.
#[track_caller]
fn ensure_ends(events: &[Event], how: &str, used: Range<u64>) -> Result<()> {
    check!(events.len() as u64 == 2 * TURNS, "{events:?}");
    for pair in events.chunks(2) {
        let as_expected = match pair {
            [
                Event::Grant { length },
                Event::End {
                    how: ended,
                    used: time,
                },
            ] => *length == u64::from(LENGTH) && ended == how && used.contains(time),
            _ => false,
        };
        check!(as_expected, "{pair:?}, expected {how} after {used:?}");
    }
    Ok(())
}

/// Expects refusals for that reason and nothing else, with these flags of work among others.
#[track_caller]
fn ensure_refusals(events: &[Event], number: u64, reason: &str, work: u64) -> Result<()> {
    let as_expected = |event: &Event| match event {
        Event::Refuse {
            reason: why,
            work: flags,
        } => why == reason && flags & work == work && (*flags == 0) == (work == 0),
        _ => false,
    };
    check!(
        events.len() as u64 == number && events.iter().all(as_expected),
        "{events:?}, expected {number} for {reason} with {work:#x}"
    );
    Ok(())
}

fn yield_is_traced(env: Env, layout: Layout) -> Result<()> {
    const WORK: u64 = 10_000;
    set_extension_length(LENGTH)?;
    let log = TraceLog::start()?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    for _ in 0..TURNS {
        setup.obtain(&competitor)?;
        spin(WORK);
        check!(sys::rseq_slice_yield()? == 1);
    }
    delta.ensure(Counters::yields(TURNS))?;
    ensure_ends(&log.all()?, "yielded", WORK..LENGTH.into())
}

fn abort_is_traced(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let log = TraceLog::start()?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    for _ in 0..TURNS {
        setup.obtain(&competitor)?;
        // SAFETY: The call takes no pointer.
        unsafe { libc::syscall(libc::SYS_getpid) };
    }
    delta.ensure(Counters::aborts(TURNS))?;
    ensure_ends(&log.all()?, "aborted", 1..LENGTH.into())
}

/// By a second competitor.
fn revocation_is_traced(env: Env, layout: Layout) -> Result<()> {
    /// Nanoseconds from one competitor to the other, and what the first takes to get to the grant.
    const APART: u64 = 25_000;
    const WAY: u64 = 10_000;
    set_extension_length(LENGTH)?;
    let log = TraceLog::start()?;
    let setup = Setup::new(env, layout)?;
    let (competitor, second) = (Competitor::new(env, CPU)?, Competitor::new(env, CPU)?);
    let delta = CounterDelta::start()?;
    for _ in 0..TURNS {
        let due = soon(env)?;
        second.wake(Due::At(due + APART))?;
        setup.obtain_at(due, &competitor)?;
        setup.outlast();
        check!(sys::rseq_slice_yield()? == 0);
    }
    delta.ensure(Counters::revokes(TURNS))?;
    ensure_ends(&log.all()?, "revoked", APART - WAY..LENGTH.into())
}

/// A grant that expires is over after its length, and is revoked then.
fn expiry_is_traced(env: Env, layout: Layout) -> Result<()> {
    /// Nanoseconds of the interrupt, and of the way to the end.
    const INTERRUPT: u64 = 20_000;
    set_extension_length(LENGTH)?;
    let log = TraceLog::start()?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    for _ in 0..TURNS {
        setup.obtain(&competitor)?;
        setup.outlast();
        check!(sys::rseq_slice_yield()? == 0);
    }
    delta.ensure(Counters::expiries(TURNS))?;
    let events = log.all()?;
    let length = u64::from(LENGTH);
    for turn in events.chunks(3) {
        let [_, Event::Expire { used: expired }, Event::End { used, .. }] = turn else {
            fail!("{turn:?}");
        };
        check!(
            (length..length + INTERRUPT).contains(expired)
                && (*expired..length + INTERRUPT).contains(used),
            "{turn:?}"
        );
    }
    let expires = |event: &Event| matches!(event, Event::Expire { .. });
    let others: Vec<_> = events.into_iter().filter(|event| !expires(event)).collect();
    ensure_ends(&others, "revoked", length..length + INTERRUPT)
}

fn death_is_traced(env: Env, layout: Layout) -> Result<()> {
    const AFTER: u64 = 20_000;
    set_extension_length(LENGTH)?;
    let log = TraceLog::start()?;
    let delta = CounterDelta::start()?;
    for _ in 0..TURNS {
        let child = Child::start(|| {
            let setup = Setup::new(env, layout)?;
            let competitor = Competitor::new(env, CPU)?;
            let timer = SignalTimer::new(Signal::SIGKILL as i32)?;
            let due = soon(env)?;
            timer.fire(Due::At(due + AFTER))?;
            setup.obtain_at(due, &competitor)?;
            spin(PATIENCE);
            Ok(())
        })?;
        child.ensure_killed(Signal::SIGKILL)?;
    }
    let expired = delta.counted()?.map_or(0, |tally| tally.expired);
    delta.ensure(Counters {
        expired,
        ..Counters::deaths(TURNS)
    })?;
    let mut events = log.all()?;
    let all = events.len() as u64;
    events.retain(|event| !matches!(event, Event::Expire { .. }));
    check!(all - events.len() as u64 == expired, "{expired} of {all}");
    // Until the thread exits it may take longer than the extension.
    ensure_ends(&events, "died", 1..20 * u64::from(LENGTH))
}

/// Threads that compete for a lock, whose requests come to all kinds of ends.
fn compete() -> Result<()> {
    let contest = Contest {
        threads: 8,
        cpus: &[CPU],
        pinned: true,
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(60),
        extension: Some(Pattern::Held),
    };
    match contest.run::<SpinLock, Longest>() {
        Ok(_) => Ok(()),
        Err(error) => fail!("{error}"),
    }
}

/// There are as many events as the kernel counts.
fn contest_adds_up(_: Env) -> Result<()> {
    set_extension_length(5_000)?;
    let log = TraceLog::start()?;
    let delta = CounterDelta::start()?;
    compete()?;
    let counted = delta.tally()?;
    let events = log.all()?;
    let count = |wanted: &dyn Fn(&Event) -> bool| {
        events.iter().filter(|event| wanted(event)).count() as u64
    };
    let ended =
        |wanted: &str| count(&|event| matches!(event, Event::End { how, .. } if how == wanted));
    let traced = Counters {
        granted: count(&|event| matches!(event, Event::Grant { .. })),
        expired: count(&|event| matches!(event, Event::Expire { .. })),
        revoked: ended("revoked"),
        yielded: ended("yielded"),
        aborted: ended("aborted"),
        died: Some(ended("died")),
    };
    let refused = count(&|event| matches!(event, Event::Refuse { .. }));
    diagnose(format_args!("{traced:?}, {refused} refused"));
    check!(traced == counted, "{traced:?}, but {counted:?}");
    check!(traced.yielded > 0 && traced.adds_up(), "{traced:?}");
    Ok(())
}

fn refusal_for_signal_is_traced(env: Env, layout: Layout) -> Result<()> {
    let log = TraceLog::start()?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let timer = SignalTimer::new(Signal::SIGUSR1 as i32)?;
    handle(Signal::SIGUSR1)?;
    let delta = CounterDelta::start()?;
    for turn in 1..=TURNS {
        let due = Due::At(soon(env)?);
        competitor.wake(due)?;
        timer.fire(due)?;
        setup.request();
        spin_while(1_000_000, || hits() < turn);
    }
    delta.ensure(Counters::NOTHING)?;
    ensure_refusals(&log.all()?, TURNS, "signal", SIGPENDING)
}

/// Puts the calling thread into the class whose threads take turns, at ticks.
fn take_turns() -> Result<()> {
    let param = libc::sched_param { sched_priority: 5 };
    // SAFETY: The structure lives through the call.
    Errno::result(unsafe { libc::sched_setscheduler(0, libc::SCHED_RR, &raw const param) })?;
    Ok(())
}

/// Has every tick of this thread send it a signal by task work, as long as it is handled.
fn count_cpu_time() -> Result<()> {
    // SAFETY: The structure is plain data, for which all zeros is valid.
    let mut event: libc::sigevent = unsafe { mem::zeroed() };
    event.sigev_notify = libc::SIGEV_THREAD_ID;
    event.sigev_signo = Signal::SIGUSR1 as i32;
    // SAFETY: The call has no arguments.
    event.sigev_notify_thread_id = unsafe { libc::gettid() };
    let mut timer = MaybeUninit::uninit();
    let clock = libc::CLOCK_THREAD_CPUTIME_ID;
    // SAFETY: Both structures live through the call.
    Errno::result(unsafe { libc::timer_create(clock, &raw mut event, timer.as_mut_ptr()) })?;
    let often = libc::timespec {
        tv_sec: 0,
        tv_nsec: 1_000,
    };
    let setting = libc::itimerspec {
        it_interval: often,
        it_value: often,
    };
    // SAFETY: The call above has succeeded and written it.
    let timer = unsafe { timer.assume_init() };
    // SAFETY: The structure lives through the call, and no old value is asked for.
    Errno::result(unsafe { libc::timer_settime(timer, 0, &raw const setting, ptr::null_mut()) })?;
    Ok(())
}

/// A tick ends the turn of a thread and sees that a timer of its CPU time has expired, which is left
/// to task work. Without such a timer there is a grant, whose word the next request overwrites: the BITS
/// layout does not allow that.
fn refusal_for_task_work_is_traced(env: Env) -> Result<()> {
    const RR_TIMESLICE: &str = "/proc/sys/kernel/sched_rr_timeslice_ms";
    /// Nanoseconds with several turns in them. The first one of each thread has the length of before.
    const LONG: u64 = 260_000_000;
    let before = fs::read_to_string(RR_TIMESLICE).context(RR_TIMESLICE)?;
    fs::write(RR_TIMESLICE, "4").context(RR_TIMESLICE)?;
    let log = TraceLog::start()?;
    let setup = Setup::new(env, Layout::Bytes)?;
    handle(Signal::SIGUSR1)?;
    take_turns()?;
    thread::spawn(|| -> Result<()> {
        take_turns()?;
        loop {
            std::hint::black_box(());
        }
    });
    count_cpu_time()?;
    // The signal erases the word.
    spin_long_while(LONG, || {
        setup.request();
        true
    });
    fs::write(RR_TIMESLICE, before.trim()).context(RR_TIMESLICE)?;
    let mut events = log.all()?;
    // A turn may end without such a tick before it.
    events.retain(|event| matches!(event, Event::Refuse { .. }));
    let number = events.len() as u64;
    diagnose(format_args!("{} signals, {number} refusals", hits()));
    check!(number > 1);
    ensure_refusals(&events, number, "notify_resume", NOTIFY_RESUME)
}

/// A real-time thread wants the CPU where only lazy reschedules are postponed.
fn refusal_for_urgent_is_traced(env: Env, layout: Layout) -> Result<()> {
    let log = TraceLog::start()?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    set_policy("lazy")?;
    let delta = CounterDelta::start()?;
    for turn in 1..=TURNS {
        check!(setup.ask(&competitor)? == Seen::Erased);
        check!(competitor.runs() == turn);
    }
    delta.ensure(Counters::NOTHING)?;
    ensure_refusals(&log.all()?, TURNS, "urgent", NEED_RESCHED)
}

/// The decision waits for the page of the word, and the thread is scheduled out there.
fn refusal_after_switch_is_traced(env: Env, layout: Layout) -> Result<()> {
    set_debug(false)?;
    let log = TraceLog::start()?;
    let (setup, remote, state) = droppable_setup(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.request();
    remote.go();
    let gone = reaches(&state, GONE);
    competitor.wake_in(env.lead())?;
    let answered = reaches(&state, ANSWERED);
    remote.join()?;
    check!(
        gone && answered && competitor.runs() == 1,
        "{gone}, {answered}"
    );
    delta.ensure(Counters::NOTHING)?;
    ensure_refusals(&log.all()?, 1, "switched", 0)
}

/// Nothing would bound a grant.
fn refusal_by_cpu_is_traced(env: Env, layout: Layout) -> Result<()> {
    /// Nanoseconds, with a tick in them whatever their period.
    const LONG: u64 = 50_000_000;
    let log = TraceLog::start()?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    for turn in 1..=TURNS {
        competitor.wake_in(1_000_000)?;
        check!(setup.offer(request_word(layout), LONG) == Seen::Erased);
        competitor.ensure_runs(turn)?;
    }
    ensure_refusals(&log.all()?, TURNS, "cpu", 0)
}

/// Another thread gets the CPU of a thread that does not request anything.
fn no_request(env: Env, layout: Layout) -> Result<()> {
    let log = TraceLog::start()?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    // With the second one the reschedule itself would forbid a grant.
    for (policy, runs) in [("all", 1..=TURNS), ("lazy", TURNS + 1..=2 * TURNS)] {
        set_policy(policy)?;
        for turn in runs {
            competitor.wake_soon()?;
            competitor.ensure_runs(turn)?;
        }
    }
    check!(setup.word() == 0);
    let events = log.all()?;
    check!(events.is_empty(), "{events:?}");
    Ok(())
}
