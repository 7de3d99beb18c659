// SPDX-License-Identifier: GPL-2.0

//! The kernel cannot reach the control word: the process dies of it, and nobody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use nix::sys::mman::ProtFlags;
use nix::sys::signal::Signal;
use rseq_slice::{Layout, set_extension_length, sys};

use crate::case::{Needs, Test, both};
use crate::kernel::Kernel;
use crate::support::{
    CPU, Due, Ledger, PATIENCE, Page, Remote, Rival, Scene, Tally, be_on, ensure_dies, null_call,
    soon, spin, spin_while, yield_call,
};

pub(crate) const TESTS: &[Test] = &[
    both("fault.at_grant", Needs::On, at_grant),
    both("fault.without_request", Needs::On, without_request),
    both("fault.at_expiry", Needs::OnTwoCpus, at_expiry),
    both("fault.at_revocation", Needs::OnTwoCpus, at_revocation),
    both("fault.at_yield", Needs::OnTwoCpus, |_, layout| {
        at_call(layout, yield_call)
    }),
    both("fault.at_other_call", Needs::OnTwoCpus, |_, layout| {
        at_call(layout, null_call)
    }),
];

const DENIED: [ProtFlags; 2] = [ProtFlags::PROT_NONE, ProtFlags::PROT_READ];

/// Somebody else still gets what he asks for.
fn others_unhurt(layout: Layout) -> Result<()> {
    let scene = Scene::new(layout)?;
    let rival = Rival::new(CPU)?;
    scene.obtain(&rival)?;
    ensure!(sys::rseq_slice_yield()? == 1);
    Ok(())
}

fn on_page(layout: Layout) -> Result<(Page, Scene)> {
    be_on(CPU)?;
    let page = Page::new()?;
    let scene = Scene::with(page.register()?, layout)?;
    Ok((page, scene))
}

/// A reschedule is due while the page is gone. With a request in it that can still be read, the
/// decision itself faults.
fn at_grant(_: &Kernel, layout: Layout) -> Result<()> {
    let ledger = Ledger::open()?;
    for prot in [None, Some(DENIED[0]), Some(DENIED[1])] {
        ensure_dies(Signal::SIGSEGV, || {
            let (page, scene) = on_page(layout)?;
            let rival = Rival::new(CPU)?;
            rival.wake_in(100_000)?;
            scene.request();
            prot.map_or_else(|| page.unmap(), |prot| page.protect(prot))?;
            spin(PATIENCE);
            Ok(())
        })?;
    }
    ledger.ensure(Tally::NOTHING)?;
    others_unhurt(layout)
}

fn without_request(_: &Kernel, layout: Layout) -> Result<()> {
    let ledger = Ledger::open()?;
    for prot in DENIED {
        ensure_dies(Signal::SIGSEGV, || {
            let (page, _scene) = on_page(layout)?;
            let rival = Rival::new(CPU)?;
            rival.wake_in(100_000)?;
            page.protect(prot)?;
            spin(PATIENCE);
            Ok(())
        })?;
    }
    ledger.ensure(Tally::NOTHING)?;
    others_unhurt(layout)
}

/// Gets a grant and has the page protected by the other CPU while that is live. Returns once the
/// page is protected; nothing may touch it then.
fn protect_in_grant(
    layout: Layout,
    prot: ProtFlags,
    also: impl FnOnce(u64) -> Result<()>,
) -> Result<Scene> {
    let (page, scene) = on_page(layout)?;
    let rival = Rival::new(CPU)?;
    let done = Arc::new(AtomicBool::new(false));
    let remote_done = Arc::clone(&done);
    let remote = Remote::ready(move || {
        page.protect(prot)?;
        remote_done.store(true, Ordering::Release);
        Ok(())
    })?;
    let due = soon()?;
    also(due)?;
    scene.obtain_at(due, &rival)?;
    remote.go();
    spin_while(PATIENCE, || !done.load(Ordering::Acquire));
    // The rival's timer and thread have to stay.
    std::mem::forget((rival, remote));
    Ok(scene)
}

/// One grant, which ended somehow: how is the kernel's business, if only it is counted.
fn ensure_one(ledger: &Ledger, expired: Option<u64>) -> Result<()> {
    let tally = ledger.tally()?;
    ensure!(tally.granted == 1 && tally.adds_up(), "{tally:?}");
    ensure!(
        expired.is_none_or(|expired| tally.expired == expired),
        "{tally:?}"
    );
    Ok(())
}

fn at_expiry(_: &Kernel, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    for prot in DENIED {
        let ledger = Ledger::open()?;
        ensure_dies(Signal::SIGSEGV, || {
            let _scene = protect_in_grant(layout, prot, |_| Ok(()))?;
            spin(PATIENCE);
            Ok(())
        })?;
        ensure_one(&ledger, Some(1))?;
    }
    others_unhurt(layout)
}

fn at_revocation(_: &Kernel, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    for prot in DENIED {
        let ledger = Ledger::open()?;
        ensure_dies(Signal::SIGSEGV, || {
            let second = Rival::new(CPU)?;
            let _scene = protect_in_grant(layout, prot, |due| second.wake(Due::At(due + 40_000)))?;
            spin(PATIENCE);
            Ok(())
        })?;
        ensure_one(&ledger, Some(0))?;
    }
    others_unhurt(layout)
}

fn at_call(layout: Layout, call: fn()) -> Result<()> {
    set_extension_length(50_000)?;
    for prot in DENIED {
        let ledger = Ledger::open()?;
        ensure_dies(Signal::SIGSEGV, || {
            let _scene = protect_in_grant(layout, prot, |_| Ok(()))?;
            call();
            // SAFETY: Ends the process, should it still be there, without touching the page.
            unsafe { libc::_exit(0) }
        })?;
        ensure_one(&ledger, Some(0))?;
    }
    others_unhurt(layout)
}
