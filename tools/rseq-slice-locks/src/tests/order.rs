// SPDX-License-Identifier: MIT OR Apache-2.0

//! The order of requests and of what is done to a lock. The fake locks assert that nobody waits with a
//! request.

use core::mem::forget;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::vec::Vec;

use lock_api::{Condvar, Mutex, RwLock, RwLockUpgradableReadGuard, RwLockWriteGuard};

use super::fake::{Fake, FakeCondvar, FakeRw};
use super::record::Event::{self, Clear, Did, Leave, Request};
use super::record::{begin, end, events, grant, refuse, requests};
use crate::{RawSlicedCondvar, Sliced};

type Lock = Mutex<Sliced<Fake>, u32>;
type Rw = RwLock<Sliced<FakeRw>, u32>;

/// The next attempts to take the lock fail.
fn others(lock: &Lock, attempts: u32) {
    // SAFETY: The lock is not unlocked.
    unsafe { lock.raw() }.0.others(attempts);
}

fn others_rw(lock: &Rw, attempts: u32) {
    // SAFETY: The lock is not unlocked.
    unsafe { lock.raw() }.0.0.others(attempts);
}

fn happens(expected: &[Event]) {
    assert_eq!(events(), expected);
}

#[test]
fn the_section_is_around_the_lock() {
    let lock = Lock::new(0);
    drop(lock.lock());
    happens(&[Request, Did("try"), Did("unlock"), Clear]);
    drop(lock.try_lock());
    happens(&[Request, Did("try"), Did("unlock"), Clear]);
}

#[test]
fn a_grant_is_ended_after_unlocking() {
    let lock = Lock::new(0);
    let guard = lock.lock();
    grant();
    drop(guard);
    happens(&[Request, Did("try"), Did("unlock"), Clear, Leave]);
}

#[test]
fn a_failed_attempt_leaves_no_request() {
    let lock = Lock::new(0);
    others(&lock, 1);
    assert!(lock.try_lock().is_none());
    happens(&[Request, Did("try"), Clear]);
    for works in [false, true] {
        others(&lock, 1);
        assert_eq!(lock.try_lock_for(works).is_some(), works);
        others(&lock, 1);
        assert_eq!(lock.try_lock_until(works).is_some(), works);
        assert!(!requests());
    }
}

#[test]
fn looks_are_without_a_request() {
    let lock = Lock::new(0);
    others(&lock, 3);
    drop(lock.lock());
    happens(&[
        Request,
        Did("try"),
        Clear,
        Did("look"),
        Did("look"),
        Did("look"),
        Request,
        Did("try"),
        Did("unlock"),
        Clear,
    ]);
}

#[test]
fn sleep_is_without_a_request() {
    let lock = Lock::new(0);
    others(&lock, u32::MAX);
    drop(lock.lock());
    let events = events();
    let looks = events.iter().filter(|&&event| event == Did("look")).count();
    assert_eq!(looks, 100);
    assert_eq!(events[..3], [Request, Did("try"), Clear]);
    assert_eq!(events[103..], [Did("lock"), Request, Did("unlock"), Clear]);

    others(&lock, 1);
    drop(lock.try_lock_for(true));
    happens(&[
        Request,
        Did("try"),
        Clear,
        Did("try_lock_for"),
        Request,
        Did("unlock"),
        Clear,
    ]);
}

#[test]
fn fairness_is_the_locks_own() {
    let lock = Lock::new(0);
    let mut guard = lock.lock();
    lock_api::MutexGuard::bump(&mut guard);
    lock_api::MutexGuard::unlock_fair(guard);
    happens(&[
        Request,
        Did("try"),
        Clear,
        Did("bump"),
        Request,
        Did("unlock_fair"),
        Clear,
    ]);
}

#[test]
fn nested_locks_are_one_section() {
    let (outer, inner) = (Lock::new(0), Lock::new(0));
    let held = outer.lock();
    drop(inner.lock());
    assert!(requests());
    drop(held);
    let expected = [
        Request,
        Did("try"),
        Did("try"),
        Did("unlock"),
        Did("unlock"),
        Clear,
    ];
    happens(&expected);
}

