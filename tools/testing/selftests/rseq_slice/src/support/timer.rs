// SPDX-License-Identifier: GPL-2.0

//! Moments at which somebody wants the CPU, and interrupts that come by themselves.

use std::fs;

use anyhow::{Context, Result};
use rseq_slice_harness::timer::await_quiet;

use crate::env::Env;

/// Nanoseconds after which a test fails whose competitor did not get the CPU, not even late.
pub(crate) const PATIENCE: u64 = 2_000_000;

/// A moment of [`monotonic`](rseq_slice_harness::timer::monotonic), [`Env::lead`] from now or a little
/// later, with no tick near it.
pub(crate) fn soon(env: Env) -> Result<u64> {
    /// Leaves as much time in front of the next tick.
    const SLACK: u64 = 400_000;
    Ok(await_quiet(env.lead(), SLACK)?)
}

/// How many interrupts its own timer has sent to an x86 CPU: ticks, those of the scheduler, and expiries.
pub(crate) fn timer_interrupts(cpu: usize) -> Result<u64> {
    const INTERRUPTS: &str = "/proc/interrupts";
    let text = fs::read_to_string(INTERRUPTS).context(INTERRUPTS)?;
    text.lines()
        .find_map(|line| line.trim_start().strip_prefix("LOC:"))
        .and_then(|counts| counts.split_ascii_whitespace().nth(cpu)?.parse().ok())
        .with_context(|| format!("{INTERRUPTS} does not count local timers on CPU {cpu}"))
}
