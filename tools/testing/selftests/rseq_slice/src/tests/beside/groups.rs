// SPDX-License-Identifier: GPL-2.0

//! Control groups: bandwidth limits, the freezer, sets of CPUs.

use std::cell::Cell;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rseq_slice_harness::Layout;

use super::GRANTS;
use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::ktap::diagnose;
use crate::support::{Child, Group, HolderSetup, Holders};

pub(crate) const TESTS: &[Test] = &[
    both(
        "bandwidth_limit_loses_no_restart",
        Needs::OnTwoCpus,
        bandwidth_limit_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "freezer_loses_no_restart",
        Needs::OnTwoCpus,
        freezer_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "cpuset_change_loses_no_restart",
        Needs::OnTwoCpus,
        cpuset_change_loses_no_restart,
    )
    .tolerates(&[]),
];

/// The group uses its quota up all the time, so that holders are throttled.
fn bandwidth_limit_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    let group = Group::new(&["cpu"])?;
    group.set("cpu.max", "1000 2500")?;
    group.enter()?;
    let holders = Holders::start(&HolderSetup::new(env, layout))?;
    holders.until_granted(GRANTS, || Ok(()))?;
    holders.end()?;
    let throttled = group.number("cpu.stat", "nr_throttled")?;
    diagnose(format_args!("throttled {throttled} times"));
    check!(throttled > 5, "throttled {throttled} times");
    Ok(())
}

/// The whole process is frozen again and again, wherever its threads are.
fn freezer_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    const TIMES: u64 = 40;
    /// Milliseconds.
    const PATIENCE: u64 = 100;
    let group = Group::new(&[])?;
    let pause = |millis| thread::sleep(Duration::from_millis(millis));
    let child = Child::start(|| {
        pause(20);
        for turn in 0..TIMES {
            group.set("cgroup.freeze", "1")?;
            let frozen = (0..PATIENCE).any(|_| {
                pause(1);
                group
                    .number("cgroup.events", "frozen")
                    .is_ok_and(|is| is == 1)
            });
            group.set("cgroup.freeze", "0")?;
            check!(frozen, "not frozen the {turn}th time");
            thread::sleep(Duration::from_micros(2_000 + turn * 37));
        }
        Ok(())
    })?;
    group.enter()?;
    let holders = Holders::start(&HolderSetup::new(env, layout))?;
    child.ensure_fine()?;
    holders.until_granted(GRANTS / 10, || Ok(()))?;
    let tally = holders.end()?;
    check!(tally.granted > TIMES, "{tally:?}");
    Ok(())
}

/// The CPUs of the group change all the time, which moves its threads.
fn cpuset_change_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    const SETS: [&str; 3] = ["0", "1", "0-1"];
    let group = Group::new(&["cpuset"])?;
    group.set("cpuset.cpus", "0-1")?;
    group.enter()?;
    let holders = Holders::start(&HolderSetup::new(env, layout))?;
    let turn = Cell::new(0_usize);
    holders.until_granted(GRANTS, || {
        turn.set(turn.get() + 1);
        group.set("cpuset.cpus", SETS[turn.get() % SETS.len()])
    })?;
    group.set("cpuset.cpus", "0-1")?;
    holders.end()?;
    check!(turn.get() > 5, "{} changes", turn.get());
    Ok(())
}
