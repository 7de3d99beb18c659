// SPDX-License-Identifier: GPL-2.0

//! A spin lock with data in it.

use std::cell::UnsafeCell;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rseq_slice::{Control, Request, Section};

/// Looks at a taken lock between two spin loop hints.
const LOOKS: u32 = 100;

/// A test-and-set lock that spins reading, so that waiters leave the cache line alone.
#[repr(align(64))]
pub(crate) struct SpinLock<T> {
    locked: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: `with` gives access to the data to one thread at a time.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    pub(crate) fn new(data: T) -> Self {
        Self {
            locked: AtomicBool::new(false),
            data: UnsafeCell::new(data),
        }
    }

    pub(crate) fn into_inner(self) -> T {
        self.data.into_inner()
    }

    fn is_locked(&self) -> bool {
        self.locked.load(Ordering::Relaxed)
    }

    /// Looks at the lock for a while. An emulator that counts instructions turns each spin loop hint
    /// into a switch to its next CPU, which takes it long.
    fn stays_locked(&self) -> bool {
        (0..LOOKS).all(|_| self.is_locked())
    }

    fn try_lock(&self) -> bool {
        !self.is_locked() && !self.locked.swap(true, Ordering::Acquire)
    }

    /// Runs `work` on the data under the lock; gives up as soon as `stop` is set. Returns how long
    /// the lock kept the thread waiting.
    ///
    /// The request for an extension covers the attempt to take the lock, because a preemption right
    /// after it hurts just as much, but not the wait for it: a waiter that holds the CPU longer
    /// only keeps the lock's holder from it.
    pub(crate) fn with<C: Control>(
        &self,
        control: &mut C,
        stop: &AtomicBool,
        work: impl FnOnce(&mut T),
    ) -> Option<Duration> {
        let mut since = None;
        let section = loop {
            let section = Section::begin(control);
            if self.try_lock() {
                break Some(section);
            }
            section.end();
            since.get_or_insert_with(Instant::now);
            while self.stays_locked() && !stop.load(Ordering::Relaxed) {
                spin_loop();
            }
            if stop.load(Ordering::Relaxed) {
                break None;
            }
        };
        let waited = since.map(|since| since.elapsed());
        if let Some(section) = section {
            // SAFETY: The lock is held, and released only below.
            work(unsafe { &mut *self.data.get() });
            self.locked.store(false, Ordering::Release);
            section.end();
        }
        waited
    }
}

/// The control word of a thread that does without the extension.
pub(crate) struct NoExtension;

impl Control for NoExtension {
    fn request(&self) {}

    fn withdraw(&self) -> Request {
        Request::Unused
    }

    fn is_granted(&self) -> bool {
        false
    }
}

/// The data under the lock.
pub(crate) struct Work {
    state: u64,
    done: u64,
}

impl Work {
    /// Steps of one piece of work.
    pub(crate) const STEPS: u32 = 60;

    pub(crate) fn new() -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15,
            done: 0,
        }
    }

    /// How many pieces were done. Two threads at once would lose one, whenever they meet.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Does one piece: a few steps of a random sequence.
    pub(crate) fn do_one(&mut self) {
        let done = black_box(self.done);
        for _ in 0..Self::STEPS {
            let mut x = self.state;
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            self.state = black_box(x);
        }
        self.done = done + 1;
    }
}
