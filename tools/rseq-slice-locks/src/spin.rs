// SPDX-License-Identifier: MIT OR Apache-2.0

//! A spin lock: test and test-and-set.

use crate::relax::Relax;
use crate::slice::{Token, begin, end};
use crate::sync::{AtomicBool, Ordering};

#[derive(Debug)]
pub(crate) struct Spin {
    locked: AtomicBool,
}

impl Spin {
    #[cfg(not(all(test, loom)))]
    pub(crate) const fn new() -> Self {
        let locked = AtomicBool::new(false);
        Self { locked }
    }

    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        let locked = AtomicBool::new(false);
        Self { locked }
    }

    /// The token is of a section that began before the lock was taken.
    #[inline(always)]
    pub(crate) fn lock<R: Relax>(&self) -> Token {
        let token = begin();
        if self.take() {
            return token;
        }
        self.lock_slow::<R>(token)
    }

    #[cold]
    #[inline(never)]
    fn lock_slow<R: Relax>(&self, mut token: Token) -> Token {
        let mut relax = R::default();
        loop {
            end(token);
            while self.is_locked() {
                relax.relax();
            }
            token = begin();
            if self.take() {
                return token;
            }
        }
    }

    #[inline(always)]
    pub(crate) fn try_lock(&self) -> Option<Token> {
        let token = begin();
        if self.take() {
            return Some(token);
        }
        end(token);
        None
    }

    #[inline(always)]
    fn take(&self) -> bool {
        // A failed attempt stores nothing: loom does not order a failed swap before the next unlocking.
        self.locked
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// The caller holds the lock and got the token for it.
    #[inline(always)]
    pub(crate) fn unlock(&self, token: Token) {
        self.locked.store(false, Ordering::Release);
        end(token);
    }

    #[inline(always)]
    pub(crate) fn is_locked(&self) -> bool {
        self.locked.load(Ordering::Relaxed)
    }
}
