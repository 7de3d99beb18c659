// SPDX-License-Identifier: GPL-2.0

//! What only sched_setattr(2) sets.

use anyhow::Result;
use nix::errno::Errno;

/// `struct sched_attr` in its first version.
#[derive(Default)]
#[repr(C)]
struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

fn set(attributes: &Attributes) -> Result<()> {
    // SAFETY: The structure has the size that it names and lives through the call.
    let ret = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, attributes, 0) };
    Errno::result(ret)?;
    Ok(())
}

/// Nanoseconds of the shortest slice that there is.
pub(crate) const SHORT_SLICE: u64 = 100_000;

/// Gives the calling thread the shortest slice that there is.
pub(crate) fn take_short_slices() -> Result<()> {
    set(&Attributes {
        size: u32::try_from(size_of::<Attributes>())?,
        runtime: SHORT_SLICE,
        ..Attributes::default()
    })
}

/// Puts the calling thread into the deadline class, with a runtime in each period, in
/// nanoseconds. A thread that exceeds it is throttled and gets SIGXCPU.
pub(crate) fn set_deadline(runtime: u64, period: u64) -> Result<()> {
    const SIGNAL_OVERRUNS: u64 = 0x04;
    set(&Attributes {
        size: u32::try_from(size_of::<Attributes>())?,
        policy: u32::try_from(libc::SCHED_DEADLINE)?,
        flags: SIGNAL_OVERRUNS,
        runtime,
        deadline: period,
        period,
        ..Attributes::default()
    })
}
