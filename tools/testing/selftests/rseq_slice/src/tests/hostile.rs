// SPDX-License-Identifier: GPL-2.0

//! Programs that do during a grant what no program should.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, kill, sigaction};
use nix::sys::wait::{WaitStatus, waitpid};
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::timer::{Due, SignalTimer};
use rseq_slice_harness::{
    Area, Counters, Layout, Registration, pin_to, set_extension_length, set_layout, sys,
};

use crate::case::Disturbance::{Checks, Load};
use crate::case::{Needs, Test, both};
use crate::check::{check, fail};
use crate::env::Env;
use crate::kernel::set_debug;
use crate::ktap::diagnose;
use crate::support::{
    BOTH_CPUS, CPU, Child, Competitor, CounterDelta, OTHER_CPU, PATIENCE, Page, Setup, Ticker,
    grant_word, null_call, request_word, soon,
};

pub(crate) const TESTS: &[Test] = &[
    both("nested_requests_add_up", Needs::On, nested_requests_add_up).tolerates(&[Load]),
    both(
        "vfork_child_makes_no_grant",
        Needs::On,
        vfork_child_makes_no_grant,
    ),
    both(
        "debugger_stop_ends_grant",
        Needs::OnTwoCpus,
        debugger_stop_ends_grant,
    ),
    both(
        "storm_of_threads_loses_no_grant",
        Needs::OnTwoCpus,
        storm_of_threads_loses_no_grant,
    )
    .tolerates(&[Load, Checks]),
];

/// What the handler below works on.
static AREA: AtomicPtr<Area> = AtomicPtr::new(std::ptr::null_mut());
static REQUEST: AtomicU32 = AtomicU32::new(0);
static HANDLED: AtomicU64 = AtomicU64::new(0);
/// Signals that came during a grant.
static IN_GRANT: AtomicU64 = AtomicU64::new(0);
static YIELDS_IN_HANDLER: AtomicU64 = AtomicU64::new(0);

/// Clears a request and yields the grant that it may have become. Returns how many yields returned 1.
fn clear_and_yield(area: &Area, request: u32) -> u64 {
    area.clear_bits_in_slice_ctrl(request);
    u64::from(area.slice_ctrl() != 0 && matches!(sys::rseq_slice_yield(), Ok(1)))
}

