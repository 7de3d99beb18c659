// SPDX-License-Identifier: MIT OR Apache-2.0

//! The spinning locks of this crate.

use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use lock_api::{Mutex, RawMutex};

use super::record::{Event, Event::Clear, Event::Request, did, events, requests};
use crate::{Looks, RawSpin, RawTicket, Relax};

static WAITS: AtomicU32 = AtomicU32::new(0);

/// Tells the holder that somebody waits.
#[derive(Default)]
struct Tell;

impl Relax for Tell {
    fn relax(&mut self) {
        assert!(!requests(), "a thread waits with a request");
        did(Event::Did("relax"));
        WAITS.fetch_add(1, Relaxed);
        thread::yield_now();
    }
}

/// Holds a lock until somebody waits for it; returns what the waiter did.
fn contend<R: RawMutex + Sync>() -> std::vec::Vec<Event> {
    let lock = Mutex::<R, ()>::new(());
    let held = lock.lock();
    assert!(requests());
    assert!(lock.is_locked() && lock.try_lock().is_none() && requests());
    let before = WAITS.load(Relaxed);
    let waited = thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            assert!(lock.try_lock().is_none() && !requests());
            events();
            drop(lock.lock());
            events()
        });
        while WAITS.load(Relaxed) < before + 10 && !waiter.is_finished() {
            thread::yield_now();
        }
        drop(held);
        waiter.join().unwrap()
    });
    assert!(!lock.is_locked() && !requests());
    assert!(waited.contains(&Event::Did("relax")));
    waited
}

#[test]
fn waiters_of_a_spin_lock_make_no_request() {
    let mut waited = contend::<RawSpin<Tell>>();
    waited.retain(|event| !matches!(event, Event::Did(_)));
    // The last pair is around the lock; each other one around an attempt.
    assert!(waited.len() >= 4);
    assert!(waited.chunks(2).all(|pair| pair == [Request, Clear]));
}

#[test]
fn waiters_of_a_ticket_lock_make_no_request() {
    let mut waited = contend::<RawTicket<Tell>>();
    // A request is made before each look at the turn.
    let relaxed = waited
        .iter()
        .filter(|&&event| event == Event::Did("relax"))
        .count();
    waited.retain(|event| !matches!(event, Event::Did(_)));
    assert!(waited.len() == (relaxed + 1) * 2);
    assert!(waited.chunks(2).all(|pair| pair == [Request, Clear]));
}

#[test]
fn tickets_are_served_in_order() {
    const THREADS: u32 = 8;
    let start = Instant::now();
    let order = Mutex::<RawTicket, std::vec::Vec<u32>>::new(std::vec::Vec::new());
    thread::scope(|scope| {
        let mut held = order.lock();
        for n in 0..THREADS {
            scope.spawn({
                let order = &order;
                move || order.lock().push(n)
            });
            // SAFETY: The lock is not unlocked.
            while unsafe { order.raw() }.drawn() != n + 2 {
                assert!(start.elapsed() < Duration::from_secs(60));
                thread::yield_now();
            }
        }
        held.push(u32::MAX);
    });
    let order = order.into_inner();
    assert_eq!(order[0], u32::MAX);
    assert!(order[1..].is_sorted() && order.len() == THREADS as usize + 1);
}

#[test]
fn nobody_is_lost() {
    fn count<R: RawMutex + Sync>() {
        const EACH: u32 = 20_000;
        let lock = Mutex::<R, u32>::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..EACH {
                        let mut count = lock.lock();
                        *count = black_box(*count) + 1;
                    }
                });
            }
        });
        assert_eq!(lock.into_inner(), 4 * EACH);
    }
    count::<RawSpin>();
    count::<RawSpin<Looks<1>>>();
    #[cfg(feature = "parking_lot")]
    count::<crate::Sliced<parking_lot::RawMutex>>();
}
