// SPDX-License-Identifier: GPL-2.0

//! prctl(PR_RSEQ_SLICE_EXTENSION): which arguments it takes, in which order it complains, and
//! between which settings it goes.

use std::ffi::c_long;

use anyhow::Result;
use rseq_slice_harness::abi::{
    ENOTSUPP, LEGACY_LEN, PR_RSEQ_SLICE_EXT_BITS, PR_RSEQ_SLICE_EXT_ENABLE,
    PR_RSEQ_SLICE_EXTENSION, PR_RSEQ_SLICE_EXTENSION_GET as GET,
    PR_RSEQ_SLICE_EXTENSION_SET as SET, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON,
};
use rseq_slice_harness::{Layout, Registration, layout, set_layout, sys};

use crate::case::{Needs, Test, both, once};
use crate::check::check;
use crate::env::Env;
use crate::support::{Page, flags};

pub(crate) const TESTS: &[Test] = &[
    once(
        "bad_argument_is_invalid",
        Needs::Nothing,
        bad_argument_is_invalid,
    ),
    once("needs_a_full_area", Needs::Enabled, needs_a_full_area),
    once("two_is_invalid", Needs::Enabled, two_is_invalid),
    both(
        "get_returns_what_is_set",
        Needs::Enabled,
        get_returns_what_is_set,
    ),
    both(
        "setting_the_same_does_nothing",
        Needs::Enabled,
        setting_the_same_does_nothing,
    ),
    both("leaves_word_alone", Needs::Enabled, leaves_word_alone),
    once(
        "change_of_layout_erases_word.bits",
        Needs::Enabled,
        change_of_layout_erases_word,
    ),
];

const ENABLE: c_long = PR_RSEQ_SLICE_EXT_ENABLE;
const BITS: c_long = PR_RSEQ_SLICE_EXT_BITS;
const WIDE: c_long = 1 << 32;

/// The result, or the negative errno.
fn prctl(args: [c_long; 4]) -> c_long {
    match sys::prctl_slice_extension(args) {
        Ok(value) => value,
        Err(error) => -c_long::from(error.raw_os_error().unwrap_or(i32::MAX)),
    }
}

#[track_caller]
fn ensure_all(args: &[[c_long; 4]], expected: i32) -> Result<()> {
    for &args in args {
        let result = prctl(args);
        check!(
            result == -c_long::from(expected),
            "{args:?} returned {result}, not -{expected}"
        );
    }
    Ok(())
}

/// What is wrong with the arguments alone comes first, in whatever state the thread is.
fn bad_argument_is_invalid(_: Env) -> Result<()> {
    let bad = [
        [0, 0, 0, 0],
        [3, 0, 0, 0],
        [-1, 0, 0, 0],
        [GET | WIDE, 0, 0, 0],
        [SET | WIDE, ENABLE, 0, 0],
        [GET, 1, 0, 0],
        [GET, WIDE, 0, 0],
        [GET, -1, 0, 0],
        [GET, 0, 1, 0],
        [GET, 0, 0, 1],
        [GET, 0, WIDE, 0],
        [GET, 0, 0, WIDE],
        [SET, ENABLE, 1, 0],
        [SET, ENABLE, 0, 1],
        [SET, 0, WIDE, 0],
        [SET, BITS, 0, 0],
        [SET, 4, 0, 0],
        [SET, 4 | ENABLE, 0, 0],
        [SET, 0x100 | ENABLE, 0, 0],
        [SET, WIDE, 0, 0],
        [SET, WIDE | ENABLE, 0, 0],
        [SET, -1, 0, 0],
    ];
    ensure_all(&bad, libc::EINVAL)?;
    let page = Page::new()?;
    // SAFETY: The page is never freed.
    let legacy = unsafe { Registration::at(page.area(), LEGACY_LEN, 0) }?;
    ensure_all(&bad, libc::EINVAL)?;
    legacy.unregister()?;
    for flags in [0, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON] {
        let registration = Registration::with_flags(flags)?;
        let before = registration.area().flags();
        ensure_all(&bad, libc::EINVAL)?;
        check!(registration.area().flags() == before);
        registration.unregister()?;
    }
    Ok(())
}

