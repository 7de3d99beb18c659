// SPDX-License-Identifier: MIT OR Apache-2.0

//! Enabling and disabling the extension for the calling thread.

use std::ffi::c_long;
use std::io;

use crate::abi::{
    ENOTSUPP, PR_RSEQ_SLICE_EXT_BITS, PR_RSEQ_SLICE_EXT_ENABLE, PR_RSEQ_SLICE_EXTENSION_GET,
    PR_RSEQ_SLICE_EXTENSION_SET,
};
use crate::sys;

/// The two ways in which a thread and the kernel share the control word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Mainline's: one byte each for request and grant. See [`Bytes`](crate::Bytes).
    Bytes,
    /// One native word with a bit each, known to the Rust implementation only. See
    /// [`Bits`](crate::Bits).
    Bits,
}

impl Layout {
    fn to_arg(layout: Option<Self>) -> c_long {
        match layout {
            None => 0,
            Some(Self::Bytes) => PR_RSEQ_SLICE_EXT_ENABLE,
            Some(Self::Bits) => PR_RSEQ_SLICE_EXT_ENABLE | PR_RSEQ_SLICE_EXT_BITS,
        }
    }
}

/// Why the extension cannot be enabled, disabled or asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SliceError {
    /// `EINVAL`.
    #[error(
        "prctl(PR_RSEQ_SLICE_EXTENSION) says EINVAL: the kernel does not know the operation \
         (before 7.0) or this layout of the control word (the C implementation)"
    )]
    Invalid,
    /// The kernel's error 524.
    #[error(
        "prctl(PR_RSEQ_SLICE_EXTENSION) says ENOTSUPP: the kernel is built without \
         CONFIG_RSEQ_SLICE_EXTENSION or booted with rseq_slice_ext=0, or the thread's rseq area is \
         a legacy one of 32 bytes (glibc before 2.41: run with GLIBC_TUNABLES=glibc.pthread.rseq=0 \
         and register an own area)"
    )]
    NotSupported,
    /// `ENXIO`.
    #[error("prctl(PR_RSEQ_SLICE_EXTENSION) says ENXIO: the thread has registered no rseq area")]
    NotRegistered,
    /// `PR_RSEQ_SLICE_EXTENSION_GET` returned something that this crate has no word for.
    #[error("prctl(PR_RSEQ_SLICE_EXTENSION) returned {0}, which is not a known mode")]
    Unknown(c_long),
    /// Any other error.
    #[error("prctl(PR_RSEQ_SLICE_EXTENSION): {0}")]
    Os(io::Error),
}

impl From<io::Error> for SliceError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EINVAL) => Self::Invalid,
            Some(ENOTSUPP) => Self::NotSupported,
            Some(libc::ENXIO) => Self::NotRegistered,
            _ => Self::Os(error),
        }
    }
}

/// What is enabled for the calling thread; `None` when the extension is off.
///
/// # Errors
///
/// [`SliceError`]. On a kernel that has the extension compiled in this cannot fail.
pub fn layout() -> Result<Option<Layout>, SliceError> {
    let value = sys::prctl_slice_extension([PR_RSEQ_SLICE_EXTENSION_GET, 0, 0, 0])?;
    [None, Some(Layout::Bytes), Some(Layout::Bits)]
        .into_iter()
        .find(|&layout| Layout::to_arg(layout) == value)
        .ok_or(SliceError::Unknown(value))
}

/// Enables the extension for the calling thread in the given layout, or disables it with `None`.
///
/// The kernel kills the thread with `SIGSEGV` when the thread itself wrote to
/// [`Area::flags`](crate::Area::flags) before.
///
/// # Errors
///
/// [`SliceError`].
pub fn set_layout(layout: Option<Layout>) -> Result<(), SliceError> {
    let arg = Layout::to_arg(layout);
    sys::prctl_slice_extension([PR_RSEQ_SLICE_EXTENSION_SET, arg, 0, 0])?;
    Ok(())
}
