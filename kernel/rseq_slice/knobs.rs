// SPDX-License-Identifier: GPL-2.0

//! What an administrator can set: on or off at boot, the length of an extension, `rseq_debug`.

use super::abi::Length;
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    static_key_true_enabled,
    sync::atomic::{Atomic, Relaxed}, //
};

/// The length of an extension in nanoseconds.
///
/// INVARIANT: Always one that [`Length::from_nanos()`] accepts.
static LENGTH: Atomic<u32> = Atomic::new(Length::MIN.as_nanos());

/// The length of extensions that are granted from now on.
#[inline]
pub(crate) fn length() -> u32 {
    LENGTH.load(Relaxed)
}

/// Sets the length. `ERANGE` if it is out of bounds.
pub(crate) fn set_length(nanos: u32) -> Result {
    let length = Length::from_nanos(nanos).ok_or(ERANGE)?;

    LENGTH.store(length.as_nanos(), Relaxed);
    Ok(())
}

/// Prints the length for debugfs.
pub(crate) fn show_length(m: &SeqFile) {
    seq_print!(m, "{}\n", length());
}

/// Whether the extension is available: `rseq_slice_ext=` on the kernel command line.
#[inline]
pub(crate) fn enabled() -> bool {
    static_key_true_enabled!(rseq_slice_extension_key)
}

/// Whether `rseq_debug` is on.
#[inline]
pub(crate) fn debug() -> bool {
    #[cfg(CONFIG_RSEQ_DEBUG_DEFAULT_ENABLE)]
    return static_key_true_enabled!(rseq_debug_enabled);

    #[cfg(not(CONFIG_RSEQ_DEBUG_DEFAULT_ENABLE))]
    return kernel::static_key_false_enabled!(rseq_debug_enabled);
}

/// Says in the boot log which implementation runs.
pub(crate) fn announce() {
    let state = if enabled() { "on" } else { "off" };

    pr_info!("time slice extension in Rust, {state}, {} ns\n", length());
}
