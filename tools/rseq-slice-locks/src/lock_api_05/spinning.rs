// SPDX-License-Identifier: MIT OR Apache-2.0

//! The raw spinning locks.

use core::fmt;
use core::marker::PhantomData;

use lock_api::{RawMutex, RawMutexFair};

use crate::relax::{Looks, Relax};
use crate::slice::Token;
use crate::spin::Spin;
use crate::ticket::Ticket;

/// What the guard of a [`RawSpin`] or [`RawTicket`] holds: the token of its section.
pub struct SpinGuard(Token);

// SAFETY: A shared reference gives access to nothing.
unsafe impl Sync for SpinGuard {}

impl fmt::Debug for SpinGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpinGuard")
    }
}

macro_rules! raw_lock {
    ($(#[$doc:meta])* $name:ident, $core:ident) => {
        $(#[$doc])*
        pub struct $name<R = Looks>($core, PhantomData<fn() -> R>);

        impl<R> $name<R> {
            #[cfg(all(test, loom))]
            pub(crate) fn new() -> Self {
                Self($core::new(), PhantomData)
            }
        }

        impl<R> fmt::Debug for $name<R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }

        // SAFETY: The lock is exclusive, acquires and releases. The token only tells whose section to end.
        unsafe impl<R: Relax> RawMutex for $name<R> {
            #[cfg(not(all(test, loom)))]
            const INIT: Self = Self($core::new(), PhantomData);
            #[cfg(all(test, loom))]
            const INIT: Self = panic!("loom's atomics are not constant: call new()");

            type Guard = SpinGuard;

            #[inline]
            fn lock(&self) -> SpinGuard {
                SpinGuard(self.0.lock::<R>())
            }

            #[inline]
            fn try_lock(&self) -> Option<SpinGuard> {
                self.0.try_lock().map(SpinGuard)
            }

            #[inline]
            unsafe fn unlock(&self, guard: SpinGuard) {
                // SAFETY: The caller holds the lock, and got `guard` for it.
                unsafe { self.0.unlock(guard.0) };
            }

            #[inline]
            fn is_locked(&self) -> bool {
                self.0.is_locked()
            }
        }
    };
}

raw_lock! {
    /// The lock of a [`SpinLock`](crate::SpinLock), for [`lock_api::Mutex`] and generic types.
    ///
    /// `R` says what a waiter does between two looks:
    ///
    /// ```
    /// use rseq_slice_locks::{Looks, RawSpin};
    ///
    /// static LOCK: lock_api::Mutex<RawSpin<Looks<10>>, u32> = lock_api::Mutex::new(0);
    /// *LOCK.lock() += 1;
    /// ```
    RawSpin, Spin
}
raw_lock! {
    /// The lock of a [`TicketLock`](crate::TicketLock), for [`lock_api::Mutex`] and generic types.
    ///
    /// `R` says what a waiter does between two looks.
    RawTicket, Ticket
}

// SAFETY: A ticket lock always goes to the next in line.
unsafe impl<R: Relax> RawMutexFair for RawTicket<R> {
    #[inline]
    unsafe fn unlock_fair(&self, guard: SpinGuard) {
        // SAFETY: The caller holds the lock, and got `guard` for it.
        unsafe { self.0.unlock(guard.0) };
    }
}

#[cfg(all(test, not(loom)))]
impl<R> RawTicket<R> {
    pub(crate) fn drawn(&self) -> u32 {
        self.0.drawn()
    }
}
