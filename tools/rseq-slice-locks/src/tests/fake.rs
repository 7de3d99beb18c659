// SPDX-License-Identifier: MIT OR Apache-2.0

//! Raw locks that record what is done to them, and are taken as often as a test wants.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use lock_api::{
    GuardNoSend, RawCondvar, RawMutex, RawMutexFair, RawMutexTimed, RawRwLock, RawRwLockDowngrade,
    RawRwLockUpgrade,
};

use super::record::{Event, did, requests};

/// How a lock is held by others: the next `0` attempts to take it fail.
#[derive(Debug)]
pub(super) struct Fake(AtomicU32);

impl Fake {
    pub(super) fn others(&self, attempts: u32) {
        self.0.store(attempts, Relaxed);
    }

    fn attempt(&self, name: &'static str) -> Option<GuardNoSend> {
        did(Event::Did(name));
        let left = self.0.load(Relaxed);
        self.0.store(left.saturating_sub(1), Relaxed);
        (left == 0).then(GuardNoSend::new)
    }

    fn look(&self) -> bool {
        assert!(!requests(), "a thread waits with a request");
        self.attempt("look").is_none()
    }
}

/// The thread sleeps.
fn wait(name: &'static str) -> GuardNoSend {
    assert!(!requests(), "a thread waits with a request");
    did(Event::Did(name));
    GuardNoSend::new()
}

// SAFETY: Tests use it in one thread.
unsafe impl RawMutex for Fake {
    const INIT: Self = Self(AtomicU32::new(0));
    type Guard = GuardNoSend;

    fn lock(&self) -> GuardNoSend {
        wait("lock")
    }
    fn try_lock(&self) -> Option<GuardNoSend> {
        self.attempt("try")
    }
    unsafe fn unlock(&self, _: GuardNoSend) {
        did(Event::Did("unlock"));
    }
    fn is_locked(&self) -> bool {
        self.look()
    }
}

// SAFETY: Tests use it in one thread.
unsafe impl RawMutexFair for Fake {
    unsafe fn unlock_fair(&self, _: GuardNoSend) {
        did(Event::Did("unlock_fair"));
    }
    unsafe fn bump(&self, _: &mut GuardNoSend) {
        wait("bump");
    }
}

// SAFETY: Tests use it in one thread.
unsafe impl RawMutexTimed for Fake {
    type Duration = bool;
    type Instant = bool;

    fn try_lock_for(&self, works: bool) -> Option<GuardNoSend> {
        let held = wait("try_lock_for");
        works.then_some(held)
    }
    fn try_lock_until(&self, works: bool) -> Option<GuardNoSend> {
        let held = wait("try_lock_until");
        works.then_some(held)
    }
}

#[derive(Debug)]
pub(super) struct FakeCondvar;

// SAFETY: Tests use it in one thread.
unsafe impl RawCondvar for FakeCondvar {
    const INIT: Self = Self;
    type RawMutex = Fake;

    unsafe fn wait(&self, _: &Fake, _: &mut GuardNoSend) {
        wait("wait");
    }
    fn notify_one(&self) -> bool {
        false
    }
    fn notify_all(&self) -> usize {
        0
    }
}

#[derive(Debug)]
pub(super) struct FakeRw(pub(super) Fake);

// SAFETY: Tests use it in one thread.
unsafe impl RawRwLock for FakeRw {
    const INIT: Self = Self(<Fake as RawMutex>::INIT);
    type SharedGuard = GuardNoSend;
    type ExclusiveGuard = GuardNoSend;

    fn lock_shared(&self) -> GuardNoSend {
        wait("lock_shared")
    }
    fn try_lock_shared(&self) -> Option<GuardNoSend> {
        self.0.attempt("try_shared")
    }
    unsafe fn unlock_shared(&self, _: GuardNoSend) {
        did(Event::Did("unlock_shared"));
    }
    fn lock_exclusive(&self) -> GuardNoSend {
        wait("lock_exclusive")
    }
    fn try_lock_exclusive(&self) -> Option<GuardNoSend> {
        self.0.attempt("try_exclusive")
    }
    unsafe fn unlock_exclusive(&self, _: GuardNoSend) {
        did(Event::Did("unlock_exclusive"));
    }
    fn is_locked(&self) -> bool {
        self.0.look()
    }
    fn is_locked_exclusive(&self) -> bool {
        self.0.look()
    }
}

// SAFETY: Tests use it in one thread.
unsafe impl RawRwLockDowngrade for FakeRw {
    unsafe fn downgrade(&self, held: GuardNoSend) -> GuardNoSend {
        did(Event::Did("downgrade"));
        held
    }
}

// SAFETY: Tests use it in one thread.
unsafe impl RawRwLockUpgrade for FakeRw {
    type UpgradableGuard = GuardNoSend;

    fn lock_upgradable(&self) -> GuardNoSend {
        wait("lock_upgradable")
    }
    fn try_lock_upgradable(&self) -> Option<GuardNoSend> {
        self.0.attempt("try_upgradable")
    }
    unsafe fn unlock_upgradable(&self, _: GuardNoSend) {
        did(Event::Did("unlock_upgradable"));
    }
    unsafe fn upgrade(&self, _: GuardNoSend) -> GuardNoSend {
        wait("upgrade")
    }
    unsafe fn try_upgrade(&self, held: GuardNoSend) -> Result<GuardNoSend, GuardNoSend> {
        self.0.attempt("try_upgrade").ok_or(held)
    }
}
