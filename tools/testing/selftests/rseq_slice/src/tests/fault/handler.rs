// SPDX-License-Identifier: GPL-2.0

//! Handlers of the SIGSEGV that a thread gets whose control word cannot be written when its grant
//! expires. The word is written again when the thread runs again, before the handler does: it gets
//! there only if the signal is not blocked in it.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use nix::sys::mman::ProtFlags;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use rseq_slice_harness::clock::spin;
use rseq_slice_harness::{Implementation, Layout, set_extension_length, sys};

use crate::case::Disturbance::{KernelThreads, Load};
use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::ktap::diagnose;
use crate::support::{
    CPU, Competitor, PATIENCE, Page, Remote, Setup, be_on, ensure_dies, ensure_fine, grant_word,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "blocked_in_handler_kills",
        Needs::OnTwoCpus,
        |env, layout| {
            ensure_dies(Signal::SIGSEGV, || {
                expire_unwritable(env, layout, SaFlags::empty()).map(drop)
            })
        },
    )
    .tolerates(&[Load, KernelThreads]),
    both(
        "unblocked_in_handler_runs_it",
        Needs::OnTwoCpus,
        unblocked_in_handler_runs_it,
    )
    .tolerates(&[Load]),
];

static PAGE: AtomicUsize = AtomicUsize::new(0);
static HITS: AtomicUsize = AtomicUsize::new(0);

/// Makes the page writable again.
extern "C" fn repair(_signal: i32) {
    HITS.fetch_add(1, Ordering::Relaxed);
    let page = ptr::with_exposed_provenance_mut(PAGE.load(Ordering::Relaxed));
    let writable = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: The page of the area gets the protection that it had.
    let _ = unsafe { sys::mprotect(page, Page::SIZE as usize, writable) };
}

/// Has the page become read-only in a grant, which then expires. Returns how often the handler ran,
/// and what is in the word then.
fn expire_unwritable(env: Env, layout: Layout, flags: SaFlags) -> Result<(usize, u32)> {
    set_extension_length(50_000)?;
    be_on(env, CPU)?;
    let page = Page::new()?;
    PAGE.store(page.area().as_ptr().addr(), Ordering::Relaxed);
    let action = SigAction::new(SigHandler::Handler(repair), flags, SigSet::empty());
    // SAFETY: The handler makes a system call and touches nothing but atomics.
    unsafe { sigaction(Signal::SIGSEGV, &action) }?;
    let setup = Setup::with(env, page.register()?, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let remote = Remote::ready(move || page.protect(ProtFlags::PROT_READ))?;
    setup.obtain(&competitor)?;
    remote.go();
    spin(PATIENCE);
    let word = setup.word();
    remote.join()?;
    check!(competitor.runs() == 1);
    Ok((HITS.load(Ordering::Relaxed), word))
}

/// The handler runs, and the word still shows the grant that has ended: nobody could write it. Where
/// the first system call of the handler is checked that is a violation, and it runs once more. On C
/// the grant has not ended, and a handler does not help.
fn unblocked_in_handler_runs_it(env: Env, layout: Layout) -> Result<()> {
    let body = || {
        let (runs, word) = expire_unwritable(env, layout, SaFlags::SA_NODEFER)?;
        diagnose(format_args!(
            "the handler ran {runs} times, the word is {word:#x}"
        ));
        let expected = match layout {
            Layout::Bytes if !env.kernel.debug => 2,
            Layout::Bytes | Layout::Bits => 3,
        };
        check!(runs == expected);
        check!(word == grant_word(layout));
        Ok(())
    };
    match env.kernel.implementation() {
        Implementation::Rust => ensure_fine(body),
        Implementation::C => ensure_dies(Signal::SIGSEGV, body),
    }
}
