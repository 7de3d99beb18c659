// SPDX-License-Identifier: GPL-2.0

//! The spin lock of rseq-slice-locks without sections.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};

/// A spin lock.
#[derive(Debug)]
pub(crate) struct Bare(AtomicBool);

impl Bare {
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
}

// SAFETY: The lock is exclusive, acquires and releases.
unsafe impl lock_api::RawMutex for Bare {
    const INIT: Self = Self(AtomicBool::new(false));

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
        self.0.load(Ordering::Relaxed)
    }
}

// SAFETY: As above.
unsafe impl lock_api_v04::RawMutex for Bare {
    const INIT: Self = Self(AtomicBool::new(false));

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
}
