// SPDX-License-Identifier: MIT OR Apache-2.0

//! LoongArch, 64 bits.

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
            "add.d {word}, {word}, $tp",
            "ld.d {word}, {word}, 0",
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
            "add.d {thread}, {thread}, $tp",
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
        asm!("move {pointer}, $tp", pointer = out(reg) pointer,
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
                concat!("la.got {address}, ", $name),
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
    // SAFETY: The caller meets the requirements of the call. The kernel may change the temporary registers.
    unsafe {
        asm!(
            "syscall 0",
            in("$a7") number,
            inlateout("$a0") args[0] as isize => result,
            in("$a1") args[1],
            in("$a2") args[2],
            in("$a3") args[3],
            in("$a4") 0,
            in("$a5") 0,
            lateout("$t0") _,
            lateout("$t1") _,
            lateout("$t2") _,
            lateout("$t3") _,
            lateout("$t4") _,
            lateout("$t5") _,
            lateout("$t6") _,
            lateout("$t7") _,
            lateout("$t8") _,
            options(nostack, preserves_flags),
        );
    }
    result
}
