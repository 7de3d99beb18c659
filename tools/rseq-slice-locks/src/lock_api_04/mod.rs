// SPDX-License-Identifier: MIT OR Apache-2.0

//! The same locks for the traits of lock_api 0.4, for crates that have not moved to 0.5 yet.
//!
//! A guard of lock_api 0.4 has no state of its lock. So the lock contains the token, which only its holder reads and writes. A
//! spin lock is one word, null or the token, and takes an instruction more to unlock; the other locks are a word larger
//! and take an instruction more to lock as well. A [`SlicedRw`] has no such place for each of its readers: they have no
//! sections.
//!
//! ```
//! use rseq_slice_locks::lock_api_04::SpinLock;
//!
//! static COUNT: SpinLock<u64> = SpinLock::new(0);
//!
//! *COUNT.lock() += 1;
//! ```

#[cfg(feature = "parking_lot_012")]
mod condvar;
mod kept;
mod recursive;
mod rwlock;
mod sliced;
mod spinning;
mod upgrade;

#[cfg(feature = "parking_lot_012")]
pub use condvar::SliceCondvar;
pub use rwlock::SlicedRw;
pub use sliced::Sliced;
pub use spinning::{RawSpin, RawTicket};

/// A spin lock: test and test-and-set.
///
/// Its guard belongs to the thread that took the lock:
///
/// ```compile_fail,E0277
/// use rseq_slice_locks::lock_api_04::SpinLock;
///
/// static COUNT: SpinLock<u64> = SpinLock::new(0);
///
/// let guard = COUNT.lock();
/// std::thread::spawn(move || drop(guard));
/// ```
pub type SpinLock<T> = lock_api_v04::Mutex<RawSpin, T>;
/// The guard of a [`SpinLock`].
pub type SpinLockGuard<'a, T> = lock_api_v04::MutexGuard<'a, RawSpin, T>;

/// A spin lock that is taken in the order in which threads asked for it.
pub type TicketLock<T> = lock_api_v04::Mutex<RawTicket, T>;
/// The guard of a [`TicketLock`].
pub type TicketLockGuard<'a, T> = lock_api_v04::MutexGuard<'a, RawTicket, T>;

/// parking_lot's mutex with sections.
#[cfg(feature = "parking_lot_012")]
pub type SliceMutex<T> = lock_api_v04::Mutex<Sliced<parking_lot_v012::RawMutex>, T>;
/// The guard of a [`SliceMutex`].
#[cfg(feature = "parking_lot_012")]
pub type SliceMutexGuard<'a, T> =
    lock_api_v04::MutexGuard<'a, Sliced<parking_lot_v012::RawMutex>, T>;

/// parking_lot's reader-writer lock, whose writers have sections.
///
/// ```
/// use rseq_slice_locks::lock_api_04::SliceRwLock;
///
/// static NAME: SliceRwLock<&str> = SliceRwLock::new("old");
///
/// *NAME.write() = "new";
/// assert_eq!(*NAME.read(), "new");
/// ```
#[cfg(feature = "parking_lot_012")]
pub type SliceRwLock<T> = lock_api_v04::RwLock<SlicedRw<parking_lot_v012::RawRwLock>, T>;
/// The guard of a reader of a [`SliceRwLock`].
#[cfg(feature = "parking_lot_012")]
pub type SliceRwLockReadGuard<'a, T> =
    lock_api_v04::RwLockReadGuard<'a, SlicedRw<parking_lot_v012::RawRwLock>, T>;
/// The guard of a writer of a [`SliceRwLock`].
#[cfg(feature = "parking_lot_012")]
pub type SliceRwLockWriteGuard<'a, T> =
    lock_api_v04::RwLockWriteGuard<'a, SlicedRw<parking_lot_v012::RawRwLock>, T>;
/// The guard of a reader of a [`SliceRwLock`] that may become the writer.
#[cfg(feature = "parking_lot_012")]
pub type SliceRwLockUpgradableReadGuard<'a, T> =
    lock_api_v04::RwLockUpgradableReadGuard<'a, SlicedRw<parking_lot_v012::RawRwLock>, T>;
