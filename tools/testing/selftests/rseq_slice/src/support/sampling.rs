// SPDX-License-Identifier: GPL-2.0

//! Samples of what runs on a CPU, as `perf record -a` takes them.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

use crate::case::Skip;

const PAGE: usize = 4096;
/// The kernel's page, and a power of two for the samples.
const BUFFER: NonZeroUsize = NonZeroUsize::new((1 + 16) * PAGE).unwrap();
/// In the kernel's page: where the next sample goes, and what has been read.
const HEAD: usize = 1024;
const TAIL: usize = 1032;

/// `struct perf_event_attr` in its first version.
#[derive(Default)]
#[repr(C)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    period: u64,
    sample: u64,
    read_format: u64,
    flags: u64,
    wakeup: u32,
    breakpoint: u32,
    address: u64,
}

/// Samples of one CPU, taken at regular intervals and at every context switch.
pub(crate) struct Sampling {
    _event: OwnedFd,
    buffer: NonNull<u8>,
}

impl Sampling {
    pub(crate) fn start(cpu: usize, period: u64) -> Result<Self> {
        const SOFTWARE: u32 = 1;
        const CPU_CLOCK: u64 = 0;
        const IP_TID_TIME: u64 = 0x07;
        const CONTEXT_SWITCHES: u64 = 1 << 26;
        let attributes = Attributes {
            kind: SOFTWARE,
            size: u32::try_from(size_of::<Attributes>())?,
            config: CPU_CLOCK,
            period,
            sample: IP_TID_TIME,
            flags: CONTEXT_SWITCHES,
            ..Attributes::default()
        };
        let (everybody, no_group, no_flags) = (-1, -1, 0_u64);
        let (call, cpu) = (libc::SYS_perf_event_open, i32::try_from(cpu)?);
        // SAFETY: The structure has the size that it names and lives through the call.
        let fd = unsafe {
            libc::syscall(
                call,
                &raw const attributes,
                everybody,
                cpu,
                no_group,
                no_flags,
            )
        };
        if let Err(Errno::ENOSYS) = Errno::result(fd) {
            return Err(Skip("needs CONFIG_PERF_EVENTS".into()).into());
        }
        let fd = i32::try_from(Errno::result(fd)?)?;
        // SAFETY: The kernel has just opened it for us.
        let event = unsafe { OwnedFd::from_raw_fd(fd) };
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping, placed by the kernel, never unmapped.
        let buffer = unsafe { mmap(None, BUFFER, prot, MapFlags::MAP_SHARED, event.as_fd(), 0) }
            .context("the buffer of the samples")?;
        Ok(Self {
            _event: event,
            buffer: buffer.cast(),
        })
    }

    /// Discards the samples, and returns how many bytes there were up to now.
    pub(crate) fn discard(&self) -> u64 {
        // SAFETY: Inside of the kernel's page.
        let (head, tail) = unsafe {
            let word = |offset| self.buffer.as_ptr().add(offset).cast::<u64>();
            (word(HEAD), word(TAIL))
        };
        // SAFETY: An aligned word that the kernel writes.
        let bytes = unsafe { head.read_volatile() };
        // SAFETY: An aligned word that the kernel reads.
        unsafe { tail.write_volatile(bytes) };
        bytes
    }
}
