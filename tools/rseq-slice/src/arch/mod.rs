// SPDX-License-Identifier: MIT OR Apache-2.0

//! What needs assembly: thread-local storage that is found without a call, weak symbols of the C
//! library, and system calls that leave `errno` alone.
//!
//! Each architecture defines the same macros; the functions over them are here.

use core::arch::asm;

/// The name of this crate's thread-local variable, which [`crate::thread`] defines. Two copies of one version of this
/// crate in one object share it, two versions do not.
macro_rules! thread_symbol {
    () => {
        concat!(
            "rseq_slice_thread_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_",
            env!("CARGO_PKG_VERSION_PATCH")
        )
    };
}

#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "riscv64", path = "riscv64.rs")]
#[cfg_attr(target_arch = "s390x", path = "s390x.rs")]
#[cfg_attr(target_arch = "loongarch64", path = "loongarch64.rs")]
#[macro_use]
mod target;

pub(crate) use target::{nr, syscall, thread, thread_pointer, word};

/// `__rseq_offset` and `__rseq_size` of the C library, if it has them.
pub(crate) fn libc_symbols() -> Option<(*const isize, *const u32)> {
    let (offset, size) = (weak!("__rseq_offset"), weak!("__rseq_size"));
    (!offset.is_null() && !size.is_null()).then_some((offset.cast(), size.cast()))
}

/// Whether TCMalloc, the one that uses restartable sequences, is linked in.
pub(crate) fn has_tcmalloc() -> bool {
    let allocator = weak!("TCMallocInternalMalloc");
    let extension = weak!("MallocExtension_Internal_GetNumericProperty");
    !allocator.is_null() || !extension.is_null()
}