/// Requests, whatever it has interrupted, waits for a while, and yields the grant that it may have got.
extern "C" fn request_again(_: i32) {
    /// Longer than it takes until the competitor that is meant for the handler wakes up.
    const WAIT: u64 = 8_000;
    // SAFETY: The area of the one thread that has this handler, which outlives its signals.
    let Some(area) = (unsafe { AREA.load(Ordering::Relaxed).as_ref() }) else {
        return;
    };
    let request = REQUEST.load(Ordering::Relaxed);
    let before = area.slice_ctrl();
    area.set_bits_in_slice_ctrl(request);
    let word = area.slice_ctrl();
    spin_while(WAIT, || area.slice_ctrl() == word);
    YIELDS_IN_HANDLER.fetch_add(clear_and_yield(area, request), Ordering::Relaxed);
    IN_GRANT.fetch_add(u64::from(before & !request != 0), Ordering::Relaxed);
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// A signal arrives at each step of a grant, and its handler requests an extension of its own, for
/// which there is a competitor of its own.
fn nested_requests_add_up(env: Env, layout: Layout) -> Result<()> {
    const LENGTH: u32 = 10_000;
    // What a handler leaves in the word of the section that it interrupted would be a violation.
    set_debug(false)?;
    set_extension_length(LENGTH)?;
    let setup = Setup::new(env, layout)?;
    let (competitor, second) = (Competitor::new(env, CPU)?, Competitor::new(env, CPU)?);
    AREA.store(
        std::ptr::from_ref(setup.area()).cast_mut(),
        Ordering::Relaxed,
    );
    REQUEST.store(request_word(layout), Ordering::Relaxed);
    let handler = SigHandler::Handler(request_again);
    let action = SigAction::new(handler, SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: The handler makes one system call and touches atomics and the area only.
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    let timer = SignalTimer::new(Signal::SIGUSR1 as i32)?;
    let all = CounterDelta::start()?;
    let mut yields = 0;
    for (signals, after) in (1..).zip((0..u64::from(LENGTH) + 6_000).step_by(80)) {
        let due = soon(env)?;
        timer.fire(Due::At(due + after))?;
        second.wake(Due::At(due + after + 5_000))?;
        competitor.wake(Due::At(due))?;
        let seen = setup.offer(request_word(layout), 2 * PATIENCE);
        spin_while(u64::from(LENGTH) / 2, || {
            setup.word() & grant_word(layout) != 0
        });
        yields += clear_and_yield(setup.area(), request_word(layout));
        let came = spin_while(PATIENCE, || HANDLED.load(Ordering::Relaxed) < signals);
        second.ensure_runs(signals)?;
        competitor.ensure_runs(signals)?;
        check!(
            came,
            "the signal never came, {after} ns after the wakeup: {seen:?}"
        );
    }
    let tally = all.counted()?;
    let (nested, in_grant) = (
        YIELDS_IN_HANDLER.load(Ordering::Relaxed),
        IN_GRANT.load(Ordering::Relaxed),
    );
    diagnose(format_args!(
        "{} signals, {in_grant} in a grant; {nested} yields in the handler, {yields} outside; {tally:?}",
        HANDLED.load(Ordering::Relaxed)
    ));
    if let Some(tally) = tally {
        check!(tally.adds_up() && tally.died == Some(0), "{tally:?}");
        check!(
            tally.yielded == yields + nested,
            "{yields} and {nested} yields, {tally:?}"
        );
    }
    check!(
        nested > 10 && yields > 10 && in_grant > 10,
        "missed the moments"
    );
    Ok(())
}

/// What the child of the next test stores.
const FORGED: u32 = !0;

/// Returns 0 if the word had been erased and there was nothing to yield.
extern "C" fn forge_word_of_parent(area: *mut libc::c_void) -> i32 {
    // SAFETY: The area of the parent, which waits.
    let area = unsafe { &*area.cast::<Area>() };
    let word = area.slice_ctrl();
    area.set_slice_ctrl(FORGED);
    i32::from(word != 0 || !matches!(sys::rseq_slice_yield(), Ok(0)))
}

/// The grant ends before a child that shares the memory runs. What that child writes to the word of
/// its parent makes no grant.
fn vfork_child_makes_no_grant(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let mut stack = vec![0_u64; 8192];
    let shared = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end;
    let area = std::ptr::from_ref(setup.area()).cast_mut();
    for turn in 1..=3 {
        let delta = CounterDelta::start()?;
        setup.obtain(&competitor)?;
        // SAFETY: The parent waits until the child, which needs little stack, has exited.
        let pid = unsafe { libc::clone(forge_word_of_parent, top.cast(), shared, area.cast()) };
        let (word, runs) = (setup.word(), competitor.runs());
        let yielded = sys::rseq_slice_yield()?;
        setup.set_word(0);
        Errno::result(pid)?;
        let mut status = -1;
        // SAFETY: The status lives through the call.
        Errno::result(unsafe { libc::waitpid(pid, &raw mut status, 0) })?;
        check!(status == 0, "the child ended with {status:#x}");
        check!(
            word == FORGED && runs == turn && yielded == 0,
            "{word:#x}, {runs}, {yielded}"
        );
        delta.ensure(Counters::aborts(1))?;
    }
    Ok(())
}

/// What a debugger and its tracee share.
struct Shared {
    /// The turn whose grant is live.
    live: AtomicU32,
    area: AtomicPtr<Area>,
}

const STOPS: u32 = 12;

fn tracee(env: Env, shared: &Shared, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let area = std::ptr::from_ref(setup.area()).cast_mut();
    shared.area.store(area, Ordering::Release);
    let delta = CounterDelta::start()?;
    for turn in 1..=STOPS {
        setup.obtain(&competitor)?;
        shared.live.store(turn, Ordering::Release);
        let over = setup.outlast().is_some();
        let word = setup.word();
        let yielded = sys::rseq_slice_yield()?;
        check!(
            over && word == 0 && yielded == 0,
            "{over}, {word:#x}, {yielded}"
        );
        check!(competitor.runs() == u64::from(turn));
    }
    let Some(tally) = delta.counted()? else {
        return Ok(());
    };
    let stops = u64::from(STOPS);
    // A slow kernel revokes grants before the thread has seen them, and another request is made.
    let right = match env.kernel.disturbs() {
        false => tally.granted == stops,
        true => tally.granted >= stops,
    };
    check!(
        right && tally.revoked == tally.granted && tally.expired < stops / 2,
        "{tally:?}"
    );
    Ok(())
}

/// A debugger stops the thread during its grants, and forges one. The stop ends the grant, and the
/// forgery is erased.
fn debugger_stop_ends_grant(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let page = Page::shared()?;
    // SAFETY: The page is never freed, is zero, which is valid, and both fields are atomics.
    let shared = unsafe { page.area().cast::<Shared>().as_ref() };
    let child = Child::start(|| tracee(env, shared, layout))?;
    let pid = child.pid();
    ptrace::seize(pid, ptrace::Options::empty())?;
    pin_to(&[OTHER_CPU])?;
    for turn in 1..=STOPS {
        let live = spin_while(100 * PATIENCE, || {
            shared.live.load(Ordering::Acquire) < turn
        });
        check!(live, "no grant in turn {turn}");
        ptrace::interrupt(pid)?;
        loop {
            match waitpid(pid, None)? {
                WaitStatus::PtraceEvent(..) => break,
                WaitStatus::Stopped(_, signal) => ptrace::cont(pid, Some(signal))?,
                other => fail!("the child process ended with {other:?} in turn {turn}"),
            }
        }
        if turn % 2 == 0 {
            // The concurrency ID, and the control word behind it.
            const CTRL: usize = 24;
            let area = shared.area.load(Ordering::Acquire);
            let at = area.wrapping_byte_add(CTRL).cast();
            let forged = i64::from(grant_word(layout)) << 32;
            let old = ptrace::read(pid, at)?;
            ptrace::write(pid, at, (old & 0xffff_ffff) | forged)?;
        }
        ptrace::cont(pid, None)?;
    }
    pin_to(&BOTH_CPUS)?;
    child.ensure_fine()
}

/// What the threads of the storm have done.
#[derive(Default)]
struct Storm {
    started: AtomicU64,
    grants: AtomicU64,
    yields: AtomicU64,
}

/// One thread of the storm: gets a grant and ends it in some way, or ends with it.
fn short_lived_thread(layout: Layout, cpu: usize, number: u64, storm: &Storm) -> Result<()> {
    pin_to(&[cpu])?;
    let registration = Registration::new()?;
    set_layout(Some(layout))?;
    let area = registration.area();
    area.set_slice_ctrl(request_word(layout));
    spin_while(200_000, || area.slice_ctrl() == request_word(layout));
    if area.slice_ctrl() == grant_word(layout) {
        storm.grants.fetch_add(1, Ordering::Relaxed);
        match number % 4 {
            0 => {
                let yielded = u64::from(sys::rseq_slice_yield()? == 1);
                storm.yields.fetch_add(yielded, Ordering::Relaxed);
            }
            1 => null_call(),
            2 => {
                spin_while(200_000, || area.slice_ctrl() == grant_word(layout));
            }
            // The area of a thread that ends has to stay.
            _ => std::mem::forget(registration),
        }
    } else {
        area.set_slice_ctrl(0);
    }
    Ok(())
}

fn spawner(layout: Layout, cpu: usize, storm: &Arc<Storm>) -> Result<()> {
    loop {
        let number = storm.started.fetch_add(1, Ordering::Relaxed);
        let counts = Arc::clone(storm);
        let thread = thread::spawn(move || short_lived_thread(layout, cpu, number, &counts));
        thread.join().map_err(|_| anyhow::anyhow!("panic"))??;
    }
}

/// Threads come and go, with grants or without, on both CPUs, and then their process is killed.
fn storm_of_threads_loses_no_grant(env: Env, layout: Layout) -> Result<()> {
    const STORMS: u64 = 4;
    const ENOUGH: u64 = 60;
    set_extension_length(20_000)?;
    let delta = CounterDelta::start()?;
    for turn in 0..STORMS {
        let page = Page::shared()?;
        // SAFETY: The page is never freed, is zero, which is valid, and all fields are atomics.
        let seen = unsafe { page.area().cast::<[AtomicU64; 2]>().as_ref() };
        let child = Child::start(|| {
            let storm = Arc::<Storm>::default();
            let failed = Arc::new(AtomicBool::new(false));
            let _tickers = [
                Ticker::waking(env, CPU, 40_000)?,
                Ticker::waking(env, OTHER_CPU, 40_000)?,
            ];
            for cpu in BOTH_CPUS {
                let (storm, failed) = (Arc::clone(&storm), Arc::clone(&failed));
                thread::spawn(move || {
                    if let Err(error) = spawner(layout, cpu, &storm) {
                        diagnose(format_args!("in a thread: {error:#}"));
                        failed.store(true, Ordering::Relaxed);
                    }
                });
            }
            loop {
                thread::sleep(Duration::from_millis(1));
                seen[0].store(storm.grants.load(Ordering::Relaxed), Ordering::Relaxed);
                seen[1].store(storm.yields.load(Ordering::Relaxed), Ordering::Relaxed);
                check!(!failed.load(Ordering::Relaxed), "a thread failed");
            }
        })?;
        for _ in 0..1000 {
            thread::sleep(Duration::from_micros(1_000 + 37 * turn));
            if seen[0].load(Ordering::Relaxed) >= ENOUGH {
                break;
            }
        }
        kill(child.pid(), Signal::SIGKILL)?;
        child
            .ensure_killed(Signal::SIGKILL)
            .context("the storm ended by itself")?;
    }
    let tally = delta.tally()?;
    diagnose(format_args!("{tally:?}"));
    check!(
        tally.granted >= STORMS * ENOUGH
            && tally.yielded > 0
            && tally.aborted > 0
            && tally.revoked > 0,
        "{tally:?}"
    );
    // C does not count that a grant died, for which the runner allows as well.
    check!(tally.without_end() >= 0, "{tally:?}");
    // Other threads still get grants.
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    Ok(())
}
