// SPDX-License-Identifier: GPL-2.0

//! A page of memory whose protection can be changed under a registered area.

use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};
use rseq_slice_harness::abi::AREA_LEN;
use rseq_slice_harness::{Area, Registration, sys};

const LEN: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// A private anonymous page, never freed: a registered area may be in it.
#[derive(Clone, Copy)]
pub(crate) struct Page(NonNull<u8>);

// SAFETY: The methods make system calls about the address and never access the memory.
unsafe impl Send for Page {}

impl Page {
    /// Its length in bytes.
    pub(crate) const SIZE: u64 = LEN.get() as u64;

    pub(crate) fn new() -> Result<Self> {
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping, placed by the kernel.
        let page = unsafe { mmap_anonymous(None, LEN, prot, MapFlags::MAP_PRIVATE) }?;
        Ok(Self(page.cast()))
    }

    /// A page that children share with their parent.
    pub(crate) fn shared() -> Result<Self> {
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping, placed by the kernel.
        let page = unsafe { mmap_anonymous(None, LEN, prot, MapFlags::MAP_SHARED) }?;
        Ok(Self(page.cast()))
    }

    /// The first page of a region that a huge page fits into, never unmapped.
    pub(crate) fn huge() -> Result<Self> {
        const HUGE: usize = 2 << 20;
        const REGION: NonZeroUsize = NonZeroUsize::new(2 * HUGE).unwrap();
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping, placed by the kernel.
        let start = unsafe { mmap_anonymous(None, REGION, prot, MapFlags::MAP_PRIVATE) }?;
        let start = start.cast::<u8>();
        // SAFETY: Stays in the first half of the region.
        Ok(Self(unsafe { start.add(start.align_offset(HUGE)) }))
    }

    /// The page `offset` bytes behind this one in its region.
    pub(crate) fn plus(self, offset: usize) -> Self {
        // SAFETY: The callers stay inside of the region.
        Self(unsafe { self.0.add(offset) })
    }

    /// A page of a file, shared with it; never unmapped by itself either.
    pub(crate) fn of_file(file: BorrowedFd<'_>) -> Result<Self> {
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping, placed by the kernel.
        let page = unsafe { mmap(None, LEN, prot, MapFlags::MAP_SHARED, file, 0) }?;
        Ok(Self(page.cast()))
    }

    /// The start of the page, as an area.
    pub(crate) fn area(self) -> NonNull<Area> {
        self.0.cast()
    }

    /// An address inside of the page.
    pub(crate) fn area_at(self, offset: usize) -> NonNull<Area> {
        assert!(offset + AREA_LEN as usize <= LEN.get());
        // SAFETY: Stays inside of the page.
        unsafe { self.0.add(offset) }.cast()
    }

    /// Registers the start of the page for the calling thread.
    pub(crate) fn register(self) -> Result<Registration> {
        // SAFETY: The page is never freed. The tests that take it away do not touch it afterwards.
        Ok(unsafe { Registration::at(self.area(), AREA_LEN, 0) }?)
    }

    /// Changes what the process may do with the page.
    pub(crate) fn protect(self, prot: ProtFlags) -> Result<()> {
        // SAFETY: Nothing but areas is in the page, and no test accesses its area after this.
        unsafe { sys::mprotect(self.0.as_ptr(), LEN.get(), prot.bits()) }?;
        Ok(())
    }

    /// Drops the page from the process's memory, as reclaim would: the next access faults.
    pub(crate) fn drop_from_memory(self) -> Result<()> {
        // SAFETY: What was written is in the file that the page is of.
        let ret = unsafe { libc::madvise(self.0.as_ptr().cast(), LEN.get(), libc::MADV_DONTNEED) };
        Errno::result(ret)?;
        Ok(())
    }

    /// Unmaps the page.
    pub(crate) fn unmap(self) -> Result<()> {
        // SAFETY: Nothing but areas is in the page, and no test accesses its area after this.
        unsafe { munmap(self.0.cast(), LEN.get()) }?;
        Ok(())
    }
}
