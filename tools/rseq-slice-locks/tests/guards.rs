// SPDX-License-Identifier: MIT OR Apache-2.0

//! Locks are shared by threads; a guard stays in its thread, which alone can end its section.

use static_assertions::{assert_impl_all, assert_not_impl_any};

macro_rules! shared {
    ($($lock:ident)*) => { $(assert_impl_all!($lock<u32>: Send, Sync);)* };
}
macro_rules! stay {
    ($($guard:ident)*) => {$(
        assert_impl_all!($guard<'static, u32>: Sync);
        assert_not_impl_any!($guard<'static, u32>: Send);
    )*};
}

/// The same of both versions of lock_api: `$locks` has them.
macro_rules! locks {
    ($module:ident, $locks:path, $feature:literal, $parking_lot:literal) => {
        #[cfg(feature = $feature)]
        mod $module {
            use $locks as locks;

            use super::*;
            use locks::{SpinLock, SpinLockGuard, TicketLock, TicketLockGuard};

            shared!(SpinLock TicketLock);
            stay!(SpinLockGuard TicketLockGuard);

            #[cfg(feature = $parking_lot)]
            mod parking_lot {
                use super::*;
                use locks::{
                    SliceCondvar, SliceMutex, SliceMutexGuard, SliceRwLock, SliceRwLockReadGuard,
                    SliceRwLockUpgradableReadGuard, SliceRwLockWriteGuard,
                };

                assert_impl_all!(SliceCondvar: Send, Sync);
                shared!(SliceMutex SliceRwLock);
                stay!(SliceMutexGuard SliceRwLockReadGuard);
                stay!(SliceRwLockUpgradableReadGuard SliceRwLockWriteGuard);
            }
        }
    };
}

locks!(new, rseq_slice_locks, "lock_api_05", "parking_lot");
locks!(
    old,
    rseq_slice_locks::lock_api_04,
    "lock_api_04",
    "parking_lot_012"
);

/// With the sections of rseq-slice, whatever the machine has.
#[cfg(feature = "parking_lot")]
#[test]
fn locks_work_with_or_without_extensions() {
    use rseq_slice_locks::{SliceCondvar, SliceMutex, SliceRwLock, SpinLock};
    use std::thread;

    static TOTAL: SpinLock<u32> = SpinLock::new(0);
    static TURN: SliceMutex<u32> = SliceMutex::new(0);
    static CHANGED: SliceCondvar = SliceCondvar::new();
    static LAST: SliceRwLock<u32> = SliceRwLock::new(0);

    thread::scope(|scope| {
        for me in 0..2 {
            scope.spawn(move || {
                for _ in 0..1_000 {
                    let mut turn = TURN.lock();
                    CHANGED.wait_while(&mut turn, |turn| *turn % 2 != me);
                    *LAST.write() = *turn;
                    *TOTAL.lock() += 1;
                    assert_eq!(*LAST.read(), *turn);
                    *turn += 1;
                    drop(turn);
                    CHANGED.notify_all();
                }
            });
        }
    });
    assert_eq!(
        (*TURN.lock(), *TOTAL.lock(), *LAST.read()),
        (2_000, 2_000, 1_999)
    );
}
