// SPDX-License-Identifier: GPL-2.0

//! Timers that outlive their grants, threads that change CPUs, and CPUs that go away.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::gettid;
use rseq_slice_harness::clock::{now, spin, spin_while};
use rseq_slice_harness::timer::Due;
use rseq_slice_harness::{Counters, Layout, pin_to, set_extension_length, sys};

use crate::case::{Needs, Skip, Test, both};
use crate::check::{check, fail};
use crate::env::Env;
use crate::kernel::CPU1_ONLINE;
use crate::support::{
    BOTH_CPUS, CPU, Competitor, CounterDelta, OTHER_CPU, PATIENCE, Remote, RemotelyWoken, Seen,
    Setup, request_word, soon,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "old_timer_leaves_next_grant_alone",
        Needs::On,
        old_timer_leaves_next_grant_alone,
    )
    .tolerates(&[]),
    both(
        "old_timer_leaves_grant_of_remote_wakeup_alone",
        Needs::OnTwoCpus,
        old_timer_leaves_grant_of_remote_wakeup_alone,
    )
    .tolerates(&[]),
    both(
        "old_timer_leaves_other_thread_alone",
        Needs::On,
        old_timer_leaves_other_thread_alone,
    )
    .tolerates(&[]),
    both("move_ends_grant", Needs::OnTwoCpus, move_ends_grant).tolerates(&[]),
    both(
        "cpu_removal_loses_no_grant",
        Needs::OnTwoCpus,
        cpu_removal_loses_no_grant,
    ),
];

const LENGTH: u32 = 50_000;

/// Judges a step: a thread's first grant was revoked early, and its timer expired around the moment
/// of the next one. Returns whether there was a next one.
///
/// Any interrupt between the wakeup and the decision has the scheduler switch the thread out in the
/// kernel, so that there may be none. But if there is one, the old timer must not cut it short.
fn lasts(seen: Seen, yielded: i64, tally: Option<Counters>) -> Result<bool> {
    let next = seen == Seen::Granted;
    let expected = Counters {
        granted: 1 + u64::from(next),
        revoked: 1,
        yielded: u64::from(next),
        ..Counters::NOTHING
    };
    check!(
        matches!(seen, Seen::Granted | Seen::Erased)
            && yielded == i64::from(next)
            && tally.is_none_or(|tally| tally == expected),
        "the request is {seen:?}, the yield returned {yielded}, {tally:?}"
    );
    Ok(next)
}

/// The timer of a grant that was revoked expires around the moment of the thread's next grant.
fn old_timer_leaves_next_grant_alone(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let setup = Setup::new(env, layout)?;
    let competitors = [
        Competitor::new(env, CPU)?,
        Competitor::new(env, CPU)?,
        Competitor::new(env, CPU)?,
    ];
    let length = u64::from(LENGTH);
    let mut nexts = 0;
    for after in (length - 3_000..length + 6_000).step_by(150) {
        let delta = CounterDelta::start()?;
        let due = soon(env)?;
        competitors[1].wake(Due::At(due + 10_000))?;
        competitors[2].wake(Due::At(due + after))?;
        setup.obtain_at(due, &competitors[0])?;
        let revoked = setup.outlast().is_some();
        let seen = setup.offer(request_word(layout), PATIENCE);
        let yielded = sys::rseq_slice_yield()?;
        check!(revoked);
        nexts += u32::from(
            lasts(seen, yielded, delta.counted()?).with_context(|| format!("{after} ns after"))?,
        );
    }
    check!(nexts > 30, "{nexts} next grants");
    Ok(())
}

/// The same, with the next reschedule asked for by the other CPU, so that the old timer's interrupt
/// is free to come at any moment of the decision.
fn old_timer_leaves_grant_of_remote_wakeup_alone(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let setup = Setup::new(env, layout)?;
    let (competitor, second) = (Competitor::new(env, CPU)?, Competitor::new(env, CPU)?);
    let third = RemotelyWoken::new(env, CPU)?;
    let length = u64::from(LENGTH);
    let (mut turn, mut nexts) = (0, 0);
    for after in (length - 12_000..length + 3_000).step_by(100) {
        let delta = CounterDelta::start()?;
        let due = soon(env)?;
        second.wake(Due::At(due + 10_000))?;
        let first = setup.obtain_at(due, &competitor)?;
        third.wake_at(first + after);
        let revoked = setup.outlast().is_some();
        let seen = setup.offer(request_word(layout), PATIENCE);
        let yielded = sys::rseq_slice_yield()?;
        turn += 1;
        let third = third.competitor().runs();
        check!(
            revoked && third == turn,
            "the third competitor ran {third} times, not {turn}"
        );
        nexts += u32::from(
            lasts(seen, yielded, delta.counted()?).with_context(|| format!("{after} ns after"))?,
        );
    }
    check!(nexts > 75, "{nexts} next grants");
    Ok(())
}

