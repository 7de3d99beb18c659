// SPDX-License-Identifier: MIT OR Apache-2.0

//! System calls, unadorned.

use std::ffi::{c_int, c_long};
use std::io;
use std::ptr;
use std::sync::atomic::AtomicU32;

use crate::abi::{NR_RSEQ_SLICE_YIELD, PR_RSEQ_SLICE_EXTENSION};
use crate::area::Area;

const FUTEX_WAIT: i32 = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
const FUTEX_WAKE: i32 = libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG;

#[inline]
fn result(ret: c_long) -> io::Result<c_long> {
    if ret == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(ret)
    }
}

/// `rseq(2)`: registers or unregisters `area` for the calling thread.
///
/// # Errors
///
/// `EINVAL` for a bad length, alignment or flag, and for another area than the one registered;
/// `EBUSY` when this very area is registered already; `EPERM` for another signature than the
/// registered one; `EFAULT`; `ENOSYS`.
///
/// # Safety
///
/// After a registration the kernel writes to the `len` bytes at `area` whenever this thread enters
/// user mode, until the thread unregisters it or exits: the memory must be and stay usable for that.
pub unsafe fn rseq(area: *const Area, len: u32, flags: u32, signature: u32) -> io::Result<()> {
    // SAFETY: The caller vouches for `area`; the kernel checks the other arguments.
    let ret = unsafe { libc::syscall(libc::SYS_rseq, area, len, flags, signature) };
    result(ret).map(drop)
}

/// `prctl(PR_RSEQ_SLICE_EXTENSION, ...)` with all four further arguments.
///
/// # Errors
///
/// `EINVAL`, `ENXIO` and the kernel's 524; see [`SliceError`](crate::SliceError).
pub fn prctl_slice_extension(args: [c_long; 4]) -> io::Result<c_long> {
    let [arg2, arg3, arg4, arg5] = args;
    // SAFETY: No argument of this operation is a pointer.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_prctl,
            PR_RSEQ_SLICE_EXTENSION,
            arg2,
            arg3,
            arg4,
            arg5,
        )
    };
    result(ret)
}

/// `rseq_slice_yield(2)`: ends a grant. Returns 1 when the thread gave the CPU up inside the grant,
/// otherwise 0.
///
/// # Errors
///
/// `ENOSYS` on a kernel without the extension; whatever a seccomp filter says.
pub fn rseq_slice_yield() -> io::Result<c_long> {
    // SAFETY: This system call has no arguments and touches no memory but the registered area.
    let ret = unsafe { libc::syscall(NR_RSEQ_SLICE_YIELD) };
    result(ret)
}

/// Sleeps until [`futex_wake`], unless `word` does not hold `expected`. May return for no reason.
pub fn futex_wait(word: &AtomicU32, expected: u32) {
    let timeout = ptr::null::<libc::timespec>();
    // SAFETY: The word outlives the call, which only reads it.
    unsafe { libc::syscall(libc::SYS_futex, word, FUTEX_WAIT, expected, timeout) };
}

/// Wakes up to `count` threads of this process that sleep in [`futex_wait`] on `word`.
pub fn futex_wake(word: &AtomicU32, count: i32) {
    // SAFETY: The call uses the address as a name only.
    unsafe { libc::syscall(libc::SYS_futex, word, FUTEX_WAKE, count) };
}

/// `mprotect(2)`: changes what the process may do with `len` bytes of memory from `address` on.
///
/// Not by the C library's function: that hands an int to the kernel, which looks at 64 bits.
///
/// # Errors
///
/// Those of the call.
///
/// # Safety
///
/// No reference to the memory is used that needs what is forbidden now.
#[inline]
pub unsafe fn mprotect(address: *mut u8, len: usize, prot: c_int) -> io::Result<()> {
    let prot = c_long::from(prot);
    // SAFETY: The call reads and writes no memory, and the caller vouches for accesses after it.
    result(unsafe { libc::syscall(libc::SYS_mprotect, address, len, prot) })?;
    Ok(())
}

#[inline]
fn membarrier(command: c_int) -> io::Result<()> {
    // SAFETY: The call takes no pointer.
    result(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) })?;
    Ok(())
}

/// Registers the process for [`restart_sequences`].
///
/// # Errors
///
/// `ENOSYS` or `EINVAL` on a kernel that cannot do this.
#[inline]
pub fn register_to_restart_sequences() -> io::Result<()> {
    membarrier(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ)
}

/// `membarrier(2)` that restarts the restartable sequences in which threads of the process are.
///
/// # Errors
///
/// `EPERM` if the process is not [registered](register_to_restart_sequences).
#[inline]
pub fn restart_sequences() -> io::Result<()> {
    membarrier(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ)
}
