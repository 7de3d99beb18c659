// SPDX-License-Identifier: GPL-2.0

//! Filters run after a call has ended the grant: one that kills for the yield kills, any call
//! that it allows ends a grant without harm, and one that comes while the CPU is given up comes too
//! late.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use rseq_slice_harness::abi::NR_RSEQ_SLICE_YIELD;
use rseq_slice_harness::seccomp::Filter;
use rseq_slice_harness::{Counters, Layout};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::support::{
    CPU, Competitor, CounterDelta, Setup, ensure_dies, ensure_fine, null_call, yield_call,
};

pub(crate) const TESTS: &[Test] = &[
    both("kills_at_yield", Needs::On, kills_at_yield),
    both(
        "allowed_call_ends_grant",
        Needs::On,
        allowed_call_ends_grant,
    ),
    both(
        "filter_installed_meanwhile_is_too_late",
        Needs::On,
        filter_installed_meanwhile_is_too_late,
    ),
];

/// A setup whose thread must not yield, with a grant.
fn forbidden(env: Env, layout: Layout) -> Result<(Setup, Competitor)> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let filter = Filter {
        number: NR_RSEQ_SLICE_YIELD,
        argument: None,
        action: libc::SECCOMP_RET_KILL_PROCESS,
    };
    filter
        .install()
        .context("no filter: is CONFIG_SECCOMP_FILTER on?")?;
    setup.obtain(&competitor)?;
    Ok((setup, competitor))
}

fn kills_at_yield(env: Env, layout: Layout) -> Result<()> {
    let delta = CounterDelta::start()?;
    ensure_dies(Signal::SIGSYS, || {
        let _forbidden = forbidden(env, layout)?;
        yield_call();
        Ok(())
    })?;
    delta.ensure(Counters::yields(1))
}

fn allowed_call_ends_grant(env: Env, layout: Layout) -> Result<()> {
    let delta = CounterDelta::start()?;
    ensure_fine(|| {
        let (setup, competitor) = forbidden(env, layout)?;
        null_call();
        check!(setup.word() == 0);
        check!(competitor.runs() == 1);
        Ok(())
    })?;
    delta.ensure(Counters::aborts(1))
}

fn filter_installed_meanwhile_is_too_late(env: Env, layout: Layout) -> Result<()> {
    /// What no call returns by itself.
    const REFUSED: Errno = Errno::EXDEV;
    let delta = CounterDelta::start()?;
    ensure_fine(|| {
        let setup = Setup::new(env, layout)?;
        let filter = Filter {
            number: libc::SYS_getppid,
            argument: None,
            action: libc::SECCOMP_RET_ERRNO | REFUSED as u32,
        };
        let competitor = Competitor::acting(env, CPU, move || {
            filter
                .install_for_all_threads()
                .expect("a filter for all threads");
        })?;
        setup.obtain(&competitor)?;
        let (during, after) = (getppid(), getppid());
        check!(competitor.runs() == 1);
        check!(setup.word() == 0);
        check!(during.is_ok(), "the filter ran: {during:?}");
        check!(after == Err(REFUSED), "the filter did not run: {after:?}");
        Ok(())
    })?;
    delta.ensure(Counters::aborts(1))
}

fn getppid() -> Result<libc::c_long, Errno> {
    // SAFETY: The call has no arguments.
    Errno::result(unsafe { libc::syscall(libc::SYS_getppid) })
}