/// The timer of a grant that was revoked expires while another thread has a grant on this CPU.
fn old_timer_leaves_other_thread_alone(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let length = u64::from(LENGTH);
    let competitors = Arc::new([Competitor::new(env, CPU)?, Competitor::new(env, CPU)?]);
    let theirs = Arc::clone(&competitors);
    let (start, started) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let first = thread::spawn(move || -> Result<()> {
        let setup = Setup::new(env, layout)?;
        while started.recv().is_ok() {
            let due = soon(env)?;
            theirs[1].wake(Due::At(due + 8_000))?;
            let at = setup.obtain_at(due, &theirs[0])?;
            // Revoked by the second competitor, with most of the extension left on the timer.
            check!(setup.outlast().is_some());
            end.send(at)?;
        }
        Ok(())
    });
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let mut covered = 0;
    for lead in (6_000..20_000).step_by(1_000) {
        let delta = CounterDelta::start()?;
        start.send(())?;
        // Blocks, which lets the other thread, of the same priority, run until it does.
        let Ok(old_grant) = ended.recv() else { break };
        let old_expiry = old_grant + length;
        competitor.wake_in(lead)?;
        let seen = setup.offer(request_word(layout), 4 * length);
        let early = seen == Seen::Granted && now() < old_expiry;
        spin_while(length, || now() < old_expiry + 2_000);
        let live = setup.is_granted();
        let yielded = sys::rseq_slice_yield()?;
        setup.set_word(0);
        let tally = delta.counted()?;
        check!(
            tally.is_none_or(|tally| tally.expired == 0 && tally.adds_up()),
            "{tally:?}"
        );
        if early {
            check!(
                live && yielded == 1,
                "the grant was gone: {live}, {yielded}, {tally:?}"
            );
            covered += 1;
        }
    }
    drop(start);
    first.join().map_err(|_| anyhow!("panic"))??;
    check!(
        covered > 0,
        "the old timer never expired inside of the other grant"
    );
    Ok(())
}

/// The grant ends with the move, and the thread gets the next one where it is then.
fn move_ends_grant(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let setup = Setup::new(env, layout)?;
    let (competitor, there) = (Competitor::new(env, CPU)?, Competitor::new(env, OTHER_CPU)?);
    let mover = gettid();
    let remote = Remote::ready(move || {
        let mut set = CpuSet::new();
        set.set(OTHER_CPU)?;
        Ok(sched_setaffinity(mover, &set)?)
    })?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    remote.go();
    let over = setup.outlast().is_some();
    let (word, cpu) = (setup.word(), setup.area().cpu_id());
    remote.join()?;
    check!(
        over && word == 0 && cpu as usize == OTHER_CPU,
        "{over}, {word:#x} on CPU {cpu}"
    );
    check!(competitor.runs() == 1);
    delta.ensure(Counters::revokes(1))?;
    setup.obtain(&there)?;
    spin(u64::from(LENGTH) / 2);
    check!(sys::rseq_slice_yield()? == 1);
    pin_to(&[CPU])?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    delta.ensure(Counters {
        granted: 3,
        revoked: 1,
        yielded: 2,
        ..Counters::NOTHING
    })
}

/// A thread with many grants loses its CPU again and again.
fn cpu_removal_loses_no_grant(env: Env, layout: Layout) -> Result<()> {
    if !Path::new(CPU1_ONLINE).exists() {
        return Err(Skip("needs CONFIG_HOTPLUG_CPU".into()).into());
    }
    set_extension_length(LENGTH)?;
    let over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&over);
    let delta = CounterDelta::start()?;
    let (ready, is_ready) = mpsc::channel();
    let worker = thread::spawn(move || -> Result<u64> {
        let setup = Setup::on(env, OTHER_CPU, layout)?;
        let competitor = Competitor::new(env, OTHER_CPU)?;
        let mut yields = 0;
        ready.send(())?;
        while !seen.load(Ordering::Relaxed) {
            for _ in 0..5 {
                competitor.wake_soon()?;
                setup.request();
                spin_while(2 * env.lead(), || setup.word() == request_word(layout));
                spin(3_000);
                if setup.is_granted() {
                    yields += u64::from(sys::rseq_slice_yield()? == 1);
                } else {
                    setup.set_word(0);
                }
            }
            // The threads that take the CPU down have to run as well.
            thread::sleep(Duration::from_micros(300));
        }
        Ok(yields)
    });
    if is_ready.recv().is_err() {
        worker.join().map_err(|_| anyhow!("panic"))??;
        fail!("the worker ended too early");
    }
    pin_to(&[CPU])?;
    for _ in 0..3 {
        for state in ["0", "1"] {
            thread::sleep(Duration::from_millis(3));
            fs::write(CPU1_ONLINE, state).context(CPU1_ONLINE)?;
        }
    }
    pin_to(&BOTH_CPUS)?;
    over.store(true, Ordering::Relaxed);
    let yields = worker.join().map_err(|_| anyhow!("panic"))??;
    let tally = delta.counted()?;
    check!(
        tally.is_none_or(|tally| tally.adds_up() && tally.yielded == yields) && yields > 50,
        "{yields} yields, {tally:?}"
    );
    Ok(())
}
