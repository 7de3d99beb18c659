// SPDX-License-Identifier: GPL-2.0

//! The causes of faults on the memory of a registered area.

use std::fs::File;
use std::os::fd::{AsFd, FromRawFd};

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::mman::ProtFlags;

use super::memory::Page;

/// Why an access to the memory faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultCause {
    /// It was protected with `PROT_NONE`.
    NoAccess,
    /// It was protected with `PROT_READ`.
    ReadOnly,
    /// It was unmapped.
    Unmapped,
    /// It is mapped from a file, which was truncated.
    Truncated,
}

impl FaultCause {
    pub(crate) const ALL: [Self; 4] = [
        Self::NoAccess,
        Self::ReadOnly,
        Self::Unmapped,
        Self::Truncated,
    ];

    /// A page that can be made to fault in this way.
    pub(crate) fn page(self) -> Result<FaultingPage> {
        let (page, file) = match self {
            Self::Truncated => {
                let file = memory_file()?;
                file.set_len(Page::SIZE)?;
                (Page::of_file(file.as_fd())?, Some(file))
            }
            _ => (Page::new()?, None),
        };
        Ok(FaultingPage {
            page,
            file,
            cause: self,
        })
    }
}

/// A page that is going to fault.
pub(crate) struct FaultingPage {
    page: Page,
    file: Option<File>,
    cause: FaultCause,
}

impl FaultingPage {
    pub(crate) const fn page(&self) -> Page {
        self.page
    }

    /// Makes accesses of the whole process fault from now on.
    pub(crate) fn make_fault(&self) -> Result<()> {
        match self.cause {
            FaultCause::NoAccess => self.page.protect(ProtFlags::PROT_NONE)?,
            FaultCause::ReadOnly => self.page.protect(ProtFlags::PROT_READ)?,
            FaultCause::Unmapped => self.page.unmap()?,
            FaultCause::Truncated => {
                if let Some(file) = &self.file {
                    file.set_len(0)?;
                }
            }
        }
        Ok(())
    }
}

/// A page that stays in a file when it is dropped from memory.
pub(crate) fn droppable_page() -> Result<Page> {
    let file = memory_file()?;
    file.set_len(Page::SIZE)?;
    Page::of_file(file.as_fd())
}

fn memory_file() -> Result<File> {
    // SAFETY: The name is a string, which lives through the call.
    let fd = unsafe { libc::memfd_create(c"area".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: The kernel has just opened it for us.
    Ok(unsafe { File::from_raw_fd(Errno::result(fd)?) })
}
