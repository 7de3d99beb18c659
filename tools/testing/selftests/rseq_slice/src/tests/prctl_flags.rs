// SPDX-License-Identifier: GPL-2.0

//! prctl(PR_RSEQ_SLICE_EXTENSION) on an area whose flags are not what the kernel stored, or cannot be
//! reached.

use anyhow::Result;
use nix::sys::mman::ProtFlags;
use nix::sys::signal::Signal;
use rseq_slice_harness::{Layout, Registration, SliceError, layout, set_layout};

use crate::case::{Needs, Test, both, once};
use crate::check::check;
use crate::env::Env;
use crate::support::{Page, ensure_dies, ensure_fine, flags, handle, hits};

pub(crate) const TESTS: &[Test] = &[
    both("violation_kills", Needs::Enabled, violation_kills),
    both("other_bits_stay", Needs::Enabled, other_bits_stay),
    both("survivor_sees_efault", Needs::Enabled, survivor_sees_efault),
    both("no_access_kills", Needs::Enabled, no_access_kills),
    once(
        "change_of_layout_checks_flags.bits",
        Needs::Enabled,
        change_of_layout_checks_flags,
    ),
];

/// Goes from one setting to another with `word` stored in the flags in between.
fn change(from: Option<Layout>, to: Option<Layout>, word: u32) -> Result<u32> {
    let registration = Registration::new()?;
    set_layout(from)?;
    registration.area().set_flags(word);
    set_layout(to)?;
    Ok(registration.area().flags())
}

/// Expects the same change to kill when the flags can be read only, or not even that.
#[track_caller]
fn ensure_dies_without_access(from: Option<Layout>, to: Option<Layout>) -> Result<()> {
    for prot in [ProtFlags::PROT_NONE, ProtFlags::PROT_READ] {
        ensure_dies(Signal::SIGSEGV, || {
            let page = Page::new()?;
            let _registration = page.register()?;
            set_layout(from)?;
            page.protect(prot)?;
            Ok(set_layout(to)?)
        })?;
    }
    Ok(())
}

fn violation_kills(_: Env, wanted: Layout) -> Result<()> {
    let on = Some(wanted);
    for (from, to, word) in [
        (None, on, 0),
        (None, on, flags(true) & !flags(false)),
        (None, on, !flags(false)),
        (on, None, 0),
        (on, None, flags(false)),
        (on, None, flags(true) & !flags(false)),
    ] {
        ensure_dies(Signal::SIGSEGV, || change(from, to, word).map(drop))?;
    }
    Ok(())
}

/// Undefined bits survive, and a forged "enabled" is not detected while the extension is off.
fn other_bits_stay(_: Env, wanted: Layout) -> Result<()> {
    let on = Some(wanted);
    let others = !flags(true);
    check!(change(None, on, flags(false) | others)? == !0);
    check!(change(on, None, !0)? == flags(false) | others);
    check!(change(None, on, flags(true))? == flags(true));
    Ok(())
}

/// A thread that handles the signal finds the setting unchanged.
fn survivor_sees_efault(_: Env, wanted: Layout) -> Result<()> {
    let faults = |result| matches!(result, Err(SliceError::Os(error)) if error.raw_os_error() == Some(libc::EFAULT));
    handle(Signal::SIGSEGV)?;
    let registration = Registration::new()?;
    registration.area().set_flags(0);
    check!(faults(set_layout(Some(wanted))));
    check!(hits() == 1);
    check!(layout()?.is_none());
    check!(registration.area().flags() == 0);

    registration.area().set_flags(flags(false));
    set_layout(Some(wanted))?;
    registration.area().set_flags(flags(false));
    check!(faults(set_layout(None)));
    check!(hits() == 2);
    check!(layout()? == Some(wanted));
    Ok(())
}

fn no_access_kills(_: Env, wanted: Layout) -> Result<()> {
    for (from, to) in [(None, Some(wanted)), (Some(wanted), None)] {
        ensure_dies_without_access(from, to)?;
    }
    Ok(())
}

/// The change from one layout to the other looks at the flags like every change.
fn change_of_layout_checks_flags(_: Env) -> Result<()> {
    let (bytes, bits) = (Some(Layout::Bytes), Some(Layout::Bits));
    for (from, to) in [(bytes, bits), (bits, bytes)] {
        ensure_fine(|| change(from, to, flags(true)).map(drop))?;
        for word in [0, flags(false)] {
            ensure_dies(Signal::SIGSEGV, || change(from, to, word).map(drop))?;
        }
        ensure_dies_without_access(from, to)?;
    }
    Ok(())
}
