// SPDX-License-Identifier: MIT OR Apache-2.0

//! Numbers shared with the kernel, for programs that talk to it themselves.
//!
//! Their meaning is in the kernel's `Documentation/userspace-api/rseq_slice.rst`.

/// Length in bytes of an area that this crate registers, and its alignment. The kernel uses the
/// first 33 bytes.
pub const AREA_LEN: u32 = 64;
/// Length in bytes of a legacy area, which has no time slice extension.
pub const LEGACY_LEN: u32 = 32;

/// Offset in bytes of the 32-bit word `flags` in an area.
pub const FLAGS_OFFSET: usize = 16;
/// Offset in bytes of the 32-bit word `cpu_id` in an area.
pub const CPU_ID_OFFSET: usize = 4;
/// Offset in bytes of the byte `slice_ctrl.request` in an area. `slice_ctrl.granted` is the next.
pub const REQUEST_OFFSET: usize = 28;

/// Flag of `rseq(2)`: unregister the area.
pub const RSEQ_FLAG_UNREGISTER: u32 = 1 << 0;
/// Flag of `rseq(2)`: enable the extension with the registration.
pub const RSEQ_FLAG_SLICE_EXT_DEFAULT_ON: u32 = 1 << 1;

/// Bit of an area's `flags`: the kernel offers the extension for this area.
pub const RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE: u32 = 1 << 4;
/// Bit of an area's `flags`: the extension is enabled for this thread.
pub const RSEQ_CS_FLAG_SLICE_EXT_ENABLED: u32 = 1 << 5;

/// The operation of `prctl(2)`.
pub const PR_RSEQ_SLICE_EXTENSION: usize = 79;
/// Its second argument: return the third argument of the last successful SET.
pub const PR_RSEQ_SLICE_EXTENSION_GET: usize = 1;
/// Its second argument: turn the extension on or off.
pub const PR_RSEQ_SLICE_EXTENSION_SET: usize = 2;
/// Its third argument: on.
pub const PR_RSEQ_SLICE_EXT_ENABLE: usize = 0x01;

/// Number of the system call `rseq_slice_yield(2)`, on all architectures that have it.
pub const NR_RSEQ_SLICE_YIELD: usize = 471;

/// The signature of the C library's registration, which this crate uses as well. It precedes the
/// abort handlers of restartable sequences.
#[cfg(not(any(
    target_arch = "riscv64",
    target_arch = "s390x",
    target_arch = "loongarch64"
)))]
pub const SIGNATURE: u32 = 0x5305_3053;
/// The signature of the C library's registration, which this crate uses as well. It precedes the
/// abort handlers of restartable sequences.
#[cfg(target_arch = "riscv64")]
pub const SIGNATURE: u32 = 0xf140_1073;
/// The signature of the C library's registration, which this crate uses as well. It precedes the
/// abort handlers of restartable sequences.
#[cfg(target_arch = "s390x")]
pub const SIGNATURE: u32 = 0xb2ff_0fff;
/// The signature that this crate registers with.
#[cfg(target_arch = "loongarch64")]
pub const SIGNATURE: u32 = 0x002a_002a;

/// `EINVAL`, in the numbering of the architectures of this crate.
pub const EINVAL: i32 = 22;
/// `ENOSYS`.
pub const ENOSYS: i32 = 38;
/// The kernel's "not supported", which C libraries have no name for.
pub const ENOTSUPP: i32 = 524;
