// SPDX-License-Identifier: MIT OR Apache-2.0

//! A mutex that spins for a while and then sleeps.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::{LOOKS, RawLock};
use crate::sys;

const FREE: u32 = 0;
const TAKEN: u32 = 1;
/// Taken, and somebody may sleep.
const AWAITED: u32 = 2;

/// Rounds of spinning before a waiter sleeps.
const ROUNDS: u32 = 10;

/// A futex mutex with adaptive spinning.
#[repr(align(64))]
#[derive(Default)]
pub struct FutexMutex {
    state: AtomicU32,
}

impl FutexMutex {
    fn is_free(&self) -> bool {
        self.state.load(Ordering::Relaxed) == FREE
    }

    /// Says that somebody is about to sleep. Returns whether there is still something to wait for.
    fn announce(&self) -> bool {
        matches!(
            self.state
                .compare_exchange(TAKEN, AWAITED, Ordering::Relaxed, Ordering::Relaxed),
            Ok(_) | Err(AWAITED)
        )
    }
}

impl RawLock for FutexMutex {
    /// What to put into the state on entering: a thread that has slept cannot know whether others sleep.
    type Turn = u32;

    fn arrive(&self) -> u32 {
        TAKEN
    }

    fn try_enter(&self, &turn: &u32) -> bool {
        self.state
            .compare_exchange(FREE, turn, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    fn wait(&self, turn: &mut u32, stop: &AtomicBool) {
        for _ in 0..ROUNDS {
            if (0..LOOKS).any(|_| self.is_free()) || stop.load(Ordering::Relaxed) {
                return;
            }
            spin_loop();
        }
        if self.announce() {
            *turn = AWAITED;
            sys::futex_wait(&self.state, AWAITED);
        }
    }

    unsafe fn leave(&self) {
        if self.state.swap(FREE, Ordering::Release) == AWAITED {
            sys::futex_wake(&self.state, 1);
        }
    }

    fn wake_all(&self) {
        sys::futex_wake(&self.state, i32::MAX);
    }
}
