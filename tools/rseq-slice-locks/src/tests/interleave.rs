// SPDX-License-Identifier: MIT OR Apache-2.0

//! All interleavings of a few threads, by loom:
//!
//! ```sh
//! RUSTFLAGS='--cfg loom' cargo test --release -p rseq-slice-locks --lib
//! ```

use lock_api::{GuardNoSend, Mutex, RawMutex};
use loom::cell::UnsafeCell;
use loom::sync::{Arc, Condvar as LoomCondvar, Mutex as LoomMutex};
use loom::thread;

use super::record::requests;
use crate::{RawSpin, RawTicket, Relax, Sliced};

loom::lazy_static! {
    /// How often a lock was unlocked.
    static ref UNLOCKED: (LoomMutex<u32>, LoomCondvar) = (LoomMutex::new(0), LoomCondvar::new());
}

/// Sleeps until a lock is unlocked, between two looks: loom does not get to the end of threads that spin.
#[derive(Default)]
struct UntilUnlocked(Option<u32>);

impl Relax for UntilUnlocked {
    fn relax(&mut self) {
        assert!(!requests(), "a thread waits with a request");
        let mut unlocked = UNLOCKED.0.lock().unwrap();
        while self.0 == Some(*unlocked) {
            unlocked = UNLOCKED.1.wait(unlocked).unwrap();
        }
        self.0 = Some(*unlocked);
    }
}

/// A lock that wakes those who sleep between two looks.
struct WakingLock<R>(R);

// SAFETY: The lock inside is one.
unsafe impl<R: RawMutex> RawMutex for WakingLock<R> {
    const INIT: Self = panic!("loom's locks are not constant");
    type Guard = R::Guard;

    fn lock(&self) -> R::Guard {
        self.0.lock()
    }
    fn try_lock(&self) -> Option<R::Guard> {
        self.0.try_lock()
    }
    unsafe fn unlock(&self, guard: R::Guard) {
        // SAFETY: The caller holds the lock, and got `guard` for it.
        unsafe { self.0.unlock(guard) };
        *UNLOCKED.0.lock().unwrap() += 1;
        UNLOCKED.1.notify_all();
    }
    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

/// Threads increment what the lock guards. loom finds two at once, lost increments, and a thread that
/// nobody wakes.
fn count<R: RawMutex + Send + Sync + 'static>(
    threads: usize,
    each: usize,
    make: impl Fn() -> R + Send + Sync + 'static,
) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        let lock = Arc::new(Mutex::from_raw(make(), UnsafeCell::new(0)));
        let work = move |lock: Arc<Mutex<R, UnsafeCell<usize>>>| {
            for _ in 0..each {
                let guard = lock.lock();
                assert!(requests());
                // SAFETY: The lock is held.
                guard.with_mut(|count| unsafe { *count += 1 });
            }
            assert!(!requests());
        };
        let others: std::vec::Vec<_> = (1..threads)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || work(lock))
            })
            .collect();
        work(lock.clone());
        for other in others {
            other.join().unwrap();
        }
        // SAFETY: The lock is held.
        let count = lock.lock().with(|count| unsafe { *count });
        assert_eq!(count, threads * each);
    });
}

#[test]
fn a_spin_lock_excludes() {
    count(2, 2, || WakingLock(RawSpin::<UntilUnlocked>::new()));
    count(3, 1, || WakingLock(RawSpin::<UntilUnlocked>::new()));
}

#[test]
fn a_ticket_lock_excludes() {
    count(2, 2, || WakingLock(RawTicket::<UntilUnlocked>::new()));
    count(3, 1, || WakingLock(RawTicket::<UntilUnlocked>::new()));
}

/// A lock whose waiters sleep until they are notified.
struct SleepingLock {
    locked: LoomMutex<bool>,
    free: LoomCondvar,
}

impl SleepingLock {
    fn new() -> Self {
        let (locked, free) = (LoomMutex::new(false), LoomCondvar::new());
        Self { locked, free }
    }
}

// SAFETY: `locked` is changed under a mutex.
unsafe impl RawMutex for SleepingLock {
    const INIT: Self = panic!("loom's locks are not constant");
    type Guard = GuardNoSend;

    fn lock(&self) -> GuardNoSend {
        let mut locked = self.locked.lock().unwrap();
        while *locked {
            assert!(!requests(), "a thread sleeps with a request");
            locked = self.free.wait(locked).unwrap();
        }
        *locked = true;
        GuardNoSend::new()
    }
    fn try_lock(&self) -> Option<GuardNoSend> {
        let mut locked = self.locked.lock().unwrap();
        let took = !core::mem::replace(&mut *locked, true);
        took.then(GuardNoSend::new)
    }
    unsafe fn unlock(&self, _: GuardNoSend) {
        *self.locked.lock().unwrap() = false;
        self.free.notify_one();
    }
    fn is_locked(&self) -> bool {
        *self.locked.lock().unwrap()
    }
}

#[test]
fn a_sliced_lock_excludes_and_wakes() {
    count(2, 2, || Sliced::new(SleepingLock::new()));
    count(3, 1, || Sliced::new(SleepingLock::new()));
}
