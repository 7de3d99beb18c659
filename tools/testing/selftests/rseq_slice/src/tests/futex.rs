// SPDX-License-Identifier: GPL-2.0

//! The vDSO's unlock of a robust futex, interrupted after the release, is complete when a signal
//! comes: the kernel clears the pending operation if it knows that the thread was interrupted in
//! user mode. It has to know that still when a grant has ended meanwhile.

use anyhow::Result;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getpid};
use rseq_slice_harness::clock::{now, spin};
use rseq_slice_harness::timer::Due;
use rseq_slice_harness::{Counters, Layout, set_extension_length, sys};

use crate::case::{Needs, Skip, Test, both};
use crate::check::{check, fail};
use crate::env::Env;
use crate::ktap::diagnose;
use crate::support::{
    CPU, Child, Class, Competitor, CounterDelta, Lock, OTHER_CPU, Owner, PASSES, Setup, Sleeper,
    soon,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "unlock_is_complete_after_expiry",
        Needs::On,
        |env, layout| check_in_handler(env, layout, End::Expiry),
    )
    .tolerates(&[]),
    both(
        "unlock_is_complete_after_wakeup",
        Needs::On,
        |env, layout| check_in_handler(env, layout, End::Wakeup),
    )
    .tolerates(&[]),
    both(
        "unlock_is_complete_after_membarrier",
        Needs::OnTwoCpus,
        |env, layout| check_in_handler(env, layout, End::Membarrier),
    )
    .tolerates(&[]),
    both(
        "unlock_is_complete_when_killed_at_expiry",
        Needs::On,
        |env, layout| check_after_death(env, layout, End::Expiry),
    )
    .tolerates(&[]),
    both(
        "unlock_is_complete_when_killed_at_membarrier",
        Needs::OnTwoCpus,
        |env, layout| check_after_death(env, layout, End::Membarrier),
    )
    .tolerates(&[]),
];

/// Nanoseconds from the competitor's wakeup to what ends the grant.
const APART: u64 = 10_000;
/// Nanoseconds from membarrier(2) to the second competitor's wakeup.
const BEHIND: u64 = 15_000;
/// Nanoseconds in which sleepers get their orders.
const ORDERS: u64 = 50_000;
/// The moments of a sweep: each phase of the release several times.
const MOMENTS: u64 = 4 * PASSES;
/// So often the lock is released until a signal has to come.
const UNLOCKS: u64 = 20_000;

/// What ends the grant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Expiry,
    /// A second competitor.
    Wakeup,
    /// The other CPU.
    Membarrier,
}

/// A thread that releases its lock all the time, and those that interrupt it.
struct InterruptedOwner {
    env: Env,
    setup: Setup,
    owner: Owner,
    /// Sends the signal while the owner is switched out.
    competitor: Sleeper,
    second: Option<Competitor>,
    /// Calls membarrier(2) on the other CPU.
    other: Option<Sleeper>,
}

impl InterruptedOwner {
    fn new(
        env: Env,
        layout: Layout,
        end: End,
        lock: &'static Lock,
        signal: Signal,
    ) -> Result<Self> {
        set_extension_length(match end {
            End::Expiry => 10_000,
            End::Wakeup | End::Membarrier => 50_000,
        })?;
        let owner = Owner::new(lock)?;
        let thread = owner.thread();
        let other = (end == End::Membarrier).then(|| other(env)).transpose()?;
        Ok(Self {
            env,
            setup: Setup::new(env, layout)?,
            owner,
            competitor: Sleeper::new(env, CPU, move || send(thread, signal))?,
            second: (end != End::Expiry)
                .then(|| Competitor::new(env, CPU))
                .transpose()?,
            other,
        })
    }

    /// Releases the lock again and again until the signal has come, in the phase number `moment`.
    fn step(&self, request: bool, moment: u64) -> Result<()> {
        const ATTEMPTS: usize = 10;
        for _ in 0..ATTEMPTS {
            let before = self.owner.signals();
            self.arm_all(request, soon(self.env)? + ORDERS)?;
            if request {
                self.setup.request();
            }
            // Lets the other CPU run.
            spin(ORDERS);
            let early = self.owner.signals() != before;
            let signalled = early || self.owner.unlock_until_signal(moment % PASSES, UNLOCKS);
            self.setup.set_word(0);
            check!(signalled, "the signal never came");
            // No thread is left then that could disturb the next step.
            spin(self.env.lead());
            if !early {
                return Ok(());
            }
        }
        fail!("{ATTEMPTS} signals in a row came early")
    }

