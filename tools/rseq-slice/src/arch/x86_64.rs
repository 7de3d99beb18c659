// SPDX-License-Identifier: MIT OR Apache-2.0

//! x86-64.

use core::arch::asm;

/// Numbers of system calls.
pub(crate) mod nr {
    pub(crate) const READ: usize = 0;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const RSEQ: usize = 334;
}

/// The pointer that the calling thread's variable begins with.
#[inline(always)]
pub(crate) fn word() -> *mut u8 {
    let word;
    // SAFETY: Reads this crate's thread-local variable, which every thread has.
    unsafe {
        asm!(
            concat!("mov {word}, qword ptr [rip + ", thread_symbol!(), "@GOTTPOFF]"),
            "mov {word}, qword ptr fs:[{word}]",
            word = out(reg) word,
            options(pure, readonly, nostack, preserves_flags),
        );
    }
    word
}

/// The address of the calling thread's variable.
pub(crate) fn thread() -> *mut u8 {
    let thread;
    // SAFETY: Computes an address; `fs:0` holds the thread pointer itself.
    unsafe {
        asm!(
            "mov {thread}, qword ptr fs:[0]",
            concat!("add {thread}, qword ptr [rip + ", thread_symbol!(), "@GOTTPOFF]"),
            thread = out(reg) thread,
            options(pure, readonly, nostack),
        );
    }
    thread
}

/// What the C library's `__rseq_offset` is relative to.
pub(crate) fn thread_pointer() -> *mut u8 {
    let pointer;
    // SAFETY: The ABI has the thread pointer at `fs:0`.
    unsafe {
        asm!(
            "mov {pointer}, qword ptr fs:[0]",
            pointer = out(reg) pointer,
            options(pure, readonly, nostack, preserves_flags),
        );
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
                concat!("mov {address}, qword ptr [rip + ", $name, "@GOTPCREL]"),
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
    // SAFETY: The caller meets the requirements of the call. The kernel keeps all registers but those named.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") 0,
            in("r9") 0,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}
