// SPDX-License-Identifier: MIT OR Apache-2.0

//! Readers that hold the lock already.

use lock_api_v04::{RawRwLockRecursive, RawRwLockRecursiveTimed};

use super::SlicedRw;

// SAFETY: The lock inside is one, and readers have no sections.
unsafe impl<R: RawRwLockRecursive> RawRwLockRecursive for SlicedRw<R> {
    #[inline]
    fn lock_shared_recursive(&self) {
        self.lock.lock_shared_recursive();
    }

    #[inline]
    fn try_lock_shared_recursive(&self) -> bool {
        self.lock.try_lock_shared_recursive()
    }
}

// SAFETY: Each operation is that of the lock inside, and readers have no sections.
unsafe impl<R: RawRwLockRecursiveTimed> RawRwLockRecursiveTimed for SlicedRw<R> {
    #[inline]
    fn try_lock_shared_recursive_for(&self, timeout: Self::Duration) -> bool {
        self.lock.try_lock_shared_recursive_for(timeout)
    }

    #[inline]
    fn try_lock_shared_recursive_until(&self, timeout: Self::Instant) -> bool {
        self.lock.try_lock_shared_recursive_until(timeout)
    }
}
