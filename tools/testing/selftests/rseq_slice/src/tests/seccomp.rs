// SPDX-License-Identifier: GPL-2.0

//! A filter that kills for the yield: the grant has ended before, and any call that the filter allows
//! ends a grant without harm.

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use rseq_slice::Layout;
use rseq_slice::abi::NR_RSEQ_SLICE_YIELD;

use crate::case::{Needs, Test, both};
use crate::kernel::Kernel;
use crate::support::{
    CPU, Ledger, Rival, Scene, Tally, ensure_dies, ensure_fine, filter, null_call, yield_call,
};

pub(crate) const TESTS: &[Test] = &[
    both("seccomp.kill_at_yield", Needs::On, kill_at_yield),
    both("seccomp.allowed_call", Needs::On, allowed_call),
];

/// A scene whose thread must not yield, with a grant.
fn forbidden(layout: Layout) -> Result<(Scene, Rival)> {
    let scene = Scene::new(layout)?;
    let rival = Rival::new(CPU)?;
    filter(NR_RSEQ_SLICE_YIELD, None, libc::SECCOMP_RET_KILL_PROCESS)?;
    scene.obtain(&rival)?;
    Ok((scene, rival))
}

fn kill_at_yield(_: &Kernel, layout: Layout) -> Result<()> {
    let ledger = Ledger::open()?;
    ensure_dies(Signal::SIGSYS, || {
        let _forbidden = forbidden(layout)?;
        yield_call();
        Ok(())
    })?;
    ledger.ensure(Tally::yields(1))
}

fn allowed_call(_: &Kernel, layout: Layout) -> Result<()> {
    let ledger = Ledger::open()?;
    ensure_fine(|| {
        let (scene, rival) = forbidden(layout)?;
        null_call();
        ensure!(scene.word() == 0 && rival.runs() == 1);
        Ok(())
    })?;
    ledger.ensure(Tally::aborts(1))
}
