// SPDX-License-Identifier: MIT OR Apache-2.0

//! IBM Z, 64 bits.

use core::arch::asm;

/// Numbers of system calls.
pub(crate) mod nr {
    pub(crate) const READ: usize = 3;
    pub(crate) const CLOSE: usize = 6;
    pub(crate) const GETPID: usize = 20;
    pub(crate) const PRCTL: usize = 172;
    pub(crate) const OPENAT: usize = 288;
    pub(crate) const RSEQ: usize = 383;
}

/// What the C library's `__rseq_offset` is relative to: access registers 0 and 1.
#[inline(always)]
pub(crate) fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: Reads two registers.
    unsafe {
        asm!(
            "ear {pointer}, %a0",
            "sllg {pointer}, {pointer}, 32",
            "ear {pointer}, %a1",
            pointer = out(reg) pointer,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    pointer
}

/// The offset of the variable from the thread pointer.
#[inline(always)]
fn offset() -> usize {
    let offset;
    // SAFETY: Reads an entry of the global offset table.
    unsafe {
        asm!(
            concat!("larl {offset}, ", thread_symbol!(), "@indntpoff"),
            "lg {offset}, 0({offset})",
            offset = out(reg_addr) offset,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    offset
}

/// The pointer that the calling thread's variable begins with.
#[inline(always)]
pub(crate) fn word() -> *mut u8 {
    let word;
    // SAFETY: Reads this crate's thread-local variable, which every thread has.
    unsafe {
        asm!(
            "lg {word}, 0({offset},{pointer})",
            offset = in(reg_addr) offset(),
            pointer = in(reg_addr) thread_pointer(),
            word = lateout(reg) word,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    word
}

/// The address of the calling thread's variable.
pub(crate) fn thread() -> *mut u8 {
    thread_pointer().wrapping_add(offset())
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
                concat!("lgrl {address}, ", $name, "@GOTENT"),
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
    // SAFETY: The caller meets the requirements of the call. The kernel keeps all registers but the one for the result.
    unsafe {
        asm!(
            "svc 0",
            in("r1") number,
            inlateout("r2") args[0] as isize => result,
            in("r3") args[1],
            in("r4") args[2],
            in("r5") args[3],
            in("r6") 0,
            in("r7") 0,
            options(nostack),
        );
    }
    result
}
