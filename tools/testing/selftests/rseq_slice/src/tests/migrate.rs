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
    BOTH_CPUS, CPU, Ledger, OTHER_CPU, PATIENCE, Remote, RemotelyWoken, Rival, Scene, Seen,
    requested, soon,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "old_timer_leaves_next_grant_alone",
        Needs::On,
        old_timer_leaves_next_grant_alone,
    )
    .alone(),
    both(
        "old_timer_leaves_grant_of_remote_wakeup_alone",
        Needs::OnTwoCpus,
        old_timer_leaves_grant_of_remote_wakeup_alone,
    )
    .alone(),
    both(
        "old_timer_leaves_other_thread_alone",
        Needs::On,
        old_timer_leaves_other_thread_alone,
    )
    .alone(),
    both("move_ends_grant", Needs::OnTwoCpus, move_ends_grant).alone(),
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
    let scene = Scene::new(env, layout)?;
    let rivals = [
        Rival::new(env, CPU)?,
        Rival::new(env, CPU)?,
        Rival::new(env, CPU)?,
    ];
    let length = u64::from(LENGTH);
    let mut nexts = 0;
    for after in (length - 3_000..length + 6_000).step_by(150) {
        let ledger = Ledger::open()?;
        let due = soon(env)?;
        rivals[1].wake(Due::At(due + 10_000))?;
        rivals[2].wake(Due::At(due + after))?;
        scene.obtain_at(due, &rivals[0])?;
        let revoked = scene.outlast().is_some();
        let seen = scene.offer(requested(layout), PATIENCE);
        let yielded = sys::rseq_slice_yield()?;
        check!(revoked);
        nexts += u32::from(
            lasts(seen, yielded, ledger.counted()?).with_context(|| format!("{after} ns after"))?,
        );
    }
    check!(nexts > 30, "{nexts} next grants");
    Ok(())
}

/// The same, with the next reschedule asked for by the other CPU, so that the old timer's interrupt
/// is free to come at any moment of the decision.
fn old_timer_leaves_grant_of_remote_wakeup_alone(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let scene = Scene::new(env, layout)?;
    let (rival, second) = (Rival::new(env, CPU)?, Rival::new(env, CPU)?);
    let third = RemotelyWoken::new(env, CPU)?;
    let length = u64::from(LENGTH);
    let (mut turn, mut nexts) = (0, 0);
    for after in (length - 12_000..length + 3_000).step_by(100) {
        let ledger = Ledger::open()?;
        let due = soon(env)?;
        second.wake(Due::At(due + 10_000))?;
        let first = scene.obtain_at(due, &rival)?;
        third.wake_at(first + after);
        let revoked = scene.outlast().is_some();
        let seen = scene.offer(requested(layout), PATIENCE);
        let yielded = sys::rseq_slice_yield()?;
        turn += 1;
        let third = third.rival().runs();
        check!(
            revoked && third == turn,
            "the third rival ran {third} times, not {turn}"
        );
        nexts += u32::from(
            lasts(seen, yielded, ledger.counted()?).with_context(|| format!("{after} ns after"))?,
        );
    }
    check!(nexts > 75, "{nexts} next grants");
    Ok(())
}

/// The timer of a grant that was revoked expires while another thread has a grant on this CPU.
fn old_timer_leaves_other_thread_alone(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let length = u64::from(LENGTH);
    let rivals = Arc::new([Rival::new(env, CPU)?, Rival::new(env, CPU)?]);
    let theirs = Arc::clone(&rivals);
    let (start, started) = mpsc::channel();
    let (end, ended) = mpsc::channel();
    let first = thread::spawn(move || -> Result<()> {
        let scene = Scene::new(env, layout)?;
        while started.recv().is_ok() {
            let due = soon(env)?;
            theirs[1].wake(Due::At(due + 8_000))?;
            let at = scene.obtain_at(due, &theirs[0])?;
            // Revoked by the second rival, with most of the extension left on the timer.
            check!(scene.outlast().is_some());
            end.send(at)?;
        }
        Ok(())
    });
    let scene = Scene::new(env, layout)?;
    let rival = Rival::new(env, CPU)?;
    let mut covered = 0;
    for lead in (6_000..20_000).step_by(1_000) {
        let ledger = Ledger::open()?;
        start.send(())?;
        // Blocks, which lets the other thread, of the same priority, run until it does.
        let Ok(old_grant) = ended.recv() else { break };
        let old_expiry = old_grant + length;
        rival.wake_in(lead)?;
        let seen = scene.offer(requested(layout), 4 * length);
        let early = seen == Seen::Granted && now() < old_expiry;
        spin_while(length, || now() < old_expiry + 2_000);
        let live = scene.is_granted();
        let yielded = sys::rseq_slice_yield()?;
        scene.set_word(0);
        let tally = ledger.counted()?;
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
    let scene = Scene::new(env, layout)?;
    let (rival, there) = (Rival::new(env, CPU)?, Rival::new(env, OTHER_CPU)?);
    let mover = gettid();
    let remote = Remote::ready(move || {
        let mut set = CpuSet::new();
        set.set(OTHER_CPU)?;
        Ok(sched_setaffinity(mover, &set)?)
    })?;
    let ledger = Ledger::open()?;
    scene.obtain(&rival)?;
    remote.go();
    let over = scene.outlast().is_some();
    let (word, cpu) = (scene.word(), scene.area().cpu_id());
    remote.join()?;
    check!(
        over && word == 0 && cpu as usize == OTHER_CPU,
        "{over}, {word:#x} on CPU {cpu}"
    );
    check!(rival.runs() == 1);
    ledger.ensure(Counters::revokes(1))?;
    scene.obtain(&there)?;
    spin(u64::from(LENGTH) / 2);
    check!(sys::rseq_slice_yield()? == 1);
    pin_to(&[CPU])?;
    scene.obtain(&rival)?;
    check!(sys::rseq_slice_yield()? == 1);
    ledger.ensure(Counters {
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
    let ledger = Ledger::open()?;
    let (ready, is_ready) = mpsc::channel();
    let worker = thread::spawn(move || -> Result<u64> {
        let scene = Scene::on(env, OTHER_CPU, layout)?;
        let rival = Rival::new(env, OTHER_CPU)?;
        let mut yields = 0;
        ready.send(())?;
        while !seen.load(Ordering::Relaxed) {
            for _ in 0..5 {
                rival.wake_soon()?;
                scene.request();
                spin_while(2 * env.lead(), || scene.word() == requested(layout));
                spin(3_000);
                if scene.is_granted() {
                    yields += u64::from(sys::rseq_slice_yield()? == 1);
                } else {
                    scene.set_word(0);
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
    let tally = ledger.counted()?;
    check!(
        tally.is_none_or(|tally| tally.adds_up() && tally.yielded == yields) && yields > 50,
        "{yields} yields, {tally:?}"
    );
    Ok(())
}
