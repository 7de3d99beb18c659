// SPDX-License-Identifier: MIT OR Apache-2.0

//! The raw spinning locks.

use core::fmt;
use core::marker::PhantomData;

use lock_api_v04::{GuardNoSend, RawMutex, RawMutexFair};

use super::kept::Kept;
use crate::relax::{Looks, Relax};
use crate::spin::Spin;
use crate::ticket::Ticket;

macro_rules! raw_lock {
    ($(#[$doc:meta])* $name:ident, $core:ident) => {
        $(#[$doc])*
        pub struct $name<R = Looks> {
            lock: $core,
            token: Kept,
            relax: PhantomData<fn() -> R>,
        }

        impl<R> fmt::Debug for $name<R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.lock).finish()
            }
        }

        // SAFETY: The lock is exclusive. The token only tells whose section to end.
        unsafe impl<R: Relax> RawMutex for $name<R> {
            const INIT: Self = Self { lock: $core::new(), token: Kept::new(), relax: PhantomData };

            type GuardMarker = GuardNoSend;

            #[inline]
            fn lock(&self) {
                let token = self.lock.lock::<R>();
                // SAFETY: The thread holds the lock.
                unsafe { self.token.put(token) };
            }

            #[inline]
            fn try_lock(&self) -> bool {
                match self.lock.try_lock() {
                    Some(token) => {
                        // SAFETY: The thread holds the lock.
                        unsafe { self.token.put(token) };
                        true
                    }
                    None => false,
                }
            }

            #[inline]
            unsafe fn unlock(&self) {
                // SAFETY: The caller holds the lock, and `lock` put the token in.
                self.lock.unlock(unsafe { self.token.take() });
            }

            #[inline]
            fn is_locked(&self) -> bool {
                self.lock.is_locked()
            }
        }
    };
}

raw_lock! {
    /// The lock of a [`SpinLock`](super::SpinLock), for generic types.
    ///
    /// `R` says what a waiter does between two looks.
    RawSpin, Spin
}
raw_lock! {
    /// The lock of a [`TicketLock`](super::TicketLock), for generic types.
    ///
    /// `R` says what a waiter does between two looks.
    RawTicket, Ticket
}

// SAFETY: A ticket lock always goes to the next in line.
unsafe impl<R: Relax> RawMutexFair for RawTicket<R> {
    #[inline]
    unsafe fn unlock_fair(&self) {
        // SAFETY: The caller's.
        unsafe { self.unlock() };
    }
}
