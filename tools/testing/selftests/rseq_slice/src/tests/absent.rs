// SPDX-License-Identifier: GPL-2.0

//! A kernel without `CONFIG_RSEQ_SLICE_EXTENSION` has rseq(2) and prctl(2), but nothing of the extension.

use std::path::Path;

use anyhow::Result;
use rseq_slice_harness::abi::{PR_RSEQ_SLICE_EXTENSION_GET, PR_RSEQ_SLICE_EXTENSION_SET};
use rseq_slice_harness::{Registration, sys};

use crate::case::{Needs, Test, once};
use crate::check::check;
use crate::env::Env;
use crate::kmsg::Kmsg;
use crate::support::{ensure_flags_stay_zero, ensure_words_stay};

pub(crate) const TESTS: &[Test] = &[
    once("flags_stay_zero", Needs::Absent, flags_stay_zero),
    once(
        "prctl_is_not_supported",
        Needs::Absent,
        prctl_is_not_supported,
    ),
    once("no_system_call", Needs::Absent, no_system_call),
    once("no_grant_no_store", Needs::Absent, no_grant_no_store),
    once("no_files_no_message", Needs::Absent, no_files_no_message),
];

/// `ENOTSUPP`, which the C library has no name for.
const ENOTSUPP: i32 = 524;

fn flags_stay_zero(_: Env) -> Result<()> {
    ensure_flags_stay_zero()
}

/// Good arguments are ENOTSUPP, with or without a registration, and bad ones are EINVAL.
fn prctl_is_not_supported(_: Env) -> Result<()> {
    let refused = || -> Result<()> {
        for (args, errno) in [
            ([PR_RSEQ_SLICE_EXTENSION_GET, 0, 0, 0], ENOTSUPP),
            ([PR_RSEQ_SLICE_EXTENSION_SET, 0, 0, 0], ENOTSUPP),
            ([PR_RSEQ_SLICE_EXTENSION_SET, 1, 0, 0], ENOTSUPP),
            ([PR_RSEQ_SLICE_EXTENSION_SET, 3, 0, 0], ENOTSUPP),
            ([PR_RSEQ_SLICE_EXTENSION_SET, 1, 1, 0], libc::EINVAL),
            ([PR_RSEQ_SLICE_EXTENSION_GET, 0, 0, 1], libc::EINVAL),
        ] {
            let error = sys::prctl_slice_extension(args).err();
            let got = error.and_then(|error| error.raw_os_error());
            check!(got == Some(errno), "{args:?}: {got:?}");
        }
        Ok(())
    };
    refused()?;
    let registration = Registration::new()?;
    refused()?;
    drop(registration);
    Ok(())
}

fn no_system_call(_: Env) -> Result<()> {
    let error = sys::rseq_slice_yield().err();
    let got = error.and_then(|error| error.raw_os_error());
    check!(got == Some(libc::ENOSYS), "{got:?}");
    Ok(())
}

fn no_grant_no_store(env: Env) -> Result<()> {
    ensure_words_stay(env)
}

fn no_files_no_message(_: Env) -> Result<()> {
    for name in ["slice_ext_nsec", "slice_ext_impl"] {
        let path = Path::new("/sys/kernel/debug/rseq").join(name);
        check!(!path.exists(), "{path:?}");
    }
    let log = Kmsg::from_boot()?.drain()?;
    let told = log
        .iter()
        .find(|line| line.contains("time slice extension"));
    check!(told.is_none(), "{told:?}");
    Ok(())
}
