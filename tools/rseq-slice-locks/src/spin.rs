// SPDX-License-Identifier: MIT OR Apache-2.0

//! A spin lock: test and test-and-set.

use crate::relax::Relax;
use crate::slice::{Token, begin, end};
use crate::sync::{AtomicBool, Ordering};

/// The word that tells whether a spin lock is taken.
pub(crate) trait State {
    /// What the holder keeps until it unlocks.
    type Held;

    /// Takes the lock if it is free, else returns the token. The token is of a section that has begun.
    fn take(&self, token: Token) -> Result<Self::Held, Token>;

    /// Unlocks, and returns the token.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and got `held` for it.
    unsafe fn release(&self, held: Self::Held) -> Token;

    fn is_taken(&self) -> bool;
}

/// The holder keeps the token.
impl State for AtomicBool {
    type Held = Token;

    #[inline(always)]
    fn take(&self, token: Token) -> Result<Token, Token> {
        // A failed attempt stores nothing: loom does not order a failed swap before the next unlocking.
        match self.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Ok(token),
            Err(_) => Err(token),
        }
    }

    #[inline(always)]
    unsafe fn release(&self, token: Token) -> Token {
        self.store(false, Ordering::Release);
        token
    }

    #[inline(always)]
    fn is_taken(&self) -> bool {
        self.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
pub(crate) struct Spin<S = AtomicBool>(pub(crate) S);

#[cfg(feature = "lock_api_05")]
impl Spin {
    #[cfg(not(all(test, loom)))]
    pub(crate) const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    #[cfg(all(test, loom))]
    pub(crate) fn new() -> Self {
        Self(AtomicBool::new(false))
    }
}

impl<S: State> Spin<S> {
    /// Takes the lock in a section that begins before.
    #[inline(always)]
    pub(crate) fn lock<R: Relax>(&self) -> S::Held {
        match self.0.take(begin()) {
            Ok(held) => held,
            Err(token) => self.lock_slow::<R>(token),
        }
    }

    #[cold]
    #[inline(never)]
    fn lock_slow<R: Relax>(&self, mut token: Token) -> S::Held {
        let mut relax = R::default();
        loop {
            end(token);
            while self.is_locked() {
                relax.relax();
            }
            match self.0.take(begin()) {
                Ok(held) => return held,
                Err(again) => token = again,
            }
        }
    }

    #[inline(always)]
    pub(crate) fn try_lock(&self) -> Option<S::Held> {
        self.0.take(begin()).map_err(end).ok()
    }

    /// # Safety
    ///
    /// The caller holds the lock, and got `held` for it.
    #[inline(always)]
    pub(crate) unsafe fn unlock(&self, held: S::Held) {
        // SAFETY: The caller holds the lock, and got `held` for it.
        end(unsafe { self.0.release(held) });
    }

    #[inline(always)]
    pub(crate) fn is_locked(&self) -> bool {
        self.0.is_taken()
    }
}
