// SPDX-License-Identifier: GPL-2.0

//! rseq(2): which lengths, alignments and flags it takes, and what it leaves in the area.

use anyhow::{Context, Result};
use nix::sys::mman::ProtFlags;
use rseq_slice_harness::abi::{
    AREA_LEN, LEGACY_LEN, MIN_LEN, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON, RSEQ_FLAG_UNREGISTER, SIGNATURE,
};
use rseq_slice_harness::{Area, Counters, Layout, Registration, layout, set_layout, sys};

use crate::case::{Needs, Test, both, once};
use crate::check::check;
use crate::env::Env;
use crate::support::{
    CPU, Competitor, CounterDelta, Page, Seen, Setup, be_on, ensure_fresh, flags,
};

pub(crate) const TESTS: &[Test] = &[
    once(
        "short_length_is_invalid",
        Needs::Nothing,
        short_length_is_invalid,
    ),
    once(
        "misaligned_area_is_invalid",
        Needs::Nothing,
        misaligned_area_is_invalid,
    ),
    once(
        "unknown_flag_is_invalid",
        Needs::Nothing,
        unknown_flag_is_invalid,
    ),
    once(
        "second_one_changes_nothing",
        Needs::Nothing,
        second_one_changes_nothing,
    ),
    once(
        "unwritable_memory_is_efault",
        Needs::Nothing,
        unwritable_memory_is_efault,
    ),
    once(
        "leaves_legacy_area_alone",
        Needs::Nothing,
        leaves_legacy_area_alone,
    ),
    once("says_available", Needs::Enabled, says_available),
    once("default_on_enables", Needs::On, default_on_enables),
    both("end_forgets_mode", Needs::On, end_forgets_mode),
];

const PATTERN: u32 = 0xa5a5_a501;

/// Returns the errno, or 0.
fn rseq(area: *const Area, len: u32, flags: u32) -> i32 {
    // SAFETY: The pages of these tests are never freed.
    match unsafe { sys::rseq(area, len, flags, SIGNATURE) } {
        Ok(()) => 0,
        Err(error) => error.raw_os_error().unwrap_or(-1),
    }
}

#[track_caller]
fn ensure_registers(area: *const Area, len: u32, expected: i32) -> Result<()> {
    let errno = rseq(area, len, 0);
    check!(
        errno == expected,
        "length {len} at {area:p}: errno {errno}, not {expected}"
    );
    if errno == 0 {
        let other = rseq(area, len + 1, RSEQ_FLAG_UNREGISTER);
        check!(
            other == libc::EINVAL,
            "unregistered with another length than {len}: {other}"
        );
        check!(
            rseq(area, len, RSEQ_FLAG_UNREGISTER) == 0,
            "cannot unregister length {len}"
        );
    }
    Ok(())
}

fn short_length_is_invalid(_: Env) -> Result<()> {
    let page = Page::new()?;
    for len in [0, 1, 20, 31] {
        ensure_registers(page.area().as_ptr(), len, libc::EINVAL)?;
    }
    for len in [LEGACY_LEN, MIN_LEN, 34, 63, AREA_LEN, 65, 128, 4096] {
        ensure_registers(page.area().as_ptr(), len, 0)?;
    }
    Ok(())
}

fn misaligned_area_is_invalid(_: Env) -> Result<()> {
    let page = Page::new()?;
    for (offset, len, expected) in [
        (16, LEGACY_LEN, libc::EINVAL),
        (32, LEGACY_LEN, 0),
        (64, LEGACY_LEN, 0),
        (32, MIN_LEN, libc::EINVAL),
        (32, AREA_LEN, libc::EINVAL),
        (96, AREA_LEN, libc::EINVAL),
        (64, MIN_LEN, 0),
        (64, AREA_LEN, 0),
        (192, AREA_LEN, 0),
    ] {
        ensure_registers(page.area_at(offset).as_ptr(), len, expected)?;
    }
    Ok(())
}

fn unknown_flag_is_invalid(_: Env) -> Result<()> {
    let area = Page::new()?.area().as_ptr();
    for bit in 2..31 {
        let errno = rseq(area, AREA_LEN, 1 << bit);
        check!(errno == libc::EINVAL, "flag {bit}: errno {errno}");
    }
    check!(rseq(area, AREA_LEN, RSEQ_FLAG_UNREGISTER) == libc::EINVAL);
    check!(rseq(area, AREA_LEN, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON) == 0);
    let with_unregister = RSEQ_FLAG_UNREGISTER | RSEQ_FLAG_SLICE_EXT_DEFAULT_ON;
    check!(rseq(area, AREA_LEN, with_unregister) == libc::EINVAL);
    check!(rseq(area, AREA_LEN, RSEQ_FLAG_UNREGISTER) == 0);
    Ok(())
}

