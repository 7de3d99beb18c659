// SPDX-License-Identifier: GPL-2.0

//! `prctl(PR_RSEQ_SLICE_EXTENSION, ...)`.

use super::{
    abi::{
        self,
        Mode,
        Prctl, //
    },
    task::Thread, //
};
use kernel::{
    prelude::*,
    rseq::slice, //
};

/// Handles the second and third argument of the call; the others are known to be zero.
///
/// Returns the mode of the thread as `PR_RSEQ_SLICE_EXT_*` bits for a get, zero for a set.
///
/// # Errors
///
/// In this order: `EINVAL` for an unknown operation or value, and then for a set `ENOTSUPP` (524)
/// if the extension is off since boot, `ENXIO` without a registered `struct rseq`, and `ENOTSUPP`
/// if that is too short to have a control word. `EFAULT` comes with a `SIGSEGV`: the `struct rseq`
/// is not accessible, or its flags are not the ones that the kernel wrote.
pub(crate) fn call(thread: &Thread, op: usize, value: usize) -> Result<c_int> {
    match Prctl::parse(op, value).ok_or(EINVAL)? {
        Prctl::Get => Ok(thread.mode().enabled().into()),
        Prctl::Set(mode) => set(thread, mode).map(|()| 0),
    }
}

fn set(thread: &Thread, mode: Mode) -> Result {
    if !slice::extension_enabled() {
        return Err(ENOTSUPP);
    }
    if !thread.is_registered() {
        return Err(ENXIO);
    }
    if !thread.has_slice_ctrl() {
        return Err(ENOTSUPP);
    }

    let current = thread.mode();
    if mode == current {
        return Ok(());
    }

    write(thread, current, mode).inspect_err(|_| thread.force_sigsegv())?;
    thread.set_mode(mode);
    Ok(())
}

/// Writes to the `struct rseq` in user space.
fn write(thread: &Thread, from: Mode, to: Mode) -> Result {
    let flags = thread.flags().get_user_u32()?;
    if !abi::flags_consistent(flags, from) {
        return Err(EFAULT);
    }

    thread.flags().put_user_u32(abi::flags_for(flags, to))?;
    if abi::erases_ctrl(from, to) {
        thread.slice_ctrl().put_user_u32(0)?;
    }

    Ok(())
}
