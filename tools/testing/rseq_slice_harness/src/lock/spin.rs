// SPDX-License-Identifier: MIT OR Apache-2.0

//! A test-and-set lock.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{LOOKS, RawLock};

/// A test-and-set lock that spins reading, so that waiters leave the cache line alone. Whoever
/// comes first after it is free gets it.
#[repr(align(64))]
#[derive(Default)]
pub struct SpinLock {
    locked: AtomicBool,
}

impl SpinLock {
    fn is_locked(&self) -> bool {
        self.locked.load(Ordering::Relaxed)
    }
}

impl RawLock for SpinLock {
    type Turn = ();

    fn arrive(&self) {}

    fn try_enter(&self, (): &()) -> bool {
        !self.is_locked() && !self.locked.swap(true, Ordering::Acquire)
    }

    fn wait(&self, (): &mut (), stop: &AtomicBool) {
        while (0..LOOKS).all(|_| self.is_locked()) && !stop.load(Ordering::Relaxed) {
            spin_loop();
        }
    }

    unsafe fn leave(&self) {
        self.locked.store(false, Ordering::Release);
    }
}
