// SPDX-License-Identifier: GPL-2.0

//! The ways in which memory goes away under a registered area.

use std::fs::File;
use std::os::fd::{AsFd, FromRawFd};

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::mman::ProtFlags;

use super::memory::Page;

/// Why an access to the memory faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It was protected with `PROT_NONE`.
    NoAccess,
    /// It was protected with `PROT_READ`.
    ReadOnly,
    /// It was unmapped.
    Unmapped,
    /// It is mapped from a file, which was truncated.
    Truncated,
}

impl Loss {
    pub(crate) const ALL: [Self; 4] = [
        Self::NoAccess,
        Self::ReadOnly,
        Self::Unmapped,
        Self::Truncated,
    ];

    /// A page that can be lost in this way.
    pub(crate) fn page(self) -> Result<LosablePage> {
        let (page, file) = match self {
            Self::Truncated => {
                let file = memory_file()?;
                file.set_len(Page::SIZE)?;
                (Page::of_file(file.as_fd())?, Some(file))
            }
            _ => (Page::new()?, None),
        };
        Ok(LosablePage {
            page,
            file,
            loss: self,
        })
    }
}

/// A page that is going to be lost.
pub(crate) struct LosablePage {
    page: Page,
    file: Option<File>,
    loss: Loss,
}

impl LosablePage {
    pub(crate) const fn page(&self) -> Page {
        self.page
    }

    /// Takes it away from the whole process.
    pub(crate) fn lose(&self) -> Result<()> {
        match self.loss {
            Loss::NoAccess => self.page.protect(ProtFlags::PROT_NONE)?,
            Loss::ReadOnly => self.page.protect(ProtFlags::PROT_READ)?,
            Loss::Unmapped => self.page.unmap()?,
            Loss::Truncated => {
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
