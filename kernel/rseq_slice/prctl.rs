// SPDX-License-Identifier: GPL-2.0

//! `prctl(PR_RSEQ_SLICE_EXTENSION, ...)`.

use super::{
    abi::{self, Choice, Prctl},
    knobs,
    task::Thread, //
};
use kernel::prelude::*;

/// Handles the second and third argument of the call; the others are known to be zero.
///
/// Returns the choice of the thread as `PR_RSEQ_SLICE_EXT_*` bits for a get, zero for a set.
///
/// # Errors
///
/// In this order: `EINVAL` for what is not an operation or not a value, and then for a set
/// `ENOTSUPP` (524) if the extension is off since boot, `ENXIO` without a registered `struct rseq`,
/// and `ENOTSUPP` if that is too short to have a control word. `EFAULT` goes along with a
/// `SIGSEGV`: the `struct rseq` is not accessible, or its flags are not what the kernel wrote.
#[inline]
pub(crate) fn call(thread: &Thread, op: usize, value: usize) -> Result<c_int> {
    match Prctl::parse(op, value).ok_or(EINVAL)? {
        Prctl::Get => Ok(thread.choice().enabled().into()),
        Prctl::Set(choice) => set(thread, choice).map(|()| 0),
    }
}

fn set(thread: &Thread, choice: Choice) -> Result {
    if !knobs::enabled() {
        return Err(ENOTSUPP);
    }
    if !thread.is_registered() {
        return Err(ENXIO);
    }
    if !thread.has_ctrl() {
        return Err(ENOTSUPP);
    }

    let current = thread.choice();
    if choice == current {
        return Ok(());
    }

    write(thread, current, choice).inspect_err(|_| thread.segv())?;
    thread.set_choice(choice);
    Ok(())
}

/// Tells user space.
fn write(thread: &Thread, from: Choice, to: Choice) -> Result {
    let flags = thread.flags().get_u32()?;
    if !abi::flags_truthful(flags, from) {
        return Err(EFAULT);
    }

    thread.flags().put_u32(abi::flags_for(flags, to))?;
    if abi::erases_ctrl(from, to) {
        thread.ctrl().put_u32(0)?;
    }

    Ok(())
}
