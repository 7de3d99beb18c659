// SPDX-License-Identifier: MIT OR Apache-2.0

//! A mutex of another crate with sections.

use core::fmt;

use lock_api_v04::{GuardNoSend, Mutex, RawMutex, RawMutexFair, RawMutexTimed};

use super::kept::Kept;
use crate::acquire::{acquire, acquire_timed, try_acquire};
use crate::slice::{Token, end};

/// Any mutex of lock_api 0.4 with sections: each holder asks not to be preempted.
///
/// The section begins before the lock is tried. If the lock is taken, the thread looks at it for a short while, outside a
/// section, before it calls the lock's own `lock`, which may sleep; then the section begins when that returns.
pub struct Sliced<R>(pub(super) Mutex<R, Kept>);

impl<R> fmt::Debug for Sliced<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sliced")
    }
}

impl<R> Sliced<R> {
    /// Wraps a lock that nobody holds.
    pub const fn new(lock: R) -> Self {
        Self(Mutex::from_raw(lock, Kept::new()))
    }
}

impl<R: RawMutex> Sliced<R> {
    #[inline(always)]
    fn raw(&self) -> &R {
        // SAFETY: No guard of this mutex is made.
        unsafe { self.0.raw() }
    }

    #[inline(always)]
    pub(super) fn kept(&self) -> &Kept {
        // SAFETY: It is accessed by shared references only.
        unsafe { &*self.0.data_ptr() }
    }

    #[inline(always)]
    fn keep(&self, acquired: Option<((), Token)>) -> bool {
        let Some(((), token)) = acquired else {
            return false;
        };
        // SAFETY: The thread holds the lock.
        unsafe { self.kept().put(token) };
        true
    }

    /// # Safety
    ///
    /// The caller holds the lock.
    #[inline(always)]
    unsafe fn release(&self, unlock: impl FnOnce(&R)) {
        // SAFETY: `keep` put it in.
        let token = unsafe { self.kept().take() };
        unlock(self.raw());
        end(token);
    }
}

// SAFETY: The lock inside is one. The token only tells whose section to end.
unsafe impl<R: RawMutex> RawMutex for Sliced<R> {
    const INIT: Self = Self::new(R::INIT);

    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        let raw = self.raw();
        let acquired = acquire(
            || raw.try_lock().then_some(()),
            || raw.is_locked(),
            || raw.lock(),
        );
        self.keep(Some(acquired));
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.keep(try_acquire(|| self.raw().try_lock().then_some(())))
    }

    #[inline]
    unsafe fn unlock(&self) {
        // SAFETY: The caller holds the lock.
        let unlock = |raw: &R| unsafe { raw.unlock() };
        // SAFETY: The caller holds the lock.
        unsafe { self.release(unlock) };
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.raw().is_locked()
    }
}

// SAFETY: Each operation is that of the lock inside. The token only tells whose section to end.
unsafe impl<R: RawMutexFair> RawMutexFair for Sliced<R> {
    #[inline]
    unsafe fn unlock_fair(&self) {
        // SAFETY: The caller holds the lock.
        let unlock = |raw: &R| unsafe { raw.unlock_fair() };
        // SAFETY: The caller holds the lock.
        unsafe { self.release(unlock) };
    }

    #[inline]
    unsafe fn bump(&self) {
        // SAFETY: The caller holds the lock.
        let bump = || unsafe { self.raw().bump() };
        // SAFETY: The caller holds the lock.
        unsafe { self.kept().outside(bump) };
    }
}

// SAFETY: Each operation is that of the lock inside. The token only tells whose section to end.
unsafe impl<R: RawMutexTimed> RawMutexTimed for Sliced<R> {
    type Duration = R::Duration;
    type Instant = R::Instant;

    #[inline]
    fn try_lock_for(&self, timeout: Self::Duration) -> bool {
        let raw = self.raw();
        self.keep(acquire_timed(
            || raw.try_lock().then_some(()),
            || raw.try_lock_for(timeout).then_some(()),
        ))
    }

    #[inline]
    fn try_lock_until(&self, timeout: Self::Instant) -> bool {
        let raw = self.raw();
        self.keep(acquire_timed(
            || raw.try_lock().then_some(()),
            || raw.try_lock_until(timeout).then_some(()),
        ))
    }
}
