// SPDX-License-Identifier: GPL-2.0

//! Loops of lock and unlock of one lock that nobody else wants: locks in sections, and the same ones without.
//! They are what a program compiles to: everything of the locks is inlined. Lock and unlock of a loop are either together
//! or on both sides of a call, after which the compiler knows nothing of the lock.

mod bare;

use core::hint::black_box;

use bare::{Bare, BareTicket};
use rseq_slice::Policy;
use rseq_slice_locks::{RawSpin, RawTicket, Sliced, lock_api_04};

#[inline(never)]
fn call(lock: &impl Sized) {
    black_box(lock);
}

/// A loop, and how many turns it makes.
pub type Loop = extern "C" fn(times: u64);

macro_rules! loops {
    ($($(#[$doc:meta])* $name:ident, $apart:ident: $lock:ty;)*) => {
        $(
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
        )*

        /// All loops and their names.
        pub const LOOPS: &[(&str, Loop)] = &[$((stringify!($name), $name), (stringify!($apart), $apart)),*];
    };
}

/// lock_api 0.5.
type New<R> = lock_api::Mutex<R, u64>;
/// lock_api 0.4.
type Old<R> = lock_api_v04::Mutex<R, u64>;

loops! {
    /// A spin lock.
    count_bare_spin, count_bare_spin_apart: New<Bare>;
    /// The same in sections.
    count_sliced_spin, count_sliced_spin_apart: New<RawSpin>;
    /// A ticket lock.
    count_bare_ticket, count_bare_ticket_apart: New<BareTicket>;
    /// The same in sections.
    count_sliced_ticket, count_sliced_ticket_apart: New<RawTicket>;
    /// Somebody else's lock.
    count_bare_other, count_bare_other_apart: New<Bare>;
    /// The same in sections.
    count_sliced_other, count_sliced_other_apart: New<Sliced<Bare>>;
    /// A spin lock.
    count_bare_spin_04, count_bare_spin_04_apart: Old<Bare>;
    /// The same in sections.
    count_sliced_spin_04, count_sliced_spin_04_apart: Old<lock_api_04::RawSpin>;
    /// A ticket lock.
    count_bare_ticket_04, count_bare_ticket_04_apart: Old<BareTicket>;
    /// The same in sections.
    count_sliced_ticket_04, count_sliced_ticket_04_apart: Old<lock_api_04::RawTicket>;
    /// Somebody else's lock.
    count_bare_other_04, count_bare_other_04_apart: Old<Bare>;
    /// The same in sections.
    count_sliced_other_04, count_sliced_other_04_apart: Old<lock_api_04::Sliced<Bare>>;
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
