// SPDX-License-Identifier: MIT OR Apache-2.0

//! parking_lot's condition variable for a mutex with sections.

use core::mem::ManuallyDrop;
use core::time::Duration;
use std::time::Instant;

use lock_api_v04::MutexGuard;
use parking_lot_v012::{Condvar, WaitTimeoutResult};

use super::SliceMutexGuard;
use super::kept::Kept;

/// parking_lot's condition variable, for [`SliceMutex`](super::SliceMutex). The section ends before the
/// thread waits, and the next one begins when it holds the mutex again.
///
/// There are no spurious wakeups. Notify after unlocking: waking a thread is a system call, which ends a grant.
///
/// ```
/// use rseq_slice_locks::lock_api_04::{SliceCondvar, SliceMutex};
/// use std::thread;
///
/// static READY: SliceMutex<bool> = SliceMutex::new(false);
/// static CHANGED: SliceCondvar = SliceCondvar::new();
///
/// let setter = thread::spawn(|| {
///     *READY.lock() = true;
///     CHANGED.notify_one();
/// });
/// let mut ready = READY.lock();
/// while !*ready {
///     CHANGED.wait(&mut ready);
/// }
/// drop(ready);
/// setter.join().unwrap();
/// ```
#[derive(Debug, Default)]
pub struct SliceCondvar(Condvar);

impl SliceCondvar {
    /// A condition variable that nobody waits for.
    pub const fn new() -> Self {
        Self(Condvar::new())
    }

    /// Wakes a waiter, if there is one, and tells whether there was.
    pub fn notify_one(&self) -> bool {
        self.0.notify_one()
    }

    /// Wakes all waiters, and tells how many there were.
    pub fn notify_all(&self) -> usize {
        self.0.notify_all()
    }

    /// Unlocks the mutex, waits for a notification, and locks the mutex again.
    ///
    /// # Panics
    ///
    /// If another thread waits with another mutex.
    pub fn wait<T: ?Sized>(&self, guard: &mut SliceMutexGuard<'_, T>) {
        outside(guard, |guard| self.0.wait(guard));
    }

    /// The same, for as long as `condition` holds of what the mutex guards.
    ///
    /// # Panics
    ///
    /// If another thread waits with another mutex.
    pub fn wait_while<T: ?Sized>(
        &self,
        guard: &mut SliceMutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) {
        while condition(guard) {
            self.wait(guard);
        }
    }

    /// The same as [`wait`](Self::wait), until `timeout` at the latest.
    ///
    /// # Panics
    ///
    /// If another thread waits with another mutex.
    pub fn wait_until<T: ?Sized>(
        &self,
        guard: &mut SliceMutexGuard<'_, T>,
        timeout: Instant,
    ) -> WaitTimeoutResult {
        outside(guard, |guard| self.0.wait_until(guard, timeout))
    }

    /// The same as [`wait`](Self::wait), for as long as `timeout` at most.
    ///
    /// # Panics
    ///
    /// If another thread waits with another mutex.
    pub fn wait_for<T: ?Sized>(
        &self,
        guard: &mut SliceMutexGuard<'_, T>,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        outside(guard, |guard| self.0.wait_for(guard, timeout))
    }
}

/// Calls `wait` with a guard of the mutex inside, outside the section.
fn outside<T: ?Sized, U>(
    guard: &mut SliceMutexGuard<'_, T>,
    wait: impl FnOnce(&mut parking_lot_v012::MutexGuard<'_, Kept>) -> U,
) -> U {
    // SAFETY: The lock is unlocked and locked by way of the guard.
    let raw = unsafe { MutexGuard::mutex(guard).raw() };
    // SAFETY: The thread holds the lock. No reference to what it guards lives while it waits, and `guard`
    // is the one that unlocks.
    let mut inside = ManuallyDrop::new(unsafe { raw.0.make_guard_unchecked() });
    // SAFETY: The thread holds the lock when `wait` returns or panics.
    unsafe { raw.kept().outside(|| wait(&mut inside)) }
}
