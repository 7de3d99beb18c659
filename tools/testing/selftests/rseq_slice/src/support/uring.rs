// SPDX-License-Identifier: GPL-2.0

//! A ring of requests to the kernel (io_uring), which threads of the kernel's own carry out.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

use crate::case::Skip;

const ENTRIES: u32 = 8;

#[derive(Default)]
#[repr(C)]
struct Offsets {
    head: u32,
    tail: u32,
    mask: u32,
    entries: u32,
    /// Of the submissions: flags, dropped, array. Of the completions: overflow, entries, flags.
    others: [u32; 3],
    reserved: u32,
    address: u64,
}

#[derive(Default)]
#[repr(C)]
struct Parameters {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    reserved: [u32; 3],
    sq: Offsets,
    cq: Offsets,
}

/// One ring, of one thread.
pub(crate) struct Ring {
    file: OwnedFd,
    rings: NonNull<u8>,
    parameters: Parameters,
    pub(crate) completed: u64,
}

impl Ring {
    pub(crate) fn new() -> Result<Self> {
        const OFFSET_OF_ENTRIES: libc::off_t = 0x1000_0000;
        const LEN: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
        let mut parameters = Parameters::default();
        // SAFETY: The structure lives through the call.
        let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &raw mut parameters) };
        if let Err(Errno::ENOSYS) = Errno::result(fd) {
            return Err(Skip("needs CONFIG_IO_URING".into()).into());
        }
        // SAFETY: The kernel has just opened it for us.
        let file = unsafe { OwnedFd::from_raw_fd(i32::try_from(Errno::result(fd)?)?) };
        let map = |offset| {
            let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
            // SAFETY: A new mapping, placed by the kernel, never unmapped. Both rings, of that few
            // entries, are in one page.
            unsafe { mmap(None, LEN, prot, MapFlags::MAP_SHARED, file.as_fd(), offset) }
        };
        let (rings, entries) = (map(0)?.cast::<u8>(), map(OFFSET_OF_ENTRIES)?.cast::<u64>());
        let array = usize::try_from(parameters.sq.others[2])?;
        for number in 0..ENTRIES {
            /// A request to do nothing (0), in a thread of the kernel's own.
            const NOTHING: u64 = 1 << 4 << 8;
            const WORDS: usize = 8;
            let index = usize::try_from(number)?;
            // SAFETY: Inside of the mapping of the entries, which are zero otherwise.
            let entry = unsafe { entries.add(index * WORDS) };
            // SAFETY: An aligned word, which the kernel does not look at yet.
            unsafe { entry.write_volatile(NOTHING) };
            // SAFETY: Inside of the array, which says in which order the entries are used.
            let place = unsafe { rings.add(array + index * size_of::<u32>()) };
            // SAFETY: An aligned word, which the kernel does not look at yet.
            unsafe { place.cast::<u32>().write_volatile(number) };
        }
        Ok(Self {
            file,
            rings,
            parameters,
            completed: 0,
        })
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: Inside of the mapping, says the kernel.
        let word = unsafe { self.rings.add(offset as usize) };
        // SAFETY: An aligned word, which the kernel uses in the same way.
        unsafe { word.cast().as_ref() }
    }

    /// Submits a request, and takes notice of those that are completed.
    pub(crate) fn submit(&mut self) -> Result<()> {
        let completions = self.word(self.parameters.cq.tail).load(Ordering::Acquire);
        self.word(self.parameters.cq.head)
            .store(completions, Ordering::Release);
        self.word(self.parameters.sq.tail)
            .fetch_add(1, Ordering::Release);
        /// Has the kernel hand out completions that it had no room for.
        const GETEVENTS: libc::c_uint = 1;
        let (call, file) = (libc::SYS_io_uring_enter, self.file.as_raw_fd());
        // SAFETY: The call takes no pointer but a null one.
        let ret = unsafe { libc::syscall(call, file, 1, 0, GETEVENTS, 0_usize, 0_usize) };
        match Errno::result(ret) {
            // The completions do not fit.
            Err(Errno::EBUSY | Errno::EAGAIN) => {}
            other => drop(other?),
        }
        self.completed = u64::from(completions);
        Ok(())
    }
}
