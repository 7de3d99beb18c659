// SPDX-License-Identifier: MIT OR Apache-2.0

//! Locks are shared by threads; a guard stays in its thread, which alone can end its section.

use static_assertions::{assert_impl_all, assert_not_impl_any};

#[cfg(feature = "lock_api_05")]
mod new {
    use super::*;
    use rseq_slice_locks::{SpinLock, SpinLockGuard, TicketLock, TicketLockGuard};

    assert_impl_all!(SpinLock<u32>: Send, Sync);
    assert_impl_all!(TicketLock<u32>: Send, Sync);
    assert_impl_all!(SpinLockGuard<'static, u32>: Sync);
    assert_not_impl_any!(SpinLockGuard<'static, u32>: Send);
    assert_impl_all!(TicketLockGuard<'static, u32>: Sync);
    assert_not_impl_any!(TicketLockGuard<'static, u32>: Send);

    #[cfg(feature = "parking_lot")]
    mod parking_lot {
        use super::*;
        use rseq_slice_locks::{
            SliceCondvar, SliceMutex, SliceMutexGuard, SliceRwLock, SliceRwLockReadGuard,
            SliceRwLockUpgradableReadGuard, SliceRwLockWriteGuard,
        };

        assert_impl_all!(SliceMutex<u32>: Send, Sync);
        assert_impl_all!(SliceRwLock<u32>: Send, Sync);
        assert_impl_all!(SliceCondvar: Send, Sync);
        assert_not_impl_any!(SliceMutexGuard<'static, u32>: Send);
        assert_not_impl_any!(SliceRwLockReadGuard<'static, u32>: Send);
        assert_not_impl_any!(SliceRwLockUpgradableReadGuard<'static, u32>: Send);
        assert_not_impl_any!(SliceRwLockWriteGuard<'static, u32>: Send);
        assert_impl_all!(SliceMutexGuard<'static, u32>: Sync);
        assert_impl_all!(SliceRwLockReadGuard<'static, u32>: Sync);
    }
}

#[cfg(feature = "lock_api_04")]
mod old {
    use super::*;
    use rseq_slice_locks::lock_api_04::{SpinLock, SpinLockGuard, TicketLock, TicketLockGuard};

    assert_impl_all!(SpinLock<u32>: Send, Sync);
    assert_impl_all!(TicketLock<u32>: Send, Sync);
    assert_impl_all!(SpinLockGuard<'static, u32>: Sync);
    assert_not_impl_any!(SpinLockGuard<'static, u32>: Send);
    assert_not_impl_any!(TicketLockGuard<'static, u32>: Send);

    #[cfg(feature = "parking_lot_012")]
    mod parking_lot {
        use super::*;
        use rseq_slice_locks::lock_api_04::{
            SliceCondvar, SliceMutex, SliceMutexGuard, SliceRwLock, SliceRwLockReadGuard,
            SliceRwLockUpgradableReadGuard, SliceRwLockWriteGuard,
        };

        assert_impl_all!(SliceMutex<u32>: Send, Sync);
        assert_impl_all!(SliceRwLock<u32>: Send, Sync);
        assert_impl_all!(SliceCondvar: Send, Sync);
        assert_not_impl_any!(SliceMutexGuard<'static, u32>: Send);
        assert_not_impl_any!(SliceRwLockReadGuard<'static, u32>: Send);
        assert_not_impl_any!(SliceRwLockUpgradableReadGuard<'static, u32>: Send);
        assert_not_impl_any!(SliceRwLockWriteGuard<'static, u32>: Send);
    }
}

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
