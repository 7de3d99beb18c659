// SPDX-License-Identifier: GPL-2.0

//! Reschedules that nobody asks for who wants the CPU: what the scheduler knows of the thread is
//! changed. They are postponed like others, and a sequence is restarted if the thread was switched
//! out or moved.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::{Pid, gettid};
use rseq_slice_harness::{Counters, Layout, pin_to, set_extension_length, sys};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::support::{
    CPU, Class, CounterDelta, Hand, How, OTHER_CPU, PATIENCE, Sequence, Setup, Step, Ticker,
    granted, reclass, requested, set_class, soon, switches,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "whole_when_class_changes",
        Needs::OnTwoCpus,
        |env, layout| {
            changed(env, layout, Class::Requester, false, |env, thread, _| {
                reclass(env, thread)
            })
        },
    )
    .tolerates(&[]),
    both(
        "whole_when_nice_changes",
        Needs::OnTwoCpus,
        |env, layout| {
            // The scheduler looks at it only if there is somebody else.
            let _other = Ticker::idle(env, CPU)?;
            changed(env, layout, Class::Fair, false, renice)
        },
    )
    .tolerates(&[]),
    both(
        "whole_when_affinity_changes",
        Needs::OnTwoCpus,
        |env, layout| {
            changed(env, layout, Class::Requester, true, |_, thread, _| {
                move_away(thread)
            })
        },
    )
    .tolerates(&[]),
];

/// Less and less of the CPU from turn to turn.
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

/// Has the other CPU change something of the thread, which is in a sequence and has a request, and
/// then ends the grant by a yield or lets it expire.
fn changed(
    env: Env,
    layout: Layout,
    class: Class,
    moves: bool,
    change: fn(Env, Pid, i32) -> Result<()>,
) -> Result<()> {
    const ORDER: u32 = 1;
    const TURNS: usize = 8;
    set_extension_length(20_000)?;
    let setup = Setup::new(env, layout)?;
    let thread = gettid();
    let mut turn = 0;
    let hand = Hand::new(
        env,
        vec![Box::new(move || {
            turn += 1;
            change(env, thread, turn)
        })],
    )?;
    set_class(env, class)?;
    let (area, orders) = (setup.area(), hand.orders());
    for number in 0..TURNS {
        let (expires, debug) = (number % 2 == 1, number % 4 > 1);
        set_debug(debug)?;
        let mut steps = vec![
            Step::store_word(area, requested(layout)),
            Step::store(orders, ORDER),
            Step::wait_while_word(area, requested(layout), PATIENCE),
        ];
        if expires {
            steps.push(Step::wait_while_word(area, granted(layout), PATIENCE));
        }
        soon(env)?;
        let (delta, before) = (CounterDelta::start()?, switches()?);
        let outcome = Sequence::new(area, steps).run(CPU)?;
        let yielded = sys::rseq_slice_yield()?;
        setup.set_word(0);
        let (switched, cpu) = (switches()? - before, area.cpu_id() as usize);
        pin_to(&[CPU])?;
        hand.ensure_idle()?;
        let told = format!("{outcome:?}, yield {yielded}, {switched} switches, debug {debug}");
        if expires {
            delta.ensure(Counters::expiries(1)).context(told.clone())?;
            // It may have expired in an interrupt, where it restarts the sequence.
            let may_stay = !moves && switched == 0;
            check!(
                outcome.how == How::Aborted || may_stay && outcome.how == How::Done,
                "{told}"
            );
            check!(yielded == 0, "{told}");
        } else {
            delta.ensure(Counters::yields(1)).context(told.clone())?;
            check!(outcome.how == How::Done && yielded == 1, "{told}");
        }
        check!(!moves || cpu == OTHER_CPU, "still on CPU {cpu}: {told}");
    }
    Ok(())
}
