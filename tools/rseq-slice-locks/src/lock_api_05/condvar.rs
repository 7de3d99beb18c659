// SPDX-License-Identifier: MIT OR Apache-2.0

//! A condition variable for a lock with sections.

use lock_api::{RawCondvar, RawCondvarTimed, RawMutex, RawMutexTimed};

use super::{Sliced, SlicedGuard};

/// Any condition variable of [`lock_api`], for use with a [`Sliced`] mutex, and for generic types. The section ends
/// before the thread waits, and the next one begins when it holds the mutex again.
///
/// Spurious wakeups are as with `C`. Notify after unlocking: waking a thread is a system call, which ends a grant.
#[derive(Debug)]
pub struct RawSlicedCondvar<C>(C);

impl<C> RawSlicedCondvar<C> {
    /// Wraps a condition variable that nobody waits for.
    pub const fn new(condvar: C) -> Self {
        Self(condvar)
    }
}

type Guard<C> = SlicedGuard<<<C as RawCondvar>::RawMutex as RawMutex>::Guard>;

// SAFETY: The condition variable inside is one, and goes with the mutex inside. Whenever it returns or unwinds,
// the state of the acquisition is valid, and a section has no part in that.
unsafe impl<C: RawCondvar> RawCondvar for RawSlicedCondvar<C> {
    const INIT: Self = Self(C::INIT);

    type RawMutex = Sliced<C::RawMutex>;

    #[inline]
    unsafe fn wait(&self, mutex: &Self::RawMutex, guard: &mut Guard<C>) {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.outside(|held| unsafe { self.0.wait(&mutex.0, held) });
    }

    #[inline]
    fn notify_one(&self) -> bool {
        self.0.notify_one()
    }

    #[inline]
    fn notify_all(&self) -> usize {
        self.0.notify_all()
    }
}

// SAFETY: Each operation is that of the condition variable inside, with the state of the acquisition of its mutex.
unsafe impl<C: RawCondvarTimed> RawCondvarTimed for RawSlicedCondvar<C>
where
    C::RawMutex: RawMutexTimed,
{
    #[inline]
    fn checked_duration_to_instant(
        timeout: &<C::RawMutex as RawMutexTimed>::Duration,
    ) -> Option<<C::RawMutex as RawMutexTimed>::Instant> {
        C::checked_duration_to_instant(timeout)
    }

    #[inline]
    unsafe fn wait_until(
        &self,
        mutex: &Self::RawMutex,
        guard: &mut Guard<C>,
        timeout: &<C::RawMutex as RawMutexTimed>::Instant,
    ) -> bool {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.outside(|held| unsafe { self.0.wait_until(&mutex.0, held, timeout) })
    }

    #[inline]
    unsafe fn wait_for(
        &self,
        mutex: &Self::RawMutex,
        guard: &mut Guard<C>,
        timeout: &<C::RawMutex as RawMutexTimed>::Duration,
    ) -> bool {
        // SAFETY: The caller holds the lock, and `held` is the state of that acquisition.
        guard.outside(|held| unsafe { self.0.wait_for(&mutex.0, held, timeout) })
    }
}
