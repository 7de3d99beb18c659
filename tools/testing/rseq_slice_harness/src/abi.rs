// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers shared with the kernel.

use std::ffi::c_long;

/// Length in bytes of an [`Area`](crate::Area): more than the 33 bytes that the kernel uses today,
/// and as long as its alignment.
pub const AREA_LEN: u32 = 64;
/// Length in bytes of a legacy registration, which has no time slice extension.
pub const LEGACY_LEN: u32 = 32;
/// Shortest length in bytes of a registration that has the time slice extension.
pub const MIN_LEN: u32 = 33;
/// The signature that precedes abort handlers; on x86_64 the one that the C library uses. It must
/// be the same at registration and unregistration and is otherwise unused here.
pub const SIGNATURE: u32 = 0x5305_3053;

/// `rseq(2)`: unregister the area.
pub const RSEQ_FLAG_UNREGISTER: u32 = 1 << 0;
/// `rseq(2)`: enable the extension (BYTES layout) with the registration.
pub const RSEQ_FLAG_SLICE_EXT_DEFAULT_ON: u32 = 1 << 1;

/// Bit of [`Area::flags`](crate::Area::flags): the kernel offers the extension to this thread.
pub const RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE: u32 = 1 << 4;
/// Bit of [`Area::flags`](crate::Area::flags): the extension is enabled for this thread.
pub const RSEQ_CS_FLAG_SLICE_EXT_ENABLED: u32 = 1 << 5;

/// BITS layout: the thread requests an extension.
pub const RSEQ_SLICE_EXT_REQUEST: u32 = 1 << 0;
/// BITS layout: the kernel granted one.
pub const RSEQ_SLICE_EXT_GRANTED: u32 = 1 << 1;

/// The `prctl(2)` operation.
pub const PR_RSEQ_SLICE_EXTENSION: c_long = 79;
/// Second argument: return what is set.
pub const PR_RSEQ_SLICE_EXTENSION_GET: c_long = 1;
/// Second argument: set the third argument.
pub const PR_RSEQ_SLICE_EXTENSION_SET: c_long = 2;
/// Third argument: enable the extension, BYTES layout.
pub const PR_RSEQ_SLICE_EXT_ENABLE: c_long = 0x01;
/// Third argument, with `PR_RSEQ_SLICE_EXT_ENABLE`: the BITS layout instead of the BYTES layout.
pub const PR_RSEQ_SLICE_EXT_BITS: c_long = 0x02;

/// Number of the `rseq_slice_yield` system call, the same on every architecture that has it.
pub const NR_RSEQ_SLICE_YIELD: c_long = 471;

/// The kernel's own error number for "not supported", which the C library has no word for.
pub const ENOTSUPP: i32 = 524;
