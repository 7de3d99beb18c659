// SPDX-License-Identifier: MIT OR Apache-2.0

//! Takes a lock of another crate in a section, and waits for it outside a section.

use crate::relax::{Looks, Relax};
use crate::slice::{Token, begin, end};

/// How often a thread looks at a lock before it calls the lock's own `lock`, which may sleep.
const LOOKS: u32 = 100;

/// Takes a lock, in one of its modes. `G` is the state of an acquisition.
///
/// `try_lock` takes the lock if it is free, `is_locked` looks whether it seems to be taken, and `wait` takes the lock and may
/// sleep.
#[inline(always)]
pub(crate) fn acquire<G>(
    try_lock: impl Fn() -> Option<G>,
    is_locked: impl Fn() -> bool,
    wait: impl FnOnce() -> G,
) -> (G, Token) {
    let token = begin();
    match try_lock() {
        Some(held) => (held, token),
        None => acquire_slow(token, try_lock, is_locked, wait),
    }
}

#[cold]
#[inline(never)]
fn acquire_slow<G>(
    token: Token,
    try_lock: impl Fn() -> Option<G>,
    is_locked: impl Fn() -> bool,
    wait: impl FnOnce() -> G,
) -> (G, Token) {
    end(token);
    let mut relax = Looks::<LOOKS>::default();
    for _ in 0..LOOKS {
        if !is_locked() {
            if let Some(acquired) = try_acquire(&try_lock) {
                return acquired;
            }
        }
        relax.relax();
    }
    (wait(), begin())
}

/// Takes the lock if it is free.
#[inline(always)]
pub(crate) fn try_acquire<G>(try_lock: impl FnOnce() -> Option<G>) -> Option<(G, Token)> {
    let token = begin();
    match try_lock() {
        Some(held) => Some((held, token)),
        None => {
            end(token);
            None
        }
    }
}

/// Takes the lock, by `wait` if it is not free, which gives up after some time.
#[inline(always)]
pub(crate) fn acquire_timed<G>(
    try_lock: impl FnOnce() -> Option<G>,
    wait: impl FnOnce() -> Option<G>,
) -> Option<(G, Token)> {
    match try_acquire(try_lock) {
        None => wait().map(|held| (held, begin())),
        acquired => acquired,
    }
}