/// The section of the first lock ends when that is unlocked. The other goes on without one.
#[test]
fn locks_are_unlocked_in_any_order() {
    let (first, second) = (Lock::new(0), Lock::new(0));
    let (one, two) = (first.lock(), second.lock());
    drop(one);
    assert!(!requests());
    let again = first.lock();
    assert!(requests());
    drop(two);
    assert!(requests());
    drop(again);
    assert!(!requests());
}

#[test]
fn within_somebody_elses_section_there_is_no_request() {
    let lock = Lock::new(0);
    let token = begin();
    drop(lock.lock());
    end(token);
    happens(&[Request, Did("try"), Did("unlock"), Clear]);
}

#[test]
fn a_panic_ends_the_section() {
    let lock = Lock::new(0);
    let panics = AssertUnwindSafe(|| {
        let _guard = lock.lock();
        panic!("on purpose");
    });
    assert!(catch_unwind(panics).is_err());
    assert!(!requests());
}

#[test]
fn a_forgotten_guard_leaves_a_request_only() {
    let (leaked, lock) = (Lock::new(0), Lock::new(0));
    forget(leaked.lock());
    drop(lock.lock());
    assert!(requests());
    // The kernel clears it at the next reschedule.
    refuse();
    events();
    drop(lock.lock());
    happens(&[Request, Did("try"), Did("unlock"), Clear]);
}

#[test]
fn condition_variables_wait_without_a_request() {
    let lock = Lock::new(0);
    let condvar = Condvar::<RawSlicedCondvar<FakeCondvar>>::new();
    let mut guard = lock.lock();
    condvar.wait(&mut guard);
    assert!(requests());
    drop(guard);
    happens(&[
        Request,
        Did("try"),
        Clear,
        Did("wait"),
        Request,
        Did("unlock"),
        Clear,
    ]);
}

#[test]
fn readers_and_writers_have_sections() {
    let lock = Rw::new(0);
    drop(lock.read());
    happens(&[Request, Did("try_shared"), Did("unlock_shared"), Clear]);
    drop(lock.write());
    happens(&[
        Request,
        Did("try_exclusive"),
        Did("unlock_exclusive"),
        Clear,
    ]);

    let sleeps = |expected: &[Event]| {
        let mut events: Vec<_> = events();
        events.retain(|&event| event != Did("look"));
        assert_eq!(events, expected);
    };
    others_rw(&lock, u32::MAX);
    drop(lock.read());
    sleeps(&[
        Request,
        Did("try_shared"),
        Clear,
        Did("lock_shared"),
        Request,
        Did("unlock_shared"),
        Clear,
    ]);
    others_rw(&lock, u32::MAX);
    drop(lock.write());
    sleeps(&[
        Request,
        Did("try_exclusive"),
        Clear,
        Did("lock_exclusive"),
        Request,
        Did("unlock_exclusive"),
        Clear,
    ]);
}

#[test]
fn readers_have_one_section_each() {
    let lock = Rw::new(0);
    let (one, two) = (lock.read(), lock.read());
    drop(one);
    assert!(!requests());
    drop(two);
    assert!(!requests());
}

#[test]
fn a_writer_may_go_on_as_a_reader() {
    let lock = Rw::new(0);
    drop(RwLockWriteGuard::downgrade(lock.write()));
    happens(&[
        Request,
        Did("try_exclusive"),
        Did("downgrade"),
        Did("unlock_shared"),
        Clear,
    ]);
}

#[test]
fn upgrading_waits_without_a_request() {
    let lock = Rw::new(0);
    let guard = lock.upgradable_read();
    drop(RwLockUpgradableReadGuard::upgrade(guard));
    happens(&[
        Request,
        Did("try_upgradable"),
        Did("try_upgrade"),
        Did("unlock_exclusive"),
        Clear,
    ]);

    let guard = lock.upgradable_read();
    others_rw(&lock, 1);
    drop(RwLockUpgradableReadGuard::upgrade(guard));
    happens(&[
        Request,
        Did("try_upgradable"),
        Did("try_upgrade"),
        Clear,
        Did("upgrade"),
        Request,
        Did("unlock_exclusive"),
        Clear,
    ]);
}
