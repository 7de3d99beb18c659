// SPDX-License-Identifier: GPL-2.0

//! A page whose faults another thread answers: userfaultfd(2).

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd};

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::memory::Page;
use crate::case::Skip;
use crate::check::check;

const UFFD_API: u64 = 0xaa;
const UFFDIO: u32 = 0xaa;
const MISSING: u64 = 1;

#[repr(C)]
struct Api {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct Register {
    start: u64,
    len: u64,
    mode: u64,
    ioctls: u64,
}

#[repr(C)]
struct Copy {
    dst: u64,
    src: u64,
    len: u64,
    mode: u64,
    copied: i64,
}

/// A page and the file that its faults are reported to.
pub(crate) struct Userfault {
    faults: File,
    page: Page,
}

impl Userfault {
    /// Has the faults on `page` reported from now on, those of the kernel as well.
    pub(crate) fn new(page: Page) -> Result<Self> {
        // SAFETY: The call takes no pointer.
        let fd = Errno::result(unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) });
        if fd == Err(Errno::ENOSYS) {
            return Err(Skip("needs CONFIG_USERFAULTFD".into()).into());
        }
        // SAFETY: The kernel has just opened it for us.
        let faults = unsafe { File::from_raw_fd(i32::try_from(fd?)?) };
        let this = Self { faults, page };
        let mut api = Api {
            api: UFFD_API,
            features: 0,
            ioctls: 0,
        };
        this.control(0x3f, &mut api).context("UFFDIO_API")?;
        let mut register = Register {
            start: this.address(),
            len: Page::SIZE,
            mode: MISSING,
            ioctls: 0,
        };
        this.control(0, &mut register).context("UFFDIO_REGISTER")?;
        Ok(this)
    }

    fn address(&self) -> u64 {
        self.page.area().as_ptr().addr() as u64
    }

    fn control<T>(&self, number: u32, argument: &mut T) -> Result<()> {
        let request = libc::_IOWR::<T>(UFFDIO, number);
        // SAFETY: The structure is the one that the request works on, and lives through the call.
        let ret = unsafe { libc::ioctl(self.faults.as_raw_fd(), request, argument) };
        Errno::result(ret)?;
        Ok(())
    }

    /// Drops the page and returns its content.
    pub(crate) fn drop_page(&self) -> Result<Vec<u8>> {
        let (start, len) = (self.page.area().as_ptr(), Page::SIZE as usize);
        // SAFETY: The page is never unmapped. What its thread writes meanwhile may be lost.
        let content = unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) }.to_vec();
        // SAFETY: Nobody but the kernel touches the page until its faults are answered.
        Errno::result(unsafe { libc::madvise(start.cast(), len, libc::MADV_DONTNEED) })?;
        Ok(content)
    }

    /// Waits for a fault.
    pub(crate) fn wait(&mut self) -> Result<()> {
        const PAGEFAULT: u8 = 0x12;
        let mut message = [0; 32];
        self.faults.read_exact(&mut message)?;
        check!(message[0] == PAGEFAULT, "message {:#x}", message[0]);
        Ok(())
    }

    /// Restores the content, and wakes the threads that wait for it.
    pub(crate) fn answer(&self, content: &[u8]) -> Result<()> {
        let mut copy = Copy {
            dst: self.address(),
            src: content.as_ptr().addr() as u64,
            len: content.len() as u64,
            mode: 0,
            copied: 0,
        };
        self.control(3, &mut copy).context("UFFDIO_COPY")
    }
}