/// No area: ENXIO. Legacy area: 524. The option itself is an int.
fn needs_a_full_area(_: Env) -> Result<()> {
    let off_and_on = [[SET, 0, 0, 0], [SET, ENABLE, 0, 0]];
    check!(prctl([GET, 0, 0, 0]) == 0);
    ensure_all(&off_and_on, libc::ENXIO)?;

    let page = Page::new()?;
    // SAFETY: The page is never freed.
    let legacy = unsafe { Registration::at(page.area(), LEGACY_LEN, 0) }?;
    check!(prctl([GET, 0, 0, 0]) == 0);
    ensure_all(&off_and_on, ENOTSUPP)?;
    legacy.unregister()?;
    ensure_all(&off_and_on, libc::ENXIO)?;

    let registration = Registration::new()?;
    ensure_all(&off_and_on, 0)?;
    let option = PR_RSEQ_SLICE_EXTENSION | WIDE;
    // SAFETY: No argument of this operation is a pointer.
    let result = unsafe { libc::syscall(libc::SYS_prctl, option, GET, 0, 0, 0) };
    check!(result == ENABLE);
    registration.unregister()?;
    check!(prctl([GET, 0, 0, 0]) == 0);
    ensure_all(&off_and_on, libc::ENXIO)
}

/// The bit of the BITS layout means nothing alone, which the state of the thread does not change.
fn two_is_invalid(_: Env) -> Result<()> {
    let registration = Registration::new()?;
    for mode in [None, Some(Layout::Bytes), None] {
        set_layout(mode)?;
        ensure_all(&[[SET, BITS, 0, 0]], libc::EINVAL)?;
        check!(layout()? == mode);
        check!(registration.area().flags() == flags(mode.is_some()));
    }
    Ok(())
}

fn get_returns_what_is_set(_: Env, wanted: Layout) -> Result<()> {
    let registration = Registration::new()?;
    let value = match wanted {
        Layout::Bytes => ENABLE,
        Layout::Bits => ENABLE | BITS,
    };
    for _ in 0..2 {
        check!(prctl([SET, value, 0, 0]) == 0);
        check!(prctl([GET, 0, 0, 0]) == value);
        check!(registration.area().flags() == flags(true));
        check!(prctl([SET, 0, 0, 0]) == 0);
        check!(prctl([GET, 0, 0, 0]) == 0);
        check!(registration.area().flags() == flags(false));
    }
    Ok(())
}

/// Setting what is set does nothing: the flags are neither looked at nor written.
fn setting_the_same_does_nothing(_: Env, wanted: Layout) -> Result<()> {
    let registration = Registration::new()?;
    for mode in [Some(wanted), None] {
        set_layout(mode)?;
        let good = registration.area().flags();
        registration.area().set_flags(0x8000_0000);
        set_layout(mode)?;
        check!(registration.area().flags() == 0x8000_0000);
        check!(layout()? == mode);
        registration.area().set_flags(good);
    }
    Ok(())
}

/// Switching off, and on in the BYTES layout, do not change the control word.
fn leaves_word_alone(_: Env, wanted: Layout) -> Result<()> {
    let registration = Registration::new()?;
    let area = registration.area();
    set_layout(Some(wanted))?;
    // Nothing but a request, which no consistency check rejects.
    area.set_slice_ctrl(1);
    set_layout(Some(wanted))?;
    set_layout(None)?;
    check!(area.slice_ctrl() == 1);
    set_layout(Some(Layout::Bytes))?;
    check!(area.slice_ctrl() == 1);
    Ok(())
}

/// The two layouts are two settings. A word of one means nothing in the other.
fn change_of_layout_erases_word(_: Env) -> Result<()> {
    let registration = Registration::new()?;
    let area = registration.area();
    set_layout(Some(Layout::Bytes))?;
    for mode in [Layout::Bits, Layout::Bytes, Layout::Bits] {
        area.set_slice_ctrl(1);
        set_layout(Some(mode))?;
        check!(layout()? == Some(mode));
        check!(
            area.slice_ctrl() == 0,
            "the word survived the change to {mode:?}"
        );
        check!(area.flags() == flags(true));
    }
    set_layout(None)?;
    check!(area.flags() == flags(false));
    set_layout(Some(Layout::Bytes))?;
    check!(
        layout()? == Some(Layout::Bytes),
        "the layout was kept while off"
    );
    registration.unregister()?;
    let registration = Registration::with_flags(RSEQ_FLAG_SLICE_EXT_DEFAULT_ON)?;
    check!(layout()? == Some(Layout::Bytes));
    drop(registration);
    Ok(())
}
