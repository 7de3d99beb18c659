// SPDX-License-Identifier: MIT OR Apache-2.0

//! The locks for lock_api 0.4, whose tokens lie in the locks.

use core::hint::black_box;
use std::thread;

use lock_api_v04::{Mutex, RawMutex};

use super::record::{Event::Clear, Event::Request, events, requests};
use crate::lock_api_04::{RawSpin, RawTicket, SpinLock, TicketLock};

#[test]
fn locks_are_unlocked_in_any_order() {
    let (first, second) = (SpinLock::new(0), TicketLock::new(0));
    let one = first.lock();
    let two = second.try_lock().unwrap();
    assert!(first.try_lock().is_none() && second.try_lock().is_none());
    drop(one);
    assert!(!requests());
    let again = first.lock();
    drop(two);
    assert!(requests());
    drop(again);
    assert_eq!(events(), [Request, Clear, Request, Clear]);
}

fn count<R: RawMutex + Send + Sync>() {
    const EACH: u32 = 20_000;
    let lock = Mutex::<R, u32>::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..EACH {
                    let mut count = lock.lock();
                    *count = black_box(*count) + 1;
                    assert!(requests());
                }
                assert!(!requests());
            });
        }
    });
    assert_eq!(lock.into_inner(), 4 * EACH);
}

#[test]
fn tokens_stay_with_their_threads() {
    count::<RawSpin>();
    // So slow where threads outnumber CPUs that these are fewer.
    let lock = Mutex::<RawTicket, ()>::new(());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    drop(lock.lock());
                }
                assert!(!requests());
            });
        }
    });
}

#[cfg(feature = "parking_lot_012")]
mod parking_lot {
    use core::time::Duration;

    use lock_api_v04::{RwLockUpgradableReadGuard, RwLockWriteGuard};

    use super::*;
    use crate::lock_api_04::{SliceCondvar, SliceMutex, SliceRwLock, Sliced};

    #[test]
    fn tokens_stay_with_their_threads() {
        count::<Sliced<parking_lot_v012::RawMutex>>();
    }

    #[test]
    fn condition_variables_wait_without_a_request() {
        let (lock, condvar) = (SliceMutex::new(0), SliceCondvar::new());
        let mut guard = lock.lock();
        assert!(requests());
        let result = condvar.wait_for(&mut guard, Duration::from_millis(1));
        assert!(result.timed_out() && requests());
        drop(guard);
        assert_eq!(events(), [Request, Clear, Request, Clear]);
        assert!(lock.try_lock().is_some());
    }

    #[test]
    fn waiters_are_woken() {
        let (turn, condvar) = (SliceMutex::new(0), SliceCondvar::new());
        thread::scope(|scope| {
            for me in 0..2 {
                let (turn, condvar) = (&turn, &condvar);
                scope.spawn(move || {
                    let mut left = false;
                    for _ in 0..1_000 {
                        let mut guard = turn.lock();
                        condvar.wait_while(&mut guard, |turn| *turn % 2 != me);
                        *guard += 1;
                        drop(guard);
                        condvar.notify_all();
                        left |= requests();
                    }
                    assert!(!left);
                });
            }
        });
        assert_eq!(turn.into_inner(), 2_000);
    }

    #[test]
    fn writers_have_sections_and_readers_have_none() {
        let lock = SliceRwLock::new(0);
        let reader = lock.read();
        assert!(!requests() && lock.try_write().is_none() && !requests());
        drop(reader);
        events();

        let writer = lock.write();
        assert!(requests());
        let reader = RwLockWriteGuard::downgrade(writer);
        assert!(!requests());
        drop(reader);

        let upgradable = lock.upgradable_read();
        assert!(!requests());
        let writer = RwLockUpgradableReadGuard::upgrade(upgradable);
        assert!(requests());
        drop(writer);
        assert_eq!(events(), [Request, Clear, Request, Clear]);
    }
}
