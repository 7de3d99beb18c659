// SPDX-License-Identifier: MIT OR Apache-2.0

//! A reader-writer lock of another crate with sections.

use lock_api::{RawRwLock, RawRwLockDowngrade, RawRwLockFair, RawRwLockTimed};

use super::{Sliced, SlicedGuard};
use crate::acquire::{acquire, acquire_timed, try_acquire};

// SAFETY: The lock inside is one. Each acquisition's state is kept for the operations on it.
unsafe impl<R: RawRwLock> RawRwLock for Sliced<R> {
    const INIT: Self = Self(R::INIT);

    type SharedGuard = SlicedGuard<R::SharedGuard>;
    type ExclusiveGuard = SlicedGuard<R::ExclusiveGuard>;

    #[inline]
    fn lock_shared(&self) -> Self::SharedGuard {
        SlicedGuard::new(acquire(
            || self.0.try_lock_shared(),
            || self.0.is_locked_exclusive(),
            || self.0.lock_shared(),
        ))
    }

    #[inline]
    fn try_lock_shared(&self) -> Option<Self::SharedGuard> {
        try_acquire(|| self.0.try_lock_shared()).map(SlicedGuard::new)
    }

    #[inline]
    unsafe fn unlock_shared(&self, guard: Self::SharedGuard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.unlock(|held| unsafe { self.0.unlock_shared(held) });
    }

    #[inline]
    fn lock_exclusive(&self) -> Self::ExclusiveGuard {
        SlicedGuard::new(acquire(
            || self.0.try_lock_exclusive(),
            || self.0.is_locked(),
            || self.0.lock_exclusive(),
        ))
    }

    #[inline]
    fn try_lock_exclusive(&self) -> Option<Self::ExclusiveGuard> {
        try_acquire(|| self.0.try_lock_exclusive()).map(SlicedGuard::new)
    }

    #[inline]
    unsafe fn unlock_exclusive(&self, guard: Self::ExclusiveGuard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.unlock(|held| unsafe { self.0.unlock_exclusive(held) });
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        self.0.is_locked_exclusive()
    }
}

// SAFETY: Each operation is that of the lock inside, with the state of its acquisition.
unsafe impl<R: RawRwLockFair> RawRwLockFair for Sliced<R> {
    #[inline]
    unsafe fn unlock_shared_fair(&self, guard: Self::SharedGuard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.unlock(|held| unsafe { self.0.unlock_shared_fair(held) });
    }

    #[inline]
    unsafe fn unlock_exclusive_fair(&self, guard: Self::ExclusiveGuard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.unlock(|held| unsafe { self.0.unlock_exclusive_fair(held) });
    }

    #[inline]
    unsafe fn bump_shared(&self, guard: &mut Self::SharedGuard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.outside(|held| unsafe { self.0.bump_shared(held) });
    }

    #[inline]
    unsafe fn bump_exclusive(&self, guard: &mut Self::ExclusiveGuard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.outside(|held| unsafe { self.0.bump_exclusive(held) });
    }
}

// SAFETY: Each operation is that of the lock inside, with the state of its acquisition.
unsafe impl<R: RawRwLockDowngrade> RawRwLockDowngrade for Sliced<R> {
    #[inline]
    unsafe fn downgrade(&self, guard: Self::ExclusiveGuard) -> Self::SharedGuard {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.change(|held| unsafe { self.0.downgrade(held) })
    }
}

// SAFETY: Each operation is that of the lock inside, with the state of its acquisition.
unsafe impl<R: RawRwLockTimed> RawRwLockTimed for Sliced<R> {
    type Duration = R::Duration;
    type Instant = R::Instant;

    #[inline]
    fn try_lock_shared_for(&self, timeout: Self::Duration) -> Option<Self::SharedGuard> {
        let try_lock = || self.0.try_lock_shared();
        acquire_timed(try_lock, || self.0.try_lock_shared_for(timeout)).map(SlicedGuard::new)
    }

    #[inline]
    fn try_lock_shared_until(&self, timeout: Self::Instant) -> Option<Self::SharedGuard> {
        let try_lock = || self.0.try_lock_shared();
        acquire_timed(try_lock, || self.0.try_lock_shared_until(timeout)).map(SlicedGuard::new)
    }

    #[inline]
    fn try_lock_exclusive_for(&self, timeout: Self::Duration) -> Option<Self::ExclusiveGuard> {
        let try_lock = || self.0.try_lock_exclusive();
        acquire_timed(try_lock, || self.0.try_lock_exclusive_for(timeout)).map(SlicedGuard::new)
    }

    #[inline]
    fn try_lock_exclusive_until(&self, timeout: Self::Instant) -> Option<Self::ExclusiveGuard> {
        let try_lock = || self.0.try_lock_exclusive();
        acquire_timed(try_lock, || self.0.try_lock_exclusive_until(timeout)).map(SlicedGuard::new)
    }
}
