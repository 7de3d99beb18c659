// SPDX-License-Identifier: GPL-2.0

//! Threads that the kernel gives to a process, debuggers, and audit.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use rseq_slice_harness::abi::NR_RSEQ_SLICE_YIELD;
use rseq_slice_harness::{Layout, sys};

use super::GRANTS;
use crate::case::{Needs, Test, both};
use crate::check::{check, fail};
use crate::env::Env;
use crate::kernel::set_debug;
use crate::ktap::diagnose;
use crate::support::{
    Audit, CPU, Child, Competitor, CounterDelta, HolderSetup, Holders, Machine, PerCpu, Ring,
    Setup, Ticker, Timing, request_word,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "io_uring_loses_no_restart",
        Needs::OnTwoCpus,
        io_uring_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "kvm_loses_no_restart",
        Needs::OnTwoCpus,
        kvm_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "single_step_aborts_each_sequence",
        Needs::OnTwoCpus,
        single_step_aborts_each_sequence,
    )
    .tolerates(&[]),
    both(
        "audited_yield_returns_1",
        Needs::On,
        audited_yield_returns_1,
    )
    .tolerates(&[]),
];

/// Each holder has workers of io_uring, which are threads of its process and tell it when they are
/// done.
fn io_uring_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    // Skips the test where there is none.
    drop(Ring::new()?);
    let completed = Arc::new(AtomicU64::new(0));
    let sum = Arc::clone(&completed);
    let holders = Holders::start(&HolderSetup {
        between: Arc::new(move || {
            let mut ring = Ring::new()?;
            let sum = Arc::clone(&sum);
            Ok(Box::new(move || {
                let before = ring.completed;
                ring.submit()?;
                sum.fetch_add(ring.completed - before, Ordering::Relaxed);
                Ok(())
            }))
        }),
        ..HolderSetup::new(env, layout)
    })?;
    let mut workers = 0;
    holders.until_granted(GRANTS, || {
        let mut now = 0;
        for task in fs::read_dir("/proc/self/task")? {
            let comm = fs::read_to_string(task?.path().join("comm")).unwrap_or_default();
            now += usize::from(comm.starts_with("iou-wrk"));
        }
        workers = workers.max(now);
        Ok(())
    })?;
    let completed = || Ok(completed.load(Ordering::Relaxed));
    let completed = holders.until_counted(100, completed, || Ok(()))?;
    holders.end()?;
    diagnose(format_args!("{workers} workers, {completed} completions"));
    check!(workers > 0 && completed >= 100, "{workers}, {completed}");
    Ok(())
}

/// Each holder is the CPU of a virtual machine as well.
fn kvm_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    // Skips the test where there is none.
    Machine::new()?.run()?;
    let exits = Arc::new(AtomicU64::new(0));
    let sum = Arc::clone(&exits);
    let holders = Holders::start(&HolderSetup {
        between: Arc::new(move || {
            let machine = Machine::new()?;
            let sum = Arc::clone(&sum);
            Ok(Box::new(move || {
                sum.fetch_add(1, Ordering::Relaxed);
                machine.run()
            }))
        }),
        ..HolderSetup::new(env, layout)
    })?;
    holders.until_granted(GRANTS, || Ok(()))?;
    holders.end()?;
    let exits = exits.load(Ordering::Relaxed);
    diagnose(format_args!("{exits} exits"));
    check!(exits > 100, "{exits} exits");
    Ok(())
}

/// What a debugger steps through: counting with a request, whose sequences cannot be completed as
/// long as the debugger stops the thread at each instruction.
fn stepped(env: Env, layout: Layout) -> Result<()> {
    const ROUNDS: u64 = 12;
    const LOOKS: u64 = 20;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let counts = PerCpu::default();
    ptrace::traceme()?;
    let timing = Timing {
        request: request_word(layout),
        patience: 20,
        work: 20,
    };
    let mut counted = 0;
    raise(Signal::SIGSTOP)?;
    for _ in 0..ROUNDS {
        counted += u64::from(counts.count_requesting(setup.area(), timing)?);
        for _ in 0..LOOKS {
            setup.add_request();
        }
        setup.area().clear_bits_in_slice_ctrl(request_word(layout));
        if setup.word() != 0 {
            sys::rseq_slice_yield()?;
        }
    }
    raise(Signal::SIGSTOP)?;
    counts.ensure(counted)?;
    check!(counted == 0, "{counted} sequences were completed");
    // The debugger does not step any more.
    counted += u64::from(counts.count_requesting(setup.area(), timing)?);
    setup.set_word(0);
    counts.ensure(counted)?;
    check!(counted == 1, "the sequence was not completed");
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    Ok(())
}

/// A debugger steps through sequences instruction by instruction, while another thread wants the CPU
/// all the time.
fn single_step_aborts_each_sequence(env: Env, layout: Layout) -> Result<()> {
    for debug in [false, true] {
        set_debug(debug)?;
        let delta = CounterDelta::start()?;
        let child = Child::start(|| stepped(env, layout))?;
        let pid = child.pid();
        let next = || -> Result<Option<Signal>> {
            match waitpid(pid, None)? {
                WaitStatus::Stopped(_, signal) => Ok(Some(signal)),
                WaitStatus::Exited(_, 0) => Ok(None),
                other => fail!("the stepped process: {other:?}"),
            }
        };
        check!(next()? == Some(Signal::SIGSTOP));
        let ticker = Ticker::waking(env, CPU, 20_000)?;
        let mut steps = 0_u64;
        loop {
            ptrace::step(pid, None)?;
            match next()? {
                Some(Signal::SIGTRAP) => steps += 1,
                Some(Signal::SIGSTOP) => break,
                other => fail!("{other:?} after {steps} steps"),
            }
        }
        drop(ticker);
        ptrace::cont(pid, None)?;
        let last = next()?;
        diagnose(format_args!(
            "debug {debug}: {steps} steps, {:?}",
            delta.tally()?
        ));
        check!(last.is_none(), "{last:?}");
        check!(steps > 500, "{steps} steps");
    }
    Ok(())
}

/// Each yield is audited, which takes its time at the entry and the exit of the call.
fn audited_yield_returns_1(env: Env, layout: Layout) -> Result<()> {
    const YIELDS: u64 = 20;
    let audit = Audit::start(NR_RSEQ_SLICE_YIELD)?;
    // The kernel audits only threads that are created later.
    let child = Child::start(|| {
        let setup = Setup::new(env, layout)?;
        let competitor = Competitor::new(env, CPU)?;
        for _ in 0..YIELDS {
            setup.obtain(&competitor)?;
            check!(sys::rseq_slice_yield()? == 1);
        }
        Ok(())
    })?;
    child.ensure_fine()?;
    let records = audit.records(YIELDS).context("records of audit")?;
    diagnose(format_args!("{records} records"));
    check!(records >= YIELDS, "{records} records");
    Ok(())
}
