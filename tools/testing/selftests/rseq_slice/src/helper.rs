// SPDX-License-Identifier: GPL-2.0

//! What this program does when a test executes it anew.

use std::process;

use anyhow::{Result, bail};
use rseq_slice_harness::abi::PR_RSEQ_SLICE_EXTENSION_GET;
use rseq_slice_harness::{SliceError, set_layout, sys};

/// Runs the helper of that name. Its exit status is its answer.
pub(crate) fn run(name: &str) -> Result<()> {
    match name {
        // 0: a fresh process has neither an area nor the extension.
        "fresh" => {
            let get = sys::prctl_slice_extension([PR_RSEQ_SLICE_EXTENSION_GET, 0, 0, 0])?;
            let set = set_layout(Some(rseq_slice_harness::Layout::Bytes));
            let fresh = get == 0 && matches!(set, Err(SliceError::NotRegistered));
            process::exit(i32::from(!fresh))
        }
        other => bail!("no helper {other:?}"),
    }
}
