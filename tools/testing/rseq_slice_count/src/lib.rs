// SPDX-License-Identifier: GPL-2.0

//! Loops of lock and unlock of one lock that nobody else wants: spin locks in sections, and the same ones without.
//! They are what a program compiles to: everything of the locks is inlined. Lock and unlock of a loop are either together
//! or on both sides of a call, after which the compiler knows nothing of the lock.

mod bare;

use core::hint::black_box;

use bare::Bare;
use rseq_slice::Policy;
use rseq_slice_locks::lock_api_04;

#[inline(never)]
fn call(lock: &impl Sized) {
    black_box(lock);
}

macro_rules! loops {
    ($($(#[$doc:meta])* $name:ident, $apart:ident: $lock:ty;)*) => {$(
        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $name(times: u64) {
            static LOCK: $lock = <$lock>::new(0);
            for _ in 0..times {
                *LOCK.lock() += 1;
            }
        }

        $(#[$doc])*
        #[unsafe(no_mangle)]
        #[inline(never)]
        pub extern "C" fn $apart(times: u64) {
            static LOCK: $lock = <$lock>::new(0);
            for _ in 0..times {
                let mut count = LOCK.lock();
                call(&LOCK);
                *count += 1;
            }
        }
    )*};
}

loops! {
    /// lock_api 0.5, without sections.
    count_bare, count_bare_apart: lock_api::Mutex<Bare, u64>;
    /// lock_api 0.5, in sections.
    count_sliced, count_sliced_apart: rseq_slice_locks::SpinLock<u64>;
    /// lock_api 0.4, without sections.
    count_bare_04, count_bare_04_apart: lock_api_v04::Mutex<Bare, u64>;
    /// lock_api 0.4, in sections.
    count_sliced_04, count_sliced_04_apart: lock_api_04::SpinLock<u64>;
}

/// Sets the calling thread up. Returns 0 if it has the extension, else the number of the cause.
#[unsafe(no_mangle)]
pub extern "C" fn count_set_up() -> u32 {
    let policy = Policy {
        take_over: true,
        ..Policy::DEFAULT
    };
    // A second call is too late and changes nothing.
    let _ = rseq_slice::set_policy(policy);
    rseq_slice::support()
        .err()
        .map_or(0, |why| why.number().into())
}
