// SPDX-License-Identifier: GPL-2.0

//! The spinning locks of rseq-slice-locks without sections.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// A spin lock.
#[derive(Debug)]
pub(crate) struct Bare(AtomicBool);

impl Bare {
    #[expect(clippy::declare_interior_mutable_const, reason = "lock_api wants one")]
    const FREE: Self = Self(AtomicBool::new(false));

    #[inline(always)]
    fn take(&self) -> bool {
        self.0
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    #[inline(always)]
    fn acquire(&self) {
        if !self.take() {
            self.acquire_slow();
        }
    }

    #[cold]
    #[inline(never)]
    fn acquire_slow(&self) {
        loop {
            while self.0.load(Ordering::Relaxed) {
                spin_loop();
            }
            if self.take() {
                return;
            }
        }
    }

    #[inline(always)]
    fn release(&self) {
        self.0.store(false, Ordering::Release);
    }

    fn is_taken(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A ticket lock.
#[derive(Debug)]
pub(crate) struct BareTicket {
    next: AtomicU32,
    serving: AtomicU32,
}

impl BareTicket {
    #[expect(clippy::declare_interior_mutable_const, reason = "lock_api wants one")]
    const FREE: Self = Self {
        next: AtomicU32::new(0),
        serving: AtomicU32::new(0),
    };

    #[inline(always)]
    fn take(&self) -> bool {
        let serving = self.serving.load(Ordering::Acquire);
        let (drawn, order) = (serving.wrapping_add(1), Ordering::Relaxed);
        self.next
            .compare_exchange(serving, drawn, order, order)
            .is_ok()
    }

    #[inline(always)]
    fn acquire(&self) {
        let ticket = self.next.fetch_add(1, Ordering::Relaxed);
        if self.serving.load(Ordering::Acquire) != ticket {
            self.acquire_slow(ticket);
        }
    }

    #[cold]
    #[inline(never)]
    fn acquire_slow(&self, ticket: u32) {
        while self.serving.load(Ordering::Acquire) != ticket {
            spin_loop();
        }
    }

    #[inline(always)]
    fn release(&self) {
        let serving = self.serving.load(Ordering::Relaxed);
        self.serving
            .store(serving.wrapping_add(1), Ordering::Release);
    }

    fn is_taken(&self) -> bool {
        self.next.load(Ordering::Relaxed) != self.serving.load(Ordering::Relaxed)
    }
}

macro_rules! raw_mutex {
    ($lock:ident) => {
        // SAFETY: The lock is exclusive, acquires and releases.
        unsafe impl lock_api::RawMutex for $lock {
            const INIT: Self = Self::FREE;

            type Guard = lock_api::GuardNoSend;

            #[inline]
            fn lock(&self) -> Self::Guard {
                self.acquire();
                lock_api::GuardNoSend::new()
            }
            #[inline]
            fn try_lock(&self) -> Option<Self::Guard> {
                self.take().then(lock_api::GuardNoSend::new)
            }
            #[inline]
            unsafe fn unlock(&self, _: Self::Guard) {
                self.release();
            }
            fn is_locked(&self) -> bool {
                self.is_taken()
            }
        }

        // SAFETY: The lock is exclusive, acquires and releases.
        unsafe impl lock_api_v04::RawMutex for $lock {
            const INIT: Self = Self::FREE;

            type GuardMarker = lock_api_v04::GuardNoSend;

            #[inline]
            fn lock(&self) {
                self.acquire();
            }
            #[inline]
            fn try_lock(&self) -> bool {
                self.take()
            }
            #[inline]
            unsafe fn unlock(&self) {
                self.release();
            }
            fn is_locked(&self) -> bool {
                self.is_taken()
            }
        }
    };
}

raw_mutex! { Bare }
raw_mutex! { BareTicket }
