// SPDX-License-Identifier: MIT OR Apache-2.0

//! A lock that serves in the order of arrival.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{LOOKS, RawLock};

/// A ticket lock. A waiter whose turn comes while it is off its CPU keeps all others waiting, which
/// no extension for the holder can prevent.
#[repr(align(64))]
#[derive(Default)]
pub struct TicketLock {
    next: AtomicU32,
    serving: AtomicU32,
}

impl RawLock for TicketLock {
    type Turn = u32;

    fn arrive(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn try_enter(&self, &turn: &u32) -> bool {
        self.serving.load(Ordering::Acquire) == turn
    }

    fn wait(&self, turn: &mut u32, stop: &AtomicBool) {
        while !(0..LOOKS).any(|_| self.try_enter(turn)) && !stop.load(Ordering::Relaxed) {
            spin_loop();
        }
    }

    unsafe fn leave(&self) {
        let serving = self.serving.load(Ordering::Relaxed);
        self.serving
            .store(serving.wrapping_add(1), Ordering::Release);
    }
}