/// A second registration changes nothing, whatever flags it comes with.
fn second_one_changes_nothing(_: Env) -> Result<()> {
    let page = Page::new()?;
    let area = page.area().as_ptr();
    let registration = page.register()?;
    let before = registration.area().flags();
    check!(rseq(area, AREA_LEN, 0) == libc::EBUSY);
    check!(rseq(area, AREA_LEN, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON) == libc::EBUSY);
    check!(rseq(page.area_at(64).as_ptr(), AREA_LEN, 0) == libc::EINVAL);
    // SAFETY: The page is never freed.
    let other_signature = unsafe { sys::rseq(area, AREA_LEN, 0, SIGNATURE + 1) };
    check!(other_signature.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM)));
    check!(registration.area().flags() == before);
    check!(layout()?.is_none());
    Ok(())
}

/// Memory that cannot be written is refused, and nothing is registered then.
fn unwritable_memory_is_efault(_: Env) -> Result<()> {
    let page = Page::new()?;
    for prot in [ProtFlags::PROT_NONE, ProtFlags::PROT_READ] {
        page.protect(prot)?;
        check!(rseq(page.area().as_ptr(), AREA_LEN, 0) == libc::EFAULT);
    }
    let kernel_address = std::ptr::without_provenance(!0 << 12);
    check!(rseq(kernel_address, AREA_LEN, 0) == libc::EFAULT);
    page.protect(ProtFlags::PROT_READ | ProtFlags::PROT_WRITE)?;
    ensure_registers(page.area().as_ptr(), AREA_LEN, 0)
}

/// What follows the first 28 bytes is not the kernel's in a legacy area.
fn leaves_legacy_area_alone(env: Env) -> Result<()> {
    be_on(env, CPU)?;
    let competitor = Competitor::new(env, CPU)?;
    for flags in [0, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON] {
        let area = Page::new()?.area();
        // SAFETY: The page is never freed and holds an area of zeros.
        let legacy = unsafe { area.as_ref() };
        legacy.set_slice_ctrl(PATTERN);
        legacy.set_flags(!0);
        // SAFETY: The page is never freed.
        let registration = unsafe { Registration::at(area, LEGACY_LEN, flags) }?;
        check!(
            legacy.flags() == 0,
            "flags of a legacy area: {:#x}",
            legacy.flags()
        );
        check!(layout()?.is_none());

        let delta = CounterDelta::start()?;
        let runs = competitor.runs();
        competitor.wake_soon()?;
        competitor.ensure_runs(runs + 1)?;
        check!(
            legacy.slice_ctrl() == PATTERN,
            "the word is {:#x}",
            legacy.slice_ctrl()
        );
        check!(legacy.flags() == 0);
        delta.ensure(Counters::NOTHING)?;
        registration.unregister()?;
        check!(legacy.slice_ctrl() == PATTERN);
    }
    Ok(())
}

fn says_available(_: Env) -> Result<()> {
    for len in [MIN_LEN, AREA_LEN] {
        let area = Page::new()?.area();
        // SAFETY: The page is never freed and holds an area of zeros.
        let fields = unsafe { area.as_ref() };
        fields.set_slice_ctrl(PATTERN);
        fields.set_flags(!0);
        // SAFETY: The page is never freed.
        let registration = unsafe { Registration::at(area, len, 0) }?;
        check!(
            fields.flags() == flags(false),
            "flags {:#x} with length {len}",
            fields.flags()
        );
        check!(
            fields.slice_ctrl() == 0,
            "the word is {:#x}",
            fields.slice_ctrl()
        );
        check!(layout()?.is_none());
        drop(registration);
    }
    Ok(())
}

/// The registration can enable the BYTES layout, so that no prctl is needed.
fn default_on_enables(env: Env) -> Result<()> {
    be_on(env, CPU)?;
    let competitor = Competitor::new(env, CPU)?;
    let registration = Registration::with_flags(RSEQ_FLAG_SLICE_EXT_DEFAULT_ON)?;
    check!(registration.area().flags() == flags(true));
    check!(layout()? == Some(Layout::Bytes));

    let setup = Setup::enabled(env, registration, Layout::Bytes);
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    delta.ensure(Counters::yields(1))?;

    set_layout(None).context("switching off what the registration switched on")?;
    check!(setup.area().flags() == flags(false));
    check!(setup.ask(&competitor)? == Seen::Erased);
    delta.ensure(Counters::yields(1))
}

fn end_forgets_mode(_: Env, wanted: Layout) -> Result<()> {
    for flag in [0, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON] {
        let registration = Registration::with_flags(flag)?;
        set_layout(Some(wanted))?;
        registration.unregister()?;
        ensure_fresh()?;
        let registration = Registration::new()?;
        check!(layout()?.is_none());
        check!(registration.area().flags() == flags(false));
    }
    Ok(())
}
