// SPDX-License-Identifier: GPL-2.0

//! seccomp(2).

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;

/// Has `action` take the place of the system call `number` from now on in the calling thread, if its
/// first argument is `argument`.
pub(crate) fn filter(
    number: libc::c_long,
    argument: Option<libc::c_long>,
    action: u32,
) -> Result<()> {
    install(number, argument, action, 0)
}

/// Has `action` take the place of the system call `number` from now on in all threads of the process.
pub(crate) fn filter_all_threads(number: libc::c_long, action: u32) -> Result<()> {
    install(number, None, action, libc::SECCOMP_FILTER_FLAG_TSYNC)
}

fn install(
    number: libc::c_long,
    argument: Option<libc::c_long>,
    action: u32,
    flags: libc::c_ulong,
) -> Result<()> {
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let equal = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    let give = (libc::BPF_RET | libc::BPF_K) as u16;
    let op = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    // Offsets in struct seccomp_data; the lower half of an argument on a little-endian machine.
    const NR: u32 = 0;
    const ARG0: u32 = if cfg!(target_endian = "little") {
        16
    } else {
        20
    };
    let mut filter = vec![op(load, 0, NR)];
    if let Some(argument) = argument {
        filter.push(op(equal, 3, u32::try_from(number)?));
        filter.push(op(load, 0, ARG0));
        filter.push(op(equal, 1, u32::try_from(argument)?));
    } else {
        filter.push(op(equal, 1, u32::try_from(number)?));
    }
    filter.push(op(give, 0, action));
    filter.push(op(give, 0, libc::SECCOMP_RET_ALLOW));
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len())?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: The operation takes no pointer.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: Program and filter live through the call.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    let out_of_step =
        Errno::result(ret).context("cannot install a filter: is CONFIG_SECCOMP_FILTER on?")?;
    ensure!(
        out_of_step == 0,
        "thread {out_of_step} cannot have the filter"
    );
    Ok(())
}
