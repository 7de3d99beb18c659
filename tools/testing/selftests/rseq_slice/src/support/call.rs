// SPDX-License-Identifier: GPL-2.0

//! System calls that are made for their entry alone.

use rseq_slice_harness::sys;

/// Makes a system call that does nothing.
pub(crate) fn null_call() {
    // SAFETY: The call takes no pointer.
    unsafe { libc::syscall(libc::SYS_getpid) };
}

/// Makes the system call that ends a grant, whatever it returns.
pub(crate) fn yield_call() {
    drop(sys::rseq_slice_yield());
}
