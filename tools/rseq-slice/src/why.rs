// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether the extension works for a thread, and if not, why.

use core::fmt;

/// The `struct rseq` through which a thread makes its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Area {
    /// The C library's.
    Libc,
    /// One of this crate's. The C library has registered none.
    Own,
    /// One of this crate's, instead of the C library's legacy area.
    TakenOver,
}

/// The reason why the extension does not work for a thread. Its text names the cure.
///
/// Sections of such a thread make no requests. Nothing else is different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// Not Linux, or an architecture without the extension, or Miri.
    Platform,
    /// The kernel has no restartable sequences: `rseq(2)` fails with `ENOSYS`.
    NoRseq,
    /// The kernel is older than 7.0: `prctl(2)` does not know the operation.
    KernelBefore7,
    /// The kernel is built without the extension.
    NotBuiltIn,
    /// The extension was switched off when the kernel was booted.
    OffAtBoot,
    /// The C library has registered an area of 32 bytes, as glibc 2.35 to 2.40 do, and
    /// [`Policy::take_over`](crate::Policy::take_over) is not set.
    LegacyArea,
    /// Neither the C library nor this copy of this crate has registered the area that the thread has; or
    /// another library uses the C library's area in the BITS layout.
    ForeignArea,
    /// The allocator TCMalloc, or another library with restartable sequences, uses the C library's
    /// legacy area.
    Tcmalloc,
    /// [`Policy::enabled`](crate::Policy::enabled) is not set.
    SwitchedOff,
    /// A system call was refused with this error number, by a seccomp filter for instance.
    Refused(i32),
}

impl Why {
    /// The number that the C header gives the cause, as `RSEQ_SLICE_WHY_...`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Platform => 1,
            Self::NoRseq => 2,
            Self::KernelBefore7 => 3,
            Self::NotBuiltIn => 4,
            Self::OffAtBoot => 5,
            Self::LegacyArea => 6,
            Self::ForeignArea => 7,
            Self::Tcmalloc => 8,
            Self::SwitchedOff => 9,
            Self::Refused(_) => 10,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Platform => {
                "time slice extensions exist on Linux only, on x86_64, riscv64, s390x and \
                 loongarch64: run the program there"
            }
            Self::NoRseq => "the kernel has no rseq(2): use one that is built with CONFIG_RSEQ=y",
            Self::KernelBefore7 => "the kernel is older than Linux 7.0: use a newer one",
            Self::NotBuiltIn => {
                "the kernel has no time slice extension: use one that is built with \
                 CONFIG_RSEQ_SLICE_EXTENSION=y"
            }
            Self::OffAtBoot => {
                "the extension was switched off at boot: remove rseq_slice_ext=off from the kernel \
                 command line"
            }
            Self::LegacyArea => {
                "the C library has registered a legacy area of 32 bytes (glibc 2.35 to 2.40): allow \
                 taking it over, or start the program with GLIBC_TUNABLES=glibc.pthread.rseq=0"
            }
            Self::ForeignArea => {
                "another library uses the extension for this thread, or has registered an area \
                 of its own: use the extension through that library"
            }
            Self::Tcmalloc => {
                "TCMalloc, or another library with restartable sequences, uses the C library's legacy \
                 area, which cannot be taken over: use another allocator, or glibc 2.41 or newer"
            }
            Self::SwitchedOff => "this process has switched it off: enable it in the policy",
            Self::Refused(errno) => {
                return write!(
                    f,
                    "a system call was refused with error {errno}: let the seccomp filter pass \
                     rseq(2) and prctl(2)"
                );
            }
        })
    }
}

impl core::error::Error for Why {}
