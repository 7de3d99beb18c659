// SPDX-License-Identifier: GPL-2.0

//! What the scheduler owes to threads of the normal class.

use std::fs;

use anyhow::{Context, Result};

/// Where debugfs keeps the scheduler's features.
const FEATURES: &str = "/sys/kernel/debug/sched/features";

/// Those that make a thread of the normal class wait although a `SCHED_IDLE` thread has the CPU: as it
/// had more than its share before it slept, or as the other is within its slice.
const DEBTS: [&str; 2] = ["PLACE_LAG", "RUN_TO_PARITY"];

/// Which debts the scheduler remembers.
pub(crate) fn debts() -> Result<Vec<&'static str>> {
    let features = fs::read_to_string(FEATURES).context(FEATURES)?;
    let remembers = |debt: &_| features.split_ascii_whitespace().any(|word| word == *debt);
    Ok(DEBTS.into_iter().filter(remembers).collect())
}

/// Has the scheduler remember `debts` again.
pub(crate) fn remember(debts: &[&str]) -> Result<()> {
    debts
        .iter()
        .try_for_each(|debt| fs::write(FEATURES, debt))
        .context(FEATURES)
}

/// Has the scheduler forget all debts.
pub(super) fn forget() -> Result<()> {
    DEBTS
        .iter()
        .try_for_each(|debt| fs::write(FEATURES, format!("NO_{debt}")))
        .context(FEATURES)
}