    /// Has a grant made at the moment `due` and ended later. The same without a request, but that
    /// membarrier(2) comes before the competitor.
    ///
    /// After membarrier(2) the second competitor gets the first one its CPU where nothing else does,
    /// as with C. And it gets the other CPU its turn: QEMU before 8.1, where it counts instructions,
    /// lets the first CPU run until its next timer before another one whose timer is due.
    fn arm_all(&self, request: bool, due: u64) -> Result<()> {
        let (mut first, mut second) = (due, due + APART);
        if let Some(other) = &self.other {
            other.wake(Due::At(second), Class::Competitor)?;
            second += BEHIND;
            if !request {
                first = second;
            }
        }
        if let Some(competitor) = &self.second {
            competitor.wake(Due::At(second))?;
        }
        self.competitor.wake(Due::At(first), Class::Competitor)
    }
}

/// A thread on the other CPU that calls membarrier(2).
fn other(env: Env) -> Result<Sleeper> {
    register()?;
    Sleeper::new(env, OTHER_CPU, || {
        sys::restart_sequences().expect("the process is registered");
    })
}

/// Lets the process call membarrier(2).
fn register() -> Result<()> {
    sys::register_to_restart_sequences().map_err(|_| Skip("needs CONFIG_MEMBARRIER".into()))?;
    Ok(())
}

fn send(thread: Pid, signal: Signal) {
    let (process, signal) = (getpid().as_raw(), signal as i32);
    // Fails if a signal has killed the thread already.
    // SAFETY: The call takes no pointer.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread.as_raw(), signal) };
}

/// A handler looks at the lock.
fn check_in_handler(env: Env, layout: Layout, end: End) -> Result<()> {
    let lock = Lock::shared()?;
    let unlocking = InterruptedOwner::new(env, layout, end, lock, Signal::SIGUSR1)?;
    unlocking.owner.watch_at(Signal::SIGUSR1)?;
    for request in [false, true] {
        let (before, delta) = (unlocking.owner.seen(), CounterDelta::start()?);
        for moment in 0..MOMENTS {
            unlocking.step(request, moment)?;
        }
        let (seen, tally) = (unlocking.owner.seen() - before, delta.tally()?);
        diagnose(format_args!("request {request}: {seen:?}, {tally:?}"));
        check!(
            seen.half_done == 0,
            "the operation was pending after the release: {} times",
            seen.half_done
        );
        check!(seen.inside > 0, "no unlock was interrupted");
        ensure_ends(end, request, tally)?;
    }
    Ok(())
}

/// The signal kills the process, and its parent looks at the lock.
fn check_after_death(env: Env, layout: Layout, end: End) -> Result<()> {
    const SIGNAL: Signal = Signal::SIGTERM;
    let lock = Lock::shared()?;
    // Skips the test here, not in a child, and calibrates the clock once for all of them.
    Owner::new(lock)?;
    if end == End::Membarrier {
        register()?;
    }
    now();
    let delta = CounterDelta::start()?;
    let (mut inside, mut half_done) = (0, 0);
    for moment in 0..MOMENTS {
        Child::start(|| InterruptedOwner::new(env, layout, end, lock, SIGNAL)?.step(true, moment))?
            .ensure_killed(SIGNAL)?;
        inside += u64::from(lock.is_just_released());
        half_done += u64::from(lock.is_half_done());
        lock.reset();
    }
    let tally = delta.tally()?;
    diagnose(format_args!("died after the release {inside}, {tally:?}"));
    check!(
        half_done == 0,
        "the operation was pending after the release: {half_done} times"
    );
    check!(inside > 0, "no unlock was interrupted");
    ensure_ends(end, true, tally)
}

/// Expects the grants to have been made and to have ended as intended, but those of requests that were
/// made too late.
#[track_caller]
fn ensure_ends(end: End, request: bool, tally: Counters) -> Result<()> {
    let intended = match end {
        End::Expiry => tally.expired,
        End::Wakeup | End::Membarrier => tally.granted - tally.expired,
    };
    let good = match request {
        true => intended >= MOMENTS / 2,
        false => tally == Counters::NOTHING,
    };
    check!(good, "request {request}: {tally:?}");
    Ok(())
}
