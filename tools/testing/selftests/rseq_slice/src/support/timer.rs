// SPDX-License-Identifier: GPL-2.0

//! Moments at which somebody wants the CPU.

use anyhow::Result;
use rseq_slice_harness::timer::await_quiet;

use crate::env::Env;

/// Nanoseconds after which a competitor that did not get the CPU, not even late, is declared lost.
pub(crate) const PATIENCE: u64 = 2_000_000;

/// A moment of [`monotonic`](rseq_slice_harness::timer::monotonic), [`Env::lead`] from now or a little
/// later, with no tick near it.
pub(crate) fn soon(env: Env) -> Result<u64> {
    /// Leaves as much time in front of the next tick.
    const SLACK: u64 = 400_000;
    Ok(await_quiet(env.lead(), SLACK)?)
}
