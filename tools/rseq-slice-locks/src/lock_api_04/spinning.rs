// SPDX-License-Identifier: MIT OR Apache-2.0

//! The raw spinning locks.

use core::fmt;
use core::marker::PhantomData;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use lock_api_v04::{GuardNoSend, RawMutex, RawMutexFair};

use super::kept::Kept;
use crate::relax::{Looks, Relax};
use crate::slice::Token;
use crate::spin::{Spin, State};
use crate::ticket::Ticket;

/// The word of a spin lock: null if it is free, else the token of its holder.
#[derive(Debug)]
struct TokenWord(AtomicPtr<()>);

impl State for TokenWord {
    type Held = ();

    #[inline(always)]
    fn take(&self, token: Token) -> Result<(), Token> {
        let raw = token.into_raw();
        let taken = self.0.compare_exchange(
            ptr::null_mut(),
            raw.as_ptr(),
            Ordering::Acquire,
            Ordering::Relaxed,
        );
        match taken {
            Ok(_) => Ok(()),
            // SAFETY: `raw` was made of `token`, and did not get into the word.
            Err(_) => Err(unsafe { Token::from_raw(raw) }),
        }
    }

    #[inline(always)]
    unsafe fn release(&self, (): ()) -> Token {
        // SAFETY: Nobody writes the word while the caller holds the lock. Not atomic, so that nothing is read where a
        // token holds nothing.
        let raw = unsafe { self.0.as_ptr().read() };
        self.0.store(ptr::null_mut(), Ordering::Release);
        // SAFETY: `take` put a token in, which is not null.
        let raw = unsafe { NonNull::new_unchecked(raw) };
        // SAFETY: `take` made the pointer of a token of this thread, which holds the lock.
        unsafe { Token::from_raw(raw) }
    }

    #[inline(always)]
    fn is_taken(&self) -> bool {
        !self.0.load(Ordering::Relaxed).is_null()
    }
}

impl Spin<TokenWord> {
    const fn free() -> Self {
        Self(TokenWord(AtomicPtr::new(ptr::null_mut())))
    }
}

/// A ticket lock and the token of its holder.
#[derive(Debug)]
struct KeptTicket {
    lock: Ticket,
    token: Kept,
}

impl KeptTicket {
    const fn free() -> Self {
        let (lock, token) = (Ticket::new(), Kept::new());
        Self { lock, token }
    }

    #[inline(always)]
    fn lock<R: Relax>(&self) {
        let token = self.lock.lock::<R>();
        // SAFETY: The thread holds the lock.
        unsafe { self.token.put(token) };
    }

    #[inline(always)]
    fn try_lock(&self) -> Option<()> {
        let token = self.lock.try_lock()?;
        // SAFETY: The thread holds the lock.
        unsafe { self.token.put(token) };
        Some(())
    }

    /// # Safety
    ///
    /// The caller holds the lock.
    #[inline(always)]
    unsafe fn unlock(&self, (): ()) {
        // SAFETY: The caller holds the lock. The token was put in when the lock was taken.
        let token = unsafe { self.token.take() };
        // SAFETY: The caller holds the lock, and the token is of that section.
        unsafe { self.lock.unlock(token) };
    }

    #[inline(always)]
    fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }
}

macro_rules! raw_lock {
    ($(#[$doc:meta])* $name:ident, $core:ty) => {
        $(#[$doc])*
        pub struct $name<R = Looks>($core, PhantomData<fn() -> R>);

        impl<R> fmt::Debug for $name<R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($name)).field(&self.0).finish()
            }
        }

        // SAFETY: The lock is exclusive. The token only tells whose section to end.
        unsafe impl<R: Relax> RawMutex for $name<R> {
            const INIT: Self = Self(<$core>::free(), PhantomData);

            type GuardMarker = GuardNoSend;

            #[inline]
            fn lock(&self) {
                self.0.lock::<R>();
            }

            #[inline]
            fn try_lock(&self) -> bool {
                self.0.try_lock().is_some()
            }

            #[inline]
            unsafe fn unlock(&self) {
                // SAFETY: The caller holds the lock.
                unsafe { self.0.unlock(()) };
            }

            #[inline]
            fn is_locked(&self) -> bool {
                self.0.is_locked()
            }
        }
    };
}

raw_lock! {
    /// The lock of a [`SpinLock`](super::SpinLock), for generic types.
    ///
    /// `R` says what a waiter does between two looks.
    RawSpin, Spin<TokenWord>
}
raw_lock! {
    /// The lock of a [`TicketLock`](super::TicketLock), for generic types.
    ///
    /// `R` says what a waiter does between two looks.
    RawTicket, KeptTicket
}

// SAFETY: A ticket lock always goes to the next in line.
unsafe impl<R: Relax> RawMutexFair for RawTicket<R> {
    #[inline]
    unsafe fn unlock_fair(&self) {
        // SAFETY: The caller holds the lock.
        unsafe { self.unlock() };
    }
}
