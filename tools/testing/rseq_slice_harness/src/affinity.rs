// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where a thread may run.

use std::io;
use std::mem;

/// Binds the calling thread, and those that it will create, to the given CPUs.
///
/// # Errors
///
/// `EINVAL` when none of the CPUs is there and online.
pub fn pin_to(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: The set is plain data, for which all zeros means empty.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &cpu in cpus {
        assert!(
            cpu < libc::CPU_SETSIZE as usize,
            "CPU {cpu} does not fit in a cpu_set_t"
        );
        // SAFETY: `cpu` lies inside the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: The set lives through the call and has the length that is passed.
    let ret = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if ret == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
