// SPDX-License-Identifier: GPL-2.0

//! A signal handler that counts.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::sequence::interfere;

static HITS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_signal: i32) {
    interfere();
    HITS.fetch_add(1, Ordering::Relaxed);
}

/// Counts `signal` from now on instead of being killed by it.
pub(crate) fn handle(signal: Signal) -> Result<()> {
    HITS.store(0, Ordering::Relaxed);
    let action = SigAction::new(
        SigHandler::Handler(count),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: The handler touches nothing but atomics.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

/// How many signals were counted since [`handle`].
pub(crate) fn hits() -> u64 {
    HITS.load(Ordering::Relaxed)
}
