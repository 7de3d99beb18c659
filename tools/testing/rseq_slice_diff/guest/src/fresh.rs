// SPDX-License-Identifier: GPL-2.0

//! Pages that no process has touched yet.

use std::sync::OnceLock;

use anyhow::Result;
use nix::errno::Errno;
use rseq_slice_diff_program::arg::PAGE_LEN;
use rseq_slice_diff_program::program::Program;

static STEP_PAGES: OnceLock<usize> = OnceLock::new();

/// Maps one page for each step.
pub(crate) fn create() -> Result<()> {
    let len = PAGE_LEN as usize * Program::MAX_STEPS;
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: A new mapping, placed by the kernel.
    let pages = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
    if pages == libc::MAP_FAILED {
        return Err(Errno::last().into());
    }
    let _ = STEP_PAGES.set(pages.expose_provenance());
    Ok(())
}

/// The page of a step.
pub(crate) fn page(index: usize) -> *mut u8 {
    let pages = STEP_PAGES.get().copied().unwrap_or_default();
    std::ptr::with_exposed_provenance_mut(pages + index * PAGE_LEN as usize)
}
