// SPDX-License-Identifier: GPL-2.0

//! A yield whose call was skipped, by a filter or by a debugger, has ended its grant; what it would
//! have returned must not be returned for a later grant, or to another thread.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use rseq_slice_harness::abi::NR_RSEQ_SLICE_YIELD;
use rseq_slice_harness::seccomp::{Filter, MARK};
use rseq_slice_harness::timer::monotonic;
use rseq_slice_harness::{Counters, Layout, sys};

use crate::case::Disturbance::{Checks, Load};
use crate::case::{Needs, Test, both};
use crate::check::{check, fail};
use crate::env::Env;
use crate::support::{CPU, Child, Competitor, CounterDelta, Setup, ensure_fine};

pub(crate) const TESTS: &[Test] = &[
    both(
        "filtered_yield_is_forgotten_by_grant",
        Needs::On,
        filtered_yield_is_forgotten_by_grant,
    )
    .tolerates(&[Load, Checks]),
    both(
        "filtered_yield_is_forgotten_by_fork",
        Needs::On,
        filtered_yield_is_forgotten_by_fork,
    ),
    both(
        "filtered_yield_counts_at_most_once",
        Needs::On,
        filtered_yield_counts_at_most_once,
    ),
    both(
        "debugged_yield_is_forgotten_by_grant",
        Needs::On,
        debugged_yield_is_forgotten_by_grant,
    )
    .tolerates(&[Load, Checks]),
];

/// Nanoseconds until a competitor wakes: enough for a system call that a debugger looks at.
const LEAD: u64 = 1_000_000;

fn skipped_yield() -> Result<libc::c_long, Errno> {
    // SAFETY: The call takes no argument.
    Errno::result(unsafe { libc::syscall(NR_RSEQ_SLICE_YIELD, MARK) })
}

/// A setup whose last grant was ended by a yield that the filter skipped.
fn filtered(env: Env, layout: Layout) -> Result<(Setup, Competitor)> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    Filter::SKIPS_MARKED_YIELDS
        .install()
        .context("no filter: is CONFIG_SECCOMP_FILTER on?")?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    let result = skipped_yield();
    check!(
        result == Err(Errno::EPERM),
        "the filter let the yield pass: {result:?}"
    );
    check!(competitor.runs() == 1);
    check!(setup.word() == 0);
    delta.ensure(Counters::yields(1))?;
    Ok((setup, competitor))
}

/// Gets another grant and lets it expire.
fn let_grant_expire(setup: &Setup, competitor: &Competitor) -> Result<()> {
    setup.obtain_at(monotonic()? + LEAD, competitor)?;
    check!(setup.outlast().is_some(), "the grant never ended");
    let yielded = sys::rseq_slice_yield()?;
    check!(yielded == 0, "the yield after an expiry returned {yielded}");
    Ok(())
}

fn filtered_yield_is_forgotten_by_grant(env: Env, layout: Layout) -> Result<()> {
    let (setup, competitor) = filtered(env, layout)?;
    let_grant_expire(&setup, &competitor)
}

fn filtered_yield_is_forgotten_by_fork(env: Env, layout: Layout) -> Result<()> {
    let _setup = filtered(env, layout)?;
    ensure_fine(|| {
        let yielded = sys::rseq_slice_yield()?;
        check!(
            yielded == 0,
            "the yield of a child without a grant returned {yielded}"
        );
        Ok(())
    })
}

/// The CPU was given up inside of the grant, which one later yield may report, but not two.
fn filtered_yield_counts_at_most_once(env: Env, layout: Layout) -> Result<()> {
    let (setup, competitor) = filtered(env, layout)?;
    sys::rseq_slice_yield()?;
    check!(sys::rseq_slice_yield()? == 0);
    check!(skipped_yield() == Err(Errno::EPERM));
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    check!(sys::rseq_slice_yield()? == 0);
    Ok(())
}

fn debugged_yield_is_forgotten_by_grant(env: Env, layout: Layout) -> Result<()> {
    let child = Child::start(|| {
        ptrace::traceme()?;
        nix::sys::signal::raise(Signal::SIGSTOP)?;
        let setup = Setup::new(env, layout)?;
        let competitor = Competitor::new(env, CPU)?;
        let delta = CounterDelta::start()?;
        setup.obtain_at(monotonic()? + LEAD, &competitor)?;
        check!(
            skipped_yield() == Err(Errno::ENOSYS),
            "the yield was not skipped"
        );
        delta.ensure(Counters::yields(1))?;
        let_grant_expire(&setup, &competitor)
    })?;
    let pid = child.pid();
    waitpid(pid, None)?;
    ptrace::setoptions(pid, ptrace::Options::PTRACE_O_TRACESYSGOOD)?;
    loop {
        ptrace::syscall(pid, None)?;
        match waitpid(pid, None)? {
            WaitStatus::PtraceSyscall(_) => skip_marked(pid)?,
            WaitStatus::Exited(_, 0) => return Ok(()),
            WaitStatus::Stopped(..) => {}
            other => fail!("the child process ended with {other:?}"),
        }
    }
}

/// Skips the system call that `pid` is about to make if it is a yield with the argument [`MARK`].
#[cfg(target_arch = "x86_64")]
fn skip_marked(pid: nix::unistd::Pid) -> Result<()> {
    let mut regs = ptrace::getregs(pid)?;
    // On entry the result is preset; on the way out it is the call's.
    let entry = regs.rax == u64::from(libc::ENOSYS as u32).wrapping_neg();
    if entry && regs.orig_rax == NR_RSEQ_SLICE_YIELD as u64 && regs.rdi == u64::from(MARK) {
        regs.orig_rax = u64::MAX;
        ptrace::setregs(pid, regs)?;
    }
    Ok(())
}

/// Skips the system call that `pid` is about to make if it is a yield with the argument [`MARK`].
#[cfg(not(target_arch = "x86_64"))]
fn skip_marked(_: nix::unistd::Pid) -> Result<()> {
    Err(crate::case::Skip("knows no registers of this architecture".into()).into())
}
