// SPDX-License-Identifier: GPL-2.0

//! Threads that have neither an area nor the extension.

use crate::check::check;
use anyhow::Result;
use rseq_slice_harness::{Layout, SliceError, layout, set_layout, sys};

/// Expects the calling thread to be one.
#[track_caller]
pub(crate) fn ensure_fresh() -> Result<()> {
    check!(layout()?.is_none(), "the mode is set");
    let result = set_layout(Some(Layout::Bytes));
    check!(
        matches!(result, Err(SliceError::NotRegistered)),
        "{result:?}"
    );
    check!(sys::rseq_slice_yield()? == 0);
    Ok(())
}
