// SPDX-License-Identifier: GPL-2.0

//! Filters are asked after a call has ended the grant: one that kills for the yield kills, any call that
//! it allows ends a grant without harm, and one that comes while the CPU is given up comes too late.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use rseq_slice_harness::abi::NR_RSEQ_SLICE_YIELD;
use rseq_slice_harness::seccomp::Filter;
use rseq_slice_harness::{Counters, Layout};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::support::{CPU, Ledger, Rival, Scene, ensure_dies, ensure_fine, null_call, yield_call};

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

/// A scene whose thread must not yield, with a grant.
fn forbidden(env: Env, layout: Layout) -> Result<(Scene, Rival)> {
    let scene = Scene::new(env, layout)?;
    let rival = Rival::new(env, CPU)?;
    let filter = Filter {
        number: NR_RSEQ_SLICE_YIELD,
        argument: None,
        action: libc::SECCOMP_RET_KILL_PROCESS,
    };
    filter
        .install()
        .context("no filter: is CONFIG_SECCOMP_FILTER on?")?;
    scene.obtain(&rival)?;
    Ok((scene, rival))
}

fn kills_at_yield(env: Env, layout: Layout) -> Result<()> {
    let ledger = Ledger::open()?;
    ensure_dies(Signal::SIGSYS, || {
        let _forbidden = forbidden(env, layout)?;
        yield_call();
        Ok(())
    })?;
    ledger.ensure(Counters::yields(1))
}

fn allowed_call_ends_grant(env: Env, layout: Layout) -> Result<()> {
    let ledger = Ledger::open()?;
    ensure_fine(|| {
        let (scene, rival) = forbidden(env, layout)?;
        null_call();
        check!(scene.word() == 0);
        check!(rival.runs() == 1);
        Ok(())
    })?;
    ledger.ensure(Counters::aborts(1))
}

fn filter_installed_meanwhile_is_too_late(env: Env, layout: Layout) -> Result<()> {
    /// What no call returns by itself.
    const REFUSED: Errno = Errno::EXDEV;
    let ledger = Ledger::open()?;
    ensure_fine(|| {
        let scene = Scene::new(env, layout)?;
        let filter = Filter {
            number: libc::SYS_getppid,
            argument: None,
            action: libc::SECCOMP_RET_ERRNO | REFUSED as u32,
        };
        let rival = Rival::acting(env, CPU, move || {
            filter
                .install_for_all_threads()
                .expect("a filter for all threads");
        })?;
        scene.obtain(&rival)?;
        let (during, after) = (getppid(), getppid());
        check!(rival.runs() == 1);
        check!(scene.word() == 0);
        check!(during.is_ok(), "the filter was asked: {during:?}");
        check!(after == Err(REFUSED), "the filter was not asked: {after:?}");
        Ok(())
    })?;
    ledger.ensure(Counters::aborts(1))
}

fn getppid() -> Result<libc::c_long, Errno> {
    // SAFETY: The call has no arguments.
    Errno::result(unsafe { libc::syscall(libc::SYS_getppid) })
}
