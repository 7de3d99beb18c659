// SPDX-License-Identifier: MIT OR Apache-2.0

//! RISC-V, 64 bits.

use core::arch::asm;

/// Numbers of system calls.
pub(crate) mod nr {
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const READ: usize = 63;
    pub(crate) const PRCTL: usize = 167;
    pub(crate) const GETPID: usize = 172;
    pub(crate) const RSEQ: usize = 293;
}

/// The pointer that the calling thread's variable begins with.
#[inline(always)]
pub(crate) fn word() -> *mut u8 {
    let word;
    // SAFETY: Reads this crate's thread-local variable, which every thread has.
    unsafe {
        asm!(
            concat!("la.tls.ie {word}, ", thread_symbol!()),
            "add {word}, {word}, tp",
            "ld {word}, 0({word})",
            word = out(reg) word,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    word
}

/// The address of the calling thread's variable.
pub(crate) fn thread() -> *mut u8 {
    let thread;
    // SAFETY: Computes an address.
    unsafe {
        asm!(
            concat!("la.tls.ie {thread}, ", thread_symbol!()),
            "add {thread}, {thread}, tp",
            thread = out(reg) thread,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    thread
}

/// What the C library's `__rseq_offset` is relative to.
pub(crate) fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: Reads a register.
    unsafe {
        asm!("mv {pointer}, tp", pointer = out(reg) pointer,
            options(pure, nomem, nostack, preserves_flags));
    }
    pointer
}

/// The address of a weak symbol, from the global offset table: null if nobody defines it. Each object
/// that names a symbol has to call it weak.
macro_rules! weak {
    ($name:literal) => {{
        let address: *const u8;
        // SAFETY: Reads an entry of the global offset table.
        unsafe {
            asm!(
                concat!(".weak ", $name),
                concat!("lga {address}, ", $name),
                address = out(reg) address,
                options(pure, readonly, nostack, preserves_flags),
            );
        }
        address
    }};
}

/// A system call with four arguments and zeros for the others. Returns the negative error number on
/// errors.
///
/// # Safety
///
/// That of the call.
pub(crate) unsafe fn syscall(number: usize, args: [usize; 4]) -> isize {
    let result;
    // SAFETY: The caller meets the requirements of the call. The kernel keeps all registers but the one
    // for the result, and those of the vector extension with its settings, which are among the flags.
    unsafe {
        asm!(
            "ecall",
            in("a7") number,
            inlateout("a0") args[0] as isize => result,
            in("a1") args[1],
            in("a2") args[2],
            in("a3") args[3],
            in("a4") 0,
            in("a5") 0,
            lateout("v0") _,
            lateout("v1") _,
            lateout("v2") _,
            lateout("v3") _,
            lateout("v4") _,
            lateout("v5") _,
            lateout("v6") _,
            lateout("v7") _,
            lateout("v8") _,
            lateout("v9") _,
            lateout("v10") _,
            lateout("v11") _,
            lateout("v12") _,
            lateout("v13") _,
            lateout("v14") _,
            lateout("v15") _,
            lateout("v16") _,
            lateout("v17") _,
            lateout("v18") _,
            lateout("v19") _,
            lateout("v20") _,
            lateout("v21") _,
            lateout("v22") _,
            lateout("v23") _,
            lateout("v24") _,
            lateout("v25") _,
            lateout("v26") _,
            lateout("v27") _,
            lateout("v28") _,
            lateout("v29") _,
            lateout("v30") _,
            lateout("v31") _,
            options(nostack),
        );
    }
    result
}
