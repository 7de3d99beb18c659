// SPDX-License-Identifier: MIT OR Apache-2.0

//! A thread of a platform without the extension.

use core::ptr::NonNull;

use crate::{Area, Why, policy};

/// There is none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word;

impl Word {
    pub(crate) const NOBODYS: Self = Self;

    #[inline(always)]
    pub(crate) fn into_raw(self) -> NonNull<()> {
        NonNull::dangling()
    }

    /// # Safety
    ///
    /// None: there is nothing in it.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(_: NonNull<()>) -> Self {
        Self
    }

    #[inline(always)]
    pub(crate) fn is_shared(self) -> bool {
        false
    }

    pub(crate) fn address(self) -> Option<NonNull<u8>> {
        None
    }
}

#[inline(always)]
pub(crate) fn begin() -> Word {
    Word
}

#[inline(always)]
pub(crate) fn end(_: Word) {}

pub(crate) fn word() -> Word {
    Word
}

pub(crate) fn support() -> Result<Area, Why> {
    let _ = policy::fixed();
    Err(Why::Platform)
}

pub(crate) fn leave() {}
