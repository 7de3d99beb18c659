// SPDX-License-Identifier: GPL-2.0

//! A seccomp filter that skips yields.

use nix::errno::Errno;
use rseq_slice_harness::abi::NR_RSEQ_SLICE_YIELD;

use crate::area::outcome;

/// The argument of a yield that is to be skipped. The call has none; a filter sees it all the same.
const MARK: u32 = 0x7357;

/// The arguments of such a yield.
pub(crate) const SKIPPED: [usize; 4] = [MARK as usize, 0, 0, 0];

/// Installs the filter for the calling thread.
pub(crate) fn install() -> i64 {
    const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    const UNLESS: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
    /// Offsets in `struct seccomp_data`.
    const NUMBER: u32 = 0;
    const ARGUMENT: u32 = 16;
    let step = |code: u32, k, jf| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf,
        k,
    };
    let mut steps = [
        step(LOAD, NUMBER, 0),
        step(UNLESS, NR_RSEQ_SLICE_YIELD as u32, 3),
        step(LOAD, ARGUMENT, 0),
        step(UNLESS, MARK, 1),
        step(RETURN, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: The operation takes no pointer.
    if let Err(error) = Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
    {
        return -i64::from(error as i32);
    }
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: The program and its steps live through the call.
    outcome(unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) }.into())
}
