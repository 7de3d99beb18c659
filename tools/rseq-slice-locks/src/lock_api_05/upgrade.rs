// SPDX-License-Identifier: MIT OR Apache-2.0

//! The upgradable mode of a reader-writer lock of another crate.

use lock_api::{
    RawRwLockUpgrade, RawRwLockUpgradeDowngrade, RawRwLockUpgradeFair, RawRwLockUpgradeTimed,
};

use super::{Sliced, SlicedGuard};
use crate::acquire::{acquire, acquire_timed, try_acquire};

// SAFETY: The lock inside is one. Each acquisition's state is kept for the operations on it.
unsafe impl<R: RawRwLockUpgrade> RawRwLockUpgrade for Sliced<R> {
    type UpgradableGuard = SlicedGuard<R::UpgradableGuard>;

    #[inline]
    fn lock_upgradable(&self) -> Self::UpgradableGuard {
        SlicedGuard::new(acquire(
            || self.0.try_lock_upgradable(),
            || self.0.is_locked_exclusive(),
            || self.0.lock_upgradable(),
        ))
    }

    #[inline]
    fn try_lock_upgradable(&self) -> Option<Self::UpgradableGuard> {
        try_acquire(|| self.0.try_lock_upgradable()).map(SlicedGuard::new)
    }

    #[inline]
    unsafe fn unlock_upgradable(&self, guard: Self::UpgradableGuard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.unlock(|held| unsafe { self.0.unlock_upgradable(held) });
    }

    /// The thread waits outside the section for readers that hold the lock.
    #[inline]
    unsafe fn upgrade(&self, guard: Self::UpgradableGuard) -> Self::ExclusiveGuard {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        match guard.try_change(|held| unsafe { self.0.try_upgrade(held) }) {
            Ok(guard) => guard,
            // SAFETY: A failed attempt returns the state of the acquisition, which the caller still has.
            Err(guard) => guard.change_slowly(|held| unsafe { self.0.upgrade(held) }),
        }
    }

    #[inline]
    unsafe fn try_upgrade(
        &self,
        guard: Self::UpgradableGuard,
    ) -> Result<Self::ExclusiveGuard, Self::UpgradableGuard> {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.try_change(|held| unsafe { self.0.try_upgrade(held) })
    }
}

// SAFETY: Each operation is that of the lock inside, with the state of its acquisition.
unsafe impl<R: RawRwLockUpgradeFair> RawRwLockUpgradeFair for Sliced<R> {
    #[inline]
    unsafe fn unlock_upgradable_fair(&self, guard: Self::UpgradableGuard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.unlock(|held| unsafe { self.0.unlock_upgradable_fair(held) });
    }

    #[inline]
    unsafe fn bump_upgradable(&self, guard: &mut Self::UpgradableGuard) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.outside(|held| unsafe { self.0.bump_upgradable(held) });
    }
}

// SAFETY: Each operation is that of the lock inside, with the state of its acquisition.
unsafe impl<R: RawRwLockUpgradeDowngrade> RawRwLockUpgradeDowngrade for Sliced<R> {
    #[inline]
    unsafe fn downgrade_upgradable(&self, guard: Self::UpgradableGuard) -> Self::SharedGuard {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.change(|held| unsafe { self.0.downgrade_upgradable(held) })
    }

    #[inline]
    unsafe fn downgrade_to_upgradable(&self, guard: Self::ExclusiveGuard) -> Self::UpgradableGuard {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.change(|held| unsafe { self.0.downgrade_to_upgradable(held) })
    }
}

// SAFETY: Each operation is that of the lock inside, with the state of its acquisition.
unsafe impl<R: RawRwLockUpgradeTimed> RawRwLockUpgradeTimed for Sliced<R> {
    #[inline]
    fn try_lock_upgradable_for(&self, timeout: Self::Duration) -> Option<Self::UpgradableGuard> {
        let try_lock = || self.0.try_lock_upgradable();
        acquire_timed(try_lock, || self.0.try_lock_upgradable_for(timeout)).map(SlicedGuard::new)
    }

    #[inline]
    fn try_lock_upgradable_until(&self, timeout: Self::Instant) -> Option<Self::UpgradableGuard> {
        let try_lock = || self.0.try_lock_upgradable();
        acquire_timed(try_lock, || self.0.try_lock_upgradable_until(timeout)).map(SlicedGuard::new)
    }

    #[inline]
    unsafe fn try_upgrade_for(
        &self,
        guard: Self::UpgradableGuard,
        timeout: Self::Duration,
    ) -> Result<Self::ExclusiveGuard, Self::UpgradableGuard> {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.try_change_slowly(|held| unsafe { self.0.try_upgrade_for(held, timeout) })
    }

    #[inline]
    unsafe fn try_upgrade_until(
        &self,
        guard: Self::UpgradableGuard,
        timeout: Self::Instant,
    ) -> Result<Self::ExclusiveGuard, Self::UpgradableGuard> {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.try_change_slowly(|held| unsafe { self.0.try_upgrade_until(held, timeout) })
    }
}
