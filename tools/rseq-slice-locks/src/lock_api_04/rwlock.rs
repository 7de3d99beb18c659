// SPDX-License-Identifier: MIT OR Apache-2.0

//! A reader-writer lock of another crate, whose writers have sections.

use lock_api_v04::{GuardNoSend, RawRwLock, RawRwLockDowngrade, RawRwLockFair, RawRwLockTimed};

use super::kept::Kept;
use crate::acquire::{acquire, acquire_timed, try_acquire};
use crate::slice::{Token, end};

/// Any reader-writer lock of lock_api 0.4, whose writers have sections.
///
/// Readers, including upgradable ones, have none: a reader's `unlock` is not told which acquisition it ends, and there
/// is no place where the tokens of several readers could be until then. lock_api 0.5 has one.
#[derive(Debug)]
pub struct SlicedRw<R> {
    pub(super) lock: R,
    /// The writer's.
    pub(super) token: Kept,
}

impl<R> SlicedRw<R> {
    /// Wraps a lock that nobody holds.
    pub const fn new(lock: R) -> Self {
        let token = Kept::new();
        Self { lock, token }
    }

    #[inline(always)]
    pub(super) fn keep(&self, acquired: Option<((), Token)>) -> bool {
        let Some(((), token)) = acquired else {
            return false;
        };
        // SAFETY: The thread is the writer.
        unsafe { self.token.put(token) };
        true
    }

    /// Ends the section after `unlock`.
    ///
    /// # Safety
    ///
    /// The caller is the writer.
    #[inline(always)]
    pub(super) unsafe fn release(&self, unlock: impl FnOnce(&R)) {
        // SAFETY: `keep` put it in.
        let token = unsafe { self.token.take() };
        unlock(&self.lock);
        end(token);
    }
}

// SAFETY: The lock inside is one. The token only tells whose section to end.
unsafe impl<R: RawRwLock> RawRwLock for SlicedRw<R> {
    const INIT: Self = Self::new(R::INIT);

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock_shared(&self) {
        self.lock.lock_shared();
    }

    #[inline]
    fn try_lock_shared(&self) -> bool {
        self.lock.try_lock_shared()
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        // SAFETY: The caller is a reader.
        unsafe { self.lock.unlock_shared() };
    }

    #[inline]
    fn lock_exclusive(&self) {
        let lock = &self.lock;
        let acquired = acquire(
            || lock.try_lock_exclusive().then_some(()),
            || lock.is_locked(),
            || lock.lock_exclusive(),
        );
        self.keep(Some(acquired));
    }

    #[inline]
    fn try_lock_exclusive(&self) -> bool {
        self.keep(try_acquire(|| self.lock.try_lock_exclusive().then_some(())))
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        // SAFETY: The caller is the writer.
        let unlock = |lock: &R| unsafe { lock.unlock_exclusive() };
        // SAFETY: The caller is the writer.
        unsafe { self.release(unlock) };
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        self.lock.is_locked_exclusive()
    }
}

// SAFETY: Each operation is that of the lock inside. The token only tells whose section to end.
unsafe impl<R: RawRwLockFair> RawRwLockFair for SlicedRw<R> {
    #[inline]
    unsafe fn unlock_shared_fair(&self) {
        // SAFETY: The caller is a reader.
        unsafe { self.lock.unlock_shared_fair() };
    }

    #[inline]
    unsafe fn unlock_exclusive_fair(&self) {
        // SAFETY: The caller is the writer.
        let unlock = |lock: &R| unsafe { lock.unlock_exclusive_fair() };
        // SAFETY: The caller is the writer.
        unsafe { self.release(unlock) };
    }

    #[inline]
    unsafe fn bump_shared(&self) {
        // SAFETY: The caller is a reader.
        unsafe { self.lock.bump_shared() };
    }

    #[inline]
    unsafe fn bump_exclusive(&self) {
        // SAFETY: The caller is the writer.
        let bump = || unsafe { self.lock.bump_exclusive() };
        // SAFETY: The caller is the writer.
        unsafe { self.token.outside(bump) };
    }
}

// SAFETY: Each operation is that of the lock inside. The token only tells whose section to end.
unsafe impl<R: RawRwLockDowngrade> RawRwLockDowngrade for SlicedRw<R> {
    #[inline]
    unsafe fn downgrade(&self) {
        // SAFETY: The caller is the writer.
        let downgrade = |lock: &R| unsafe { lock.downgrade() };
        // SAFETY: The caller is the writer.
        unsafe { self.release(downgrade) };
    }
}

// SAFETY: Each operation is that of the lock inside. The token only tells whose section to end.
unsafe impl<R: RawRwLockTimed> RawRwLockTimed for SlicedRw<R> {
    type Duration = R::Duration;
    type Instant = R::Instant;

    #[inline]
    fn try_lock_shared_for(&self, timeout: Self::Duration) -> bool {
        self.lock.try_lock_shared_for(timeout)
    }

    #[inline]
    fn try_lock_shared_until(&self, timeout: Self::Instant) -> bool {
        self.lock.try_lock_shared_until(timeout)
    }

    #[inline]
    fn try_lock_exclusive_for(&self, timeout: Self::Duration) -> bool {
        let lock = &self.lock;
        self.keep(acquire_timed(
            || lock.try_lock_exclusive().then_some(()),
            || lock.try_lock_exclusive_for(timeout).then_some(()),
        ))
    }

    #[inline]
    fn try_lock_exclusive_until(&self, timeout: Self::Instant) -> bool {
        let lock = &self.lock;
        self.keep(acquire_timed(
            || lock.try_lock_exclusive().then_some(()),
            || lock.try_lock_exclusive_until(timeout).then_some(()),
        ))
    }
}
