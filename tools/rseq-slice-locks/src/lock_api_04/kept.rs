// SPDX-License-Identifier: MIT OR Apache-2.0

//! The token of the thread that holds a lock.

use core::cell::UnsafeCell;
use core::fmt;

use crate::slice::{Token, begin, end};

/// Is in a lock and belongs to its holder.
pub(super) struct Kept(UnsafeCell<Token>);

// SAFETY: The token of a thread is used by that thread, by the rules of the functions. Between threads there
// are unlocking and locking.
unsafe impl Send for Kept {}
// SAFETY: Only the holder of the lock accesses the token, by the rules of the functions.
unsafe impl Sync for Kept {}

impl Kept {
    pub(super) const fn new() -> Self {
        Self(UnsafeCell::new(Token::NONE))
    }

    /// # Safety
    ///
    /// The caller holds the lock.
    #[inline(always)]
    pub(super) unsafe fn put(&self, token: Token) {
        // SAFETY: Nobody else has access while the caller holds the lock.
        unsafe { self.0.get().write(token) };
    }

    /// Takes out what [`put`](Self::put) put in.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, has put the token in, and puts another in before the next call.
    #[inline(always)]
    pub(super) unsafe fn take(&self) -> Token {
        // SAFETY: Nobody else has access while the caller holds the lock. A token is not dropped, and what
        // remains is not used.
        unsafe { self.0.get().read() }
    }

    /// Calls `wait`, which waits, or hands the lock over and takes it again, outside the section.
    ///
    /// # Safety
    ///
    /// The caller holds the lock before and after `wait`.
    pub(super) unsafe fn outside<T>(&self, wait: impl FnOnce() -> T) -> T {
        // SAFETY: The caller holds the lock and has put the token in. Another one is put in below.
        end(unsafe { self.take() });
        // SAFETY: The caller holds the lock. If `wait` panics, this token is there.
        unsafe { self.put(Token::NONE) };
        let result = wait();
        // SAFETY: The caller holds the lock again after `wait`.
        unsafe { self.put(begin()) };
        result
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}
