// SPDX-License-Identifier: GPL-2.0

//! The settings in debugfs.

use std::ffi::CStr;
use std::fs;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result, ensure};
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::extension_length;

use crate::area::outcome;
use crate::shared::shared;

/// `rseq_debug`.
const DEBUG: &CStr = c"/sys/kernel/debug/rseq/debug";
/// The length of an extension.
pub(crate) const LENGTH: &CStr = c"/sys/kernel/debug/rseq/slice_ext_nsec";

/// The settings unless a program says otherwise. An extension is as long as it may be, so that what is
/// to happen inside of a grant does, on a kernel that takes a little longer too.
pub(crate) const DEFAULTS: (u32, u32) = (50_000, 0);

/// Writes a text to [`DEBUG`] as [`write`] does.
///
/// One at a time: nothing in the kernel orders those who write there, and the static key behind it warns of
/// one who switches it off while another is switching it on, in the C implementation as well.
pub(crate) fn write_debug(text: &str) -> i64 {
    /// Nanoseconds that the first writer may take.
    const PATIENCE: u64 = 2_000_000;
    let switching = &shared().switching;
    spin_while(PATIENCE, || switching.swap(true, SeqCst));
    let result = write(DEBUG, text);
    switching.store(false, SeqCst);
    result
}

/// Writes a text in one call, an empty one as well. Returns what the call returned.
pub(crate) fn write(path: &CStr, text: &str) -> i64 {
    // SAFETY: The path lives through the call.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_TRUNC) };
    if fd < 0 {
        return outcome(fd.into());
    }
    // SAFETY: The text lives through the call.
    let result = outcome(unsafe { libc::write(fd, text.as_ptr().cast(), text.len()) } as i64);
    // SAFETY: Opened above.
    unsafe { libc::close(fd) };
    result
}

/// The settings as they are: the length, and whether `rseq_debug` is on.
pub(crate) fn read() -> Result<(u32, u32)> {
    let path = DEBUG.to_str()?;
    let debug = fs::read_to_string(path).context(path)?;
    Ok((extension_length()?, debug.trim().parse()?))
}

/// Puts the settings back.
pub(crate) fn restore() -> Result<()> {
    write(LENGTH, &DEFAULTS.0.to_string());
    write_debug("0");
    ensure!(read()? == DEFAULTS, "the settings cannot be put back");
    Ok(())
}
