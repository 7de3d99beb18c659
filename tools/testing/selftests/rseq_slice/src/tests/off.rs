// SPDX-License-Identifier: GPL-2.0

//! A kernel booted with `rseq_slice_ext=0` behaves as if the extension did not exist.

use anyhow::{Result, ensure};
use rseq_slice::abi::{
    PR_RSEQ_SLICE_EXTENSION_GET, PR_RSEQ_SLICE_EXTENSION_SET, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON,
};
use rseq_slice::{Layout, Registration, SliceError, layout, set_layout, sys};

use crate::case::{Needs, Test, once};
use crate::kernel::Kernel;
use crate::support::{CPU, Ledger, Page, Rival, Tally, be_on, requested};

pub(crate) const TESTS: &[Test] = &[
    once("off.flags_stay_zero", Needs::Off, flags_stay_zero).alone(),
    once("off.prctl", Needs::Off, prctl).alone(),
    once("off.yield_returns_0", Needs::Off, yield_returns_0).alone(),
    once("off.no_grant_no_store", Needs::Off, no_grant_no_store).alone(),
];

fn flags_stay_zero(_: &Kernel) -> Result<()> {
    for flags in [0, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON] {
        let registration = Registration::with_flags(flags)?;
        ensure!(registration.area().flags() == 0);
        ensure!(layout()?.is_none());
        registration.unregister()?;
    }
    Ok(())
}

/// Bad arguments are EINVAL all the same; good ones are not supported, registered or not.
fn prctl(_: &Kernel) -> Result<()> {
    let errno = |args| {
        sys::prctl_slice_extension(args)
            .err()
            .and_then(|error| error.raw_os_error())
    };
    let unsupported = || -> Result<()> {
        for choice in [None, Some(Layout::Bytes)] {
            let result = set_layout(choice);
            ensure!(
                matches!(result, Err(SliceError::NotSupported)),
                "{choice:?}: {result:?}"
            );
        }
        ensure!(layout()?.is_none());
        ensure!(errno([PR_RSEQ_SLICE_EXTENSION_GET, 1, 0, 0]) == Some(libc::EINVAL));
        ensure!(errno([PR_RSEQ_SLICE_EXTENSION_SET, 2, 0, 0]) == Some(libc::EINVAL));
        ensure!(errno([PR_RSEQ_SLICE_EXTENSION_SET, 1, 1, 0]) == Some(libc::EINVAL));
        ensure!(errno([0, 0, 0, 0]) == Some(libc::EINVAL));
        Ok(())
    };
    unsupported()?;
    let registration = Page::new()?.register()?;
    unsupported()?;
    drop(registration);
    Ok(())
}

fn yield_returns_0(_: &Kernel) -> Result<()> {
    ensure!(sys::rseq_slice_yield()? == 0);
    let registration = Registration::with_flags(RSEQ_FLAG_SLICE_EXT_DEFAULT_ON)?;
    ensure!(sys::rseq_slice_yield()? == 0);
    drop(registration);
    Ok(())
}

/// A request is no more than a word in the thread's memory, even while it is scheduled out.
fn no_grant_no_store(_: &Kernel) -> Result<()> {
    be_on(CPU)?;
    let rival = Rival::new(CPU)?;
    let registration = Registration::with_flags(RSEQ_FLAG_SLICE_EXT_DEFAULT_ON)?;
    let area = registration.area();
    let ledger = Ledger::open()?;
    for word in [requested(Layout::Bytes), requested(Layout::Bits), !0] {
        let runs = rival.runs();
        rival.wake_soon()?;
        area.set_slice_ctrl(word);
        rival.ensure_runs(runs + 1)?;
        ensure!(
            area.slice_ctrl() == word,
            "{word:#x} became {:#x}",
            area.slice_ctrl()
        );
    }
    ledger.ensure(Tally::NOTHING)
}
