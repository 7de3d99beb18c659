// SPDX-License-Identifier: MIT OR Apache-2.0

//! A lock of another crate with sections, and its exclusive mode.

use core::fmt;
use core::mem;

use lock_api::{RawMutex, RawMutexFair, RawMutexTimed};

use crate::acquire::{acquire, acquire_timed, try_acquire};
use crate::slice::{Token, begin, end};

/// Any lock of [`lock_api`] with sections: each holder asks not to be preempted. It is a mutex if `R` is one, and a
/// reader-writer lock if `R` is one, with sections of readers too.
///
/// ```
/// # #[cfg(feature = "parking_lot")] {
/// use rseq_slice_locks::Sliced;
///
/// type Raw = Sliced<parking_lot::RawFairMutex>;
/// static LOCK: lock_api::Mutex<Raw, u32> = lock_api::Mutex::new(0);
/// *LOCK.lock() += 1;
/// # }
/// ```
///
/// The section begins before the lock is tried. If the lock is taken, the thread looks at it for a short while, outside a
/// section, before it calls the lock's own `lock`, which may sleep; then the section begins when that returns.
#[derive(Debug)]
pub struct Sliced<R>(pub(crate) R);

/// What the guard of a [`Sliced`] lock holds: what the guard of the lock inside holds, and the token of
/// the section.
pub struct SlicedGuard<G> {
    held: G,
    token: Token,
}

// SAFETY: A shared reference gives access to `held` alone.
unsafe impl<G: Sync> Sync for SlicedGuard<G> {}

impl<G: fmt::Debug> fmt::Debug for SlicedGuard<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SlicedGuard").field(&self.held).finish()
    }
}

impl<R> Sliced<R> {
    /// Wraps a lock that nobody holds.
    pub const fn new(lock: R) -> Self {
        Self(lock)
    }

    /// The lock.
    pub fn into_inner(self) -> R {
        self.0
    }
}

impl<G> SlicedGuard<G> {
    #[inline(always)]
    pub(super) fn new((held, token): (G, Token)) -> Self {
        Self { held, token }
    }

    /// Unlocks, then ends the section.
    #[inline(always)]
    pub(super) fn unlock(self, unlock: impl FnOnce(G)) {
        unlock(self.held);
        end(self.token);
    }

    /// Changes the mode of an acquisition within its section.
    #[inline(always)]
    pub(super) fn change<H>(self, change: impl FnOnce(G) -> H) -> SlicedGuard<H> {
        SlicedGuard {
            held: change(self.held),
            token: self.token,
        }
    }

    /// Changes the mode of an acquisition, if that works, within its section.
    #[inline(always)]
    pub(super) fn try_change<H>(
        self,
        change: impl FnOnce(G) -> Result<H, G>,
    ) -> Result<SlicedGuard<H>, Self> {
        let token = self.token;
        match change(self.held) {
            Ok(held) => Ok(SlicedGuard { held, token }),
            Err(held) => Err(Self { held, token }),
        }
    }

    /// Changes the mode of an acquisition by something that waits, outside its section.
    pub(super) fn change_slowly<H>(self, change: impl FnOnce(G) -> H) -> SlicedGuard<H> {
        end(self.token);
        SlicedGuard::new((change(self.held), begin()))
    }

    /// Changes the mode of an acquisition, if that works, by something that waits, outside its section.
    pub(super) fn try_change_slowly<H>(
        self,
        change: impl FnOnce(G) -> Result<H, G>,
    ) -> Result<SlicedGuard<H>, Self> {
        end(self.token);
        match change(self.held) {
            Ok(held) => Ok(SlicedGuard::new((held, begin()))),
            Err(held) => Err(Self::new((held, begin()))),
        }
    }

    /// Calls `wait`, which waits, or hands the lock over and takes it again, outside the section.
    pub(super) fn outside<T>(&mut self, wait: impl FnOnce(&mut G) -> T) -> T {
        end(mem::take(&mut self.token));
        let result = wait(&mut self.held);
        self.token = begin();
        result
    }
}

// SAFETY: The lock inside is one. Each acquisition's state is kept for the operations on it.
unsafe impl<R: RawMutex> RawMutex for Sliced<R> {
    const INIT: Self = Self(R::INIT);

    type Guard = SlicedGuard<R::Guard>;

    #[inline]
    fn lock(&self) -> Self::Guard {
        SlicedGuard::new(acquire(
            || self.0.try_lock(),
            || self.0.is_locked(),
            || self.0.lock(),
        ))
    }

    #[inline]
    fn try_lock(&self) -> Option<Self::Guard> {
        try_acquire(|| self.0.try_lock()).map(SlicedGuard::new)
    }

    #[inline]
    unsafe fn unlock(&self, guard: Self::Guard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.unlock(|held| unsafe { self.0.unlock(held) });
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

// SAFETY: Each operation is that of the lock inside, with the state of its acquisition.
unsafe impl<R: RawMutexFair> RawMutexFair for Sliced<R> {
    #[inline]
    unsafe fn unlock_fair(&self, guard: Self::Guard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.unlock(|held| unsafe { self.0.unlock_fair(held) });
    }

    #[inline]
    unsafe fn bump(&self, guard: &mut Self::Guard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.outside(|held| unsafe { self.0.bump(held) });
    }
}

// SAFETY: Each operation is that of the lock inside, with the state of its acquisition.
unsafe impl<R: RawMutexTimed> RawMutexTimed for Sliced<R> {
    type Duration = R::Duration;
    type Instant = R::Instant;

    #[inline]
    fn try_lock_for(&self, timeout: Self::Duration) -> Option<Self::Guard> {
        acquire_timed(|| self.0.try_lock(), || self.0.try_lock_for(timeout)).map(SlicedGuard::new)
    }

    #[inline]
    fn try_lock_until(&self, timeout: Self::Instant) -> Option<Self::Guard> {
        acquire_timed(|| self.0.try_lock(), || self.0.try_lock_until(timeout)).map(SlicedGuard::new)
    }
}
