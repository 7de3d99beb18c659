// SPDX-License-Identifier: MIT OR Apache-2.0

//! Locks whose holders ask for time slice extensions.

mod futex;
mod spin;
mod thread_requests;
mod ticket;

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use futex::FutexMutex;
pub use spin::SpinLock;
pub use thread_requests::{EndCounts, NoExtension, Pattern, ThreadRequests};
pub use ticket::TicketLock;

use crate::control::Control;

/// Looks at a taken lock between two spin loop hints.
///
/// An emulator that counts instructions turns each hint into a switch to its next CPU, which takes
/// it long.
const LOOKS: u32 = 100;

/// Steps of a lock, to be called in order: arrive, then enter or wait until that succeeds, then
/// leave.
pub trait RawLock: Default + Sync {
    /// What a thread has from its arrival until it is in.
    type Turn;

    /// A thread wants the lock.
    fn arrive(&self) -> Self::Turn;

    /// Takes the lock if it is free for this thread.
    fn try_enter(&self, turn: &Self::Turn) -> bool;

    /// Waits for a while, at most until `try_enter` may succeed or until `stop`.
    fn wait(&self, turn: &mut Self::Turn, stop: &AtomicBool);

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// The calling thread holds the lock.
    unsafe fn leave(&self);

    /// Lets threads that sleep in `wait` look at their `stop`.
    fn wake_all(&self) {}
}

/// A lock with the data that it guards.
#[derive(Default)]
pub struct Guarded<L, T> {
    lock: L,
    data: UnsafeCell<T>,
}

// SAFETY: `with` gives access to the data to one thread at a time.
unsafe impl<L: RawLock, T: Send> Sync for Guarded<L, T> {}

impl<L: RawLock, T> Guarded<L, T> {
    /// A free lock around `data`.
    pub fn new(data: T) -> Self {
        Self {
            lock: L::default(),
            data: UnsafeCell::new(data),
        }
    }

    /// The data, which nobody else can reach any more.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }

    /// Runs `work` on the data under the lock, inside a request for an extension; stops waiting as soon
    /// as `stop` is set. Returns how long a thread that had to wait took from then until it released the
    /// lock or stopped waiting, `None` if it did not have to: the clock is not read under the lock.
    ///
    /// The request covers the attempt to take the lock, because a preemption right after it hurts
    /// just as much. Whether it covers the wait as well depends on the [`Pattern`].
    pub fn with<C: Control>(
        &self,
        requests: &mut ThreadRequests<'_, C>,
        stop: &AtomicBool,
        work: impl FnOnce(&mut T),
    ) -> Option<Duration> {
        requests.begin();
        let mut turn = self.lock.arrive();
        let mut since = None;
        while !self.lock.try_enter(&turn) {
            requests.pause();
            since.get_or_insert_with(Instant::now);
            self.lock.wait(&mut turn, stop);
            if stop.load(Ordering::Relaxed) {
                requests.cancel();
                self.lock.wake_all();
                return since.map(|since| since.elapsed());
            }
            requests.resume();
        }
        // SAFETY: This thread holds the lock until it leaves below, so that nobody else has a reference.
        work(unsafe { &mut *self.data.get() });
        // SAFETY: This thread holds the lock, and the reference to the data is not used any more.
        unsafe { self.lock.leave() };
        let waited = since.map(|since| since.elapsed());
        requests.end();
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::thread_requests::tests::Log;
    use super::*;
    use std::thread;

    const THREADS: usize = 4;
    const ROUNDS: u64 = 5_000;

    /// Counts under the lock with reads and writes apart, so that two threads at once lose a count.
    fn excludes<L: RawLock>() {
        let (shared, stop) = (Guarded::<L, u64>::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    let mut control = NoExtension;
                    let mut requests = ThreadRequests::new(&mut control, Pattern::Dropped);
                    for _ in 0..ROUNDS {
                        shared.with(&mut requests, &stop, |count| {
                            let seen = std::hint::black_box(*count);
                            *count = seen + 1;
                        });
                    }
                });
            }
        });
        assert_eq!(shared.into_inner(), THREADS as u64 * ROUNDS);
    }

    /// A thread that waits for a lock which nobody releases ends with `stop`, and each of its
    /// requests once.
    fn stops_waiting<L: RawLock>(pattern: Pattern) {
        let (shared, stop) = (Guarded::<L, ()>::new(()), AtomicBool::new(false));
        let turn = shared.lock.arrive();
        assert!(shared.lock.try_enter(&turn));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let (mut log, mut entered) = (Log::default(), false);
                let mut requests = ThreadRequests::new(&mut log, pattern);
                shared.with(&mut requests, &stop, |()| entered = true);
                let (requests, ends) = log.0.get();
                !entered && requests == ends
            });
            thread::sleep(Duration::from_millis(20));
            stop.store(true, Ordering::Relaxed);
            shared.lock.wake_all();
            assert!(waiter.join().unwrap(), "{pattern:?}");
        });
    }

    #[test]
    fn locks_exclude() {
        excludes::<SpinLock>();
        excludes::<TicketLock>();
        excludes::<FutexMutex>();
    }

    #[test]
    fn waiters_stop() {
        for pattern in [Pattern::Dropped, Pattern::Held] {
            stops_waiting::<SpinLock>(pattern);
            stops_waiting::<TicketLock>(pattern);
            stops_waiting::<FutexMutex>(pattern);
        }
    }
}
