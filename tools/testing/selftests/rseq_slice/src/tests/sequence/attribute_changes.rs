// SPDX-License-Identifier: GPL-2.0

//! Reschedules without a thread that wants the CPU: a scheduling attribute of the running thread is
//! changed. They are postponed like others, and a sequence is restarted if the thread was switched
//! out or moved.

use std::fmt;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};
use rseq_slice_harness::clock::spin;
use rseq_slice_harness::{Counters, Layout, pin_to, set_extension_length, sys};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::ktap::diagnose;
use crate::support::{
    CPU, Class, CounterDelta, How, OTHER_CPU, PATIENCE, RemoteWorker, Sequence, Setup, Step,
    Ticker, grant_word, reclass, request_word, set_class, soon, switches, timer_interrupts,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "restarts_when_due_if_class_changes",
        Needs::OnTwoCpus,
        |env, layout| {
            check_turns(env, layout, Class::Requester, false, |env, thread, _| {
                reclass(env, thread)
            })
        },
    )
    .tolerates(&[]),
    both(
        "restarts_when_due_if_nice_changes",
        Needs::OnTwoCpus,
        |env, layout| {
            // The scheduler acts on it only if the CPU has another thread.
            let _other = Ticker::idle(env, CPU)?;
            check_turns(env, layout, Class::Fair, false, renice)
        },
    )
    .tolerates(&[]),
    both(
        "restarts_when_due_if_affinity_changes",
        Needs::OnTwoCpus,
        |env, layout| {
            check_turns(env, layout, Class::Requester, true, |_, thread, _| {
                move_away(thread)
            })
        },
    )
    .tolerates(&[]),
];

/// Lowers the weight of the thread from turn to turn.
fn renice(_: Env, thread: Pid, turn: i32) -> Result<()> {
    let who = libc::id_t::try_from(thread.as_raw())?;
    // SAFETY: The call takes no pointer.
    Errno::result(unsafe { libc::setpriority(libc::PRIO_PROCESS, who, turn) })?;
    Ok(())
}

fn move_away(thread: Pid) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(OTHER_CPU)?;
    Ok(sched_setaffinity(thread, &set)?)
}

/// Nanoseconds of an extension.
const LENGTH: u32 = 20_000;

/// A request in a sequence, during which the other CPU changes something of the thread.
struct AttributeChange<'a> {
    setup: &'a Setup,
    worker: &'a RemoteWorker,
    layout: Layout,
    /// It moves the thread to the other CPU.
    moves: bool,
}

impl AttributeChange<'_> {
    /// Ends the grant by a yield, or lets it expire.
    fn run(&self, env: Env, expires: bool, debug: bool) -> Result<()> {
        const ORDER: u32 = 1;
        let (area, orders) = (self.setup.area(), self.worker.orders());
        let (requested, granted) = (request_word(self.layout), grant_word(self.layout));
        set_debug(debug)?;
        let mut steps = vec![
            Step::store_word(area, requested),
            Step::store(orders, ORDER),
            Step::wait_while_word(area, requested, PATIENCE),
        ];
        if expires {
            steps.push(Step::wait_while_word(area, granted, PATIENCE));
        }
        soon(env)?;
        let (delta, before) = (CounterDelta::start()?, switches()?);
        let timers = timer_interrupts(CPU)?;
        let outcome = Sequence::new(area, steps).run(CPU)?;
        if expires {
            // The call below would cancel the timer of a grant that another one has ended.
            spin(2 * u64::from(LENGTH));
        }
        let yielded = sys::rseq_slice_yield()?;
        let timers = timer_interrupts(CPU)? - timers;
        self.setup.set_word(0);
        let (switched, cpu) = (switches()? - before, area.cpu_id() as usize);
        pin_to(&[CPU])?;
        self.worker.ensure_idle()?;

        let told = format!("{outcome:?}, yield {yielded}, {switched} switches, debug {debug}");
        let judge = || -> Result<()> {
            if expires {
                delta.ensure(Counters::expiries(1)).context(told.clone())?;
                // It may have expired in an interrupt, where it restarts the sequence.
                let may_stay = !self.moves && switched == 0;
                check!(
                    outcome.how == How::Aborted || may_stay && outcome.how == How::Done,
                    "{told}"
                );
                check!(yielded == 0, "{told}");
            } else {
                delta.ensure(Counters::yields(1)).context(told.clone())?;
                check!(outcome.how == How::Done && yielded == 1, "{told}");
            }
            check!(
                !self.moves || cpu == OTHER_CPU,
                "still on CPU {cpu}: {told}"
            );
            Ok(())
        };
        judge().map_err(|error| {
            // An expiry is an interrupt of a timer itself.
            if timers > u64::from(expires) {
                error.context(Disturbed)
            } else {
                error
            }
        })
    }
}

/// A timer of the CPU expired that was not the grant's, and may have revoked the grant: the scheduler
/// sets one to the end of a slice, and looks at the slices of the normal class in each tick.
#[derive(Debug)]
struct Disturbed;

impl fmt::Display for Disturbed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another timer expired meanwhile")
    }
}

/// Has the other CPU change something of the thread, which is in a sequence and has a request, and
/// then ends the grant by a yield or lets it expire.
fn check_turns(
    env: Env,
    layout: Layout,
    class: Class,
    moves: bool,
    change: fn(Env, Pid, i32) -> Result<()>,
) -> Result<()> {
    const TURNS: usize = 8;
    /// How often a turn may be repeated in which another timer expired.
    const REPEATS: usize = 4;
    set_extension_length(LENGTH)?;
    let setup = Setup::new(env, layout)?;
    let thread = gettid();
    let mut turn = 0;
    let worker = RemoteWorker::new(
        env,
        vec![Box::new(move || {
            turn += 1;
            change(env, thread, turn)
        })],
    )?;
    set_class(env, class)?;
    let change = AttributeChange {
        setup: &setup,
        worker: &worker,
        layout,
        moves,
    };
    let mut repeats = 0;
    for number in 0..TURNS {
        let (expires, debug) = (number % 2 == 1, number % 4 > 1);
        while let Err(error) = change.run(env, expires, debug) {
            if repeats == REPEATS || !error.is::<Disturbed>() {
                return Err(error);
            }
            repeats += 1;
            diagnose(format_args!("again: {error:#}"));
        }
    }
    Ok(())
}
