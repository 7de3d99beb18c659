// SPDX-License-Identifier: MIT OR Apache-2.0

//! The upgradable mode of a reader-writer lock of another crate. Its holder is a reader, without a section.

use lock_api_v04::{
    RawRwLockUpgrade, RawRwLockUpgradeDowngrade, RawRwLockUpgradeFair, RawRwLockUpgradeTimed,
};

use super::SlicedRw;
use crate::acquire::{acquire_timed, try_acquire};
use crate::slice::begin;

// SAFETY: The lock inside is one. The token only tells whose section to end.
unsafe impl<R: RawRwLockUpgrade> RawRwLockUpgrade for SlicedRw<R> {
    #[inline]
    fn lock_upgradable(&self) {
        self.lock.lock_upgradable();
    }

    #[inline]
    fn try_lock_upgradable(&self) -> bool {
        self.lock.try_lock_upgradable()
    }

    #[inline]
    unsafe fn unlock_upgradable(&self) {
        // SAFETY: The caller is the upgradable reader.
        unsafe { self.lock.unlock_upgradable() };
    }

    #[inline]
    unsafe fn upgrade(&self) {
        // SAFETY: The caller is the upgradable reader.
        let try_upgrade = || unsafe { self.lock.try_upgrade() }.then_some(());
        let acquired = try_acquire(try_upgrade).unwrap_or_else(|| {
            // SAFETY: The caller is the upgradable reader, and still is after a failed attempt.
            unsafe { self.lock.upgrade() };
            ((), begin())
        });
        self.keep(Some(acquired));
    }

    #[inline]
    unsafe fn try_upgrade(&self) -> bool {
        // SAFETY: The caller is the upgradable reader.
        let try_upgrade = || unsafe { self.lock.try_upgrade() }.then_some(());
        self.keep(try_acquire(try_upgrade))
    }
}

// SAFETY: Each operation is that of the lock inside. The token only tells whose section to end.
unsafe impl<R: RawRwLockUpgradeFair> RawRwLockUpgradeFair for SlicedRw<R> {
    #[inline]
    unsafe fn unlock_upgradable_fair(&self) {
        // SAFETY: The caller is the upgradable reader.
        unsafe { self.lock.unlock_upgradable_fair() };
    }

    #[inline]
    unsafe fn bump_upgradable(&self) {
        // SAFETY: The caller is the upgradable reader.
        unsafe { self.lock.bump_upgradable() };
    }
}

// SAFETY: Each operation is that of the lock inside. The token only tells whose section to end.
unsafe impl<R: RawRwLockUpgradeDowngrade> RawRwLockUpgradeDowngrade for SlicedRw<R> {
    #[inline]
    unsafe fn downgrade_upgradable(&self) {
        // SAFETY: The caller is the upgradable reader.
        unsafe { self.lock.downgrade_upgradable() };
    }

    #[inline]
    unsafe fn downgrade_to_upgradable(&self) {
        // SAFETY: The caller is the writer.
        let downgrade = |lock: &R| unsafe { lock.downgrade_to_upgradable() };
        // SAFETY: The caller is the writer.
        unsafe { self.release(downgrade) };
    }
}

// SAFETY: Each operation is that of the lock inside. The token only tells whose section to end.
unsafe impl<R: RawRwLockUpgradeTimed> RawRwLockUpgradeTimed for SlicedRw<R> {
    #[inline]
    fn try_lock_upgradable_for(&self, timeout: Self::Duration) -> bool {
        self.lock.try_lock_upgradable_for(timeout)
    }

    #[inline]
    fn try_lock_upgradable_until(&self, timeout: Self::Instant) -> bool {
        self.lock.try_lock_upgradable_until(timeout)
    }

    #[inline]
    unsafe fn try_upgrade_for(&self, timeout: Self::Duration) -> bool {
        // SAFETY: The caller is the upgradable reader.
        let try_upgrade = || unsafe { self.lock.try_upgrade() }.then_some(());
        // SAFETY: The caller is the upgradable reader, and still is after a failed attempt.
        let wait = || unsafe { self.lock.try_upgrade_for(timeout) }.then_some(());
        self.keep(acquire_timed(try_upgrade, wait))
    }

    #[inline]
    unsafe fn try_upgrade_until(&self, timeout: Self::Instant) -> bool {
        // SAFETY: The caller is the upgradable reader.
        let try_upgrade = || unsafe { self.lock.try_upgrade() }.then_some(());
        // SAFETY: The caller is the upgradable reader, and still is after a failed attempt.
        let wait = || unsafe { self.lock.try_upgrade_until(timeout) }.then_some(());
        self.keep(acquire_timed(try_upgrade, wait))
    }
}
