// SPDX-License-Identifier: GPL-2.0

//! A kernel booted with `rseq_slice_ext=0` behaves as if the extension did not exist.

use anyhow::Result;
use rseq_slice_harness::abi::{
    PR_RSEQ_SLICE_EXTENSION_GET, PR_RSEQ_SLICE_EXTENSION_SET, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON,
};
use rseq_slice_harness::{Counters, Layout, Registration, SliceError, layout, set_layout, sys};

use crate::case::{Needs, Test, once};
use crate::check::check;
use crate::env::Env;
use crate::support::{CounterDelta, ensure_flags_stay_zero, ensure_words_stay};

pub(crate) const TESTS: &[Test] = &[
    once("flags_stay_zero", Needs::Off, flags_stay_zero).tolerates(&[]),
    once("prctl_is_not_supported", Needs::Off, prctl_is_not_supported).tolerates(&[]),
    once("yield_returns_0", Needs::Off, yield_returns_0).tolerates(&[]),
    once("no_grant_no_store", Needs::Off, no_grant_no_store).tolerates(&[]),
];

fn flags_stay_zero(_: Env) -> Result<()> {
    ensure_flags_stay_zero()
}

/// Bad arguments are EINVAL as usual; good ones are ENOTSUPP, with or without a registration.
fn prctl_is_not_supported(_: Env) -> Result<()> {
    let errno = |args| {
        sys::prctl_slice_extension(args)
            .err()
            .and_then(|error| error.raw_os_error())
    };
    let unsupported = || -> Result<()> {
        for mode in [None, Some(Layout::Bytes)] {
            let result = set_layout(mode);
            check!(
                matches!(result, Err(SliceError::NotSupported)),
                "{mode:?}: {result:?}"
            );
        }
        check!(layout()?.is_none());
        check!(errno([PR_RSEQ_SLICE_EXTENSION_GET, 1, 0, 0]) == Some(libc::EINVAL));
        check!(errno([PR_RSEQ_SLICE_EXTENSION_SET, 2, 0, 0]) == Some(libc::EINVAL));
        check!(errno([PR_RSEQ_SLICE_EXTENSION_SET, 1, 1, 0]) == Some(libc::EINVAL));
        check!(errno([0, 0, 0, 0]) == Some(libc::EINVAL));
        Ok(())
    };
    unsupported()?;
    for flags in [0, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON] {
        let registration = Registration::with_flags(flags)?;
        unsupported()?;
        drop(registration);
    }
    Ok(())
}

fn yield_returns_0(_: Env) -> Result<()> {
    check!(sys::rseq_slice_yield()? == 0);
    let registration = Registration::with_flags(RSEQ_FLAG_SLICE_EXT_DEFAULT_ON)?;
    check!(sys::rseq_slice_yield()? == 0);
    drop(registration);
    Ok(())
}

fn no_grant_no_store(env: Env) -> Result<()> {
    let delta = CounterDelta::start()?;
    ensure_words_stay(env)?;
    delta.ensure(Counters::NOTHING)
}
