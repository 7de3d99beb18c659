// SPDX-License-Identifier: GPL-2.0

//! Threads that have neither an area nor the extension.

use anyhow::{Result, ensure};
use rseq_slice_harness::{Layout, SliceError, layout, set_layout, sys};

/// Expects the calling thread to be one.
pub(crate) fn ensure_fresh() -> Result<()> {
    ensure!(layout()?.is_none(), "the mode is set");
    let result = set_layout(Some(Layout::Bytes));
    ensure!(
        matches!(result, Err(SliceError::NotRegistered)),
        "{result:?}"
    );
    ensure!(sys::rseq_slice_yield()? == 0);
    Ok(())
}
