// SPDX-License-Identifier: MIT OR Apache-2.0

//! Locks for the traits of lock_api 0.5, whose guards carry the token.

mod condvar;
mod rwlock;
mod sliced;
mod spinning;
mod upgrade;

pub use condvar::RawSlicedCondvar;
pub use sliced::{Sliced, SlicedGuard};
pub use spinning::{RawSpin, RawTicket, SpinGuard};

/// A spin lock: test and test-and-set.
///
/// ```
/// use rseq_slice_locks::SpinLock;
///
/// static COUNT: SpinLock<u64> = SpinLock::new(0);
///
/// *COUNT.lock() += 1;
/// assert_eq!(*COUNT.lock(), 1);
/// ```
///
/// Its guard belongs to the thread that took the lock:
///
/// ```compile_fail,E0277
/// use rseq_slice_locks::SpinLock;
///
/// static COUNT: SpinLock<u64> = SpinLock::new(0);
///
/// let guard = COUNT.lock();
/// std::thread::spawn(move || drop(guard));
/// ```
pub type SpinLock<T> = lock_api::Mutex<RawSpin, T>;
/// The guard of a [`SpinLock`].
pub type SpinLockGuard<'a, T> = lock_api::MutexGuard<'a, RawSpin, T>;

/// A spin lock that is taken in the order in which threads asked for it.
///
/// ```
/// use rseq_slice_locks::TicketLock;
///
/// static COUNT: TicketLock<u64> = TicketLock::new(0);
///
/// *COUNT.lock() += 1;
/// assert!(COUNT.try_lock().is_some());
/// ```
pub type TicketLock<T> = lock_api::Mutex<RawTicket, T>;
/// The guard of a [`TicketLock`].
pub type TicketLockGuard<'a, T> = lock_api::MutexGuard<'a, RawTicket, T>;

/// parking_lot's mutex with sections.
///
/// ```
/// use rseq_slice_locks::{SliceCondvar, SliceMutex};
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
/// CHANGED.wait_while(&mut ready, |ready| !*ready);
/// assert!(*ready);
/// drop(ready);
/// setter.join().unwrap();
/// ```
#[cfg(feature = "parking_lot")]
pub type SliceMutex<T> = lock_api::Mutex<Sliced<parking_lot::RawMutex>, T>;
/// The guard of a [`SliceMutex`].
#[cfg(feature = "parking_lot")]
pub type SliceMutexGuard<'a, T> = lock_api::MutexGuard<'a, Sliced<parking_lot::RawMutex>, T>;

/// parking_lot's condition variable, for [`SliceMutex`]. The section ends before the thread waits.
#[cfg(feature = "parking_lot")]
pub type SliceCondvar = lock_api::Condvar<RawSlicedCondvar<parking_lot::RawCondvar>>;

/// parking_lot's reader-writer lock with sections, also of readers.
///
/// ```
/// use rseq_slice_locks::SliceRwLock;
///
/// static NAME: SliceRwLock<&str> = SliceRwLock::new("old");
///
/// *NAME.write() = "new";
/// let (one, two) = (NAME.read(), NAME.read());
/// assert_eq!((*one, *two), ("new", "new"));
/// ```
#[cfg(feature = "parking_lot")]
pub type SliceRwLock<T> = lock_api::RwLock<Sliced<parking_lot::RawRwLock>, T>;
/// The guard of a reader of a [`SliceRwLock`].
#[cfg(feature = "parking_lot")]
pub type SliceRwLockReadGuard<'a, T> =
    lock_api::RwLockReadGuard<'a, Sliced<parking_lot::RawRwLock>, T>;
/// The guard of a writer of a [`SliceRwLock`].
#[cfg(feature = "parking_lot")]
pub type SliceRwLockWriteGuard<'a, T> =
    lock_api::RwLockWriteGuard<'a, Sliced<parking_lot::RawRwLock>, T>;
/// The guard of a reader of a [`SliceRwLock`] that may become the writer.
#[cfg(feature = "parking_lot")]
pub type SliceRwLockUpgradableReadGuard<'a, T> =
    lock_api::RwLockUpgradableReadGuard<'a, Sliced<parking_lot::RawRwLock>, T>;
