// SPDX-License-Identifier: MIT OR Apache-2.0

//! A ticket lock: first come, first served.

use crate::relax::Relax;
use crate::slice::{Token, begin, end};
use crate::sync::{AtomicU32, Ordering};

#[derive(Debug)]
pub(crate) struct Ticket {
    /// The next ticket to draw.
    next: AtomicU32,
    /// The ticket whose turn it is. The lock is free if nobody drew it.
    serving: AtomicU32,
}

impl Ticket {
    #[cfg(not(all(test, loom)))]
    pub(crate) const fn new() -> Self {
        let (next, serving) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { next, serving }
    }

    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        let (next, serving) = (AtomicU32::new(0), AtomicU32::new(0));
        Self { next, serving }
    }

    /// Returns the token of a section that began before the thread looked whether its turn had come.
    #[inline(always)]
    pub(crate) fn lock<R: Relax>(&self) -> Token {
        let token = begin();
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        if self.serving.load(Ordering::Acquire) == ticket {
            return token;
        }
        self.lock_slow::<R>(token, ticket)
    }

    /// The turn comes while the thread waits. So each look is in a section. Otherwise the thread might be
    /// preempted after a look that finds that its turn has come, and before the request.
    #[cold]
    #[inline(never)]
    fn lock_slow<R: Relax>(&self, mut token: Token, ticket: u32) -> Token {
        let mut relax = R::default();
        loop {
            end(token);
            relax.relax();
            token = begin();
            if self.serving.load(Ordering::Acquire) == ticket {
                return token;
            }
        }
    }

    /// Draws a ticket only if its turn has come.
    #[inline(always)]
    pub(crate) fn try_lock(&self) -> Option<Token> {
        let token = begin();
        let serving = self.serving.load(Ordering::Acquire);
        let drawn = self.next.compare_exchange(
            serving,
            serving.wrapping_add(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if drawn.is_ok() {
            return Some(token);
        }
        end(token);
        None
    }

    /// # Safety
    ///
    /// The caller holds the lock, and got the token for it.
    #[inline(always)]
    pub(crate) unsafe fn unlock(&self, token: Token) {
        // Only the holder changes it.
        let serving = self.serving.load(Ordering::Relaxed);
        self.serving
            .store(serving.wrapping_add(1), Ordering::Release);
        end(token);
    }

    #[inline(always)]
    pub(crate) fn is_locked(&self) -> bool {
        self.next.load(Ordering::Relaxed) != self.serving.load(Ordering::Relaxed)
    }

    /// How many tickets were drawn.
    #[cfg(all(test, not(loom), feature = "lock_api_05"))]
    pub(crate) fn drawn(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }
}
