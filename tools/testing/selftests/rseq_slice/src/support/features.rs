// SPDX-License-Identifier: GPL-2.0

//! What the scheduler owes to threads of the normal class.

use std::fs;

use anyhow::{Context, Result};

/// Where debugfs keeps the scheduler's features.
const FEATURES: &str = "/sys/kernel/debug/sched/features";
/// A thread that had more than its share waits for the others when it wakes up.
const LAG: &str = "PLACE_LAG";
/// A thread that is within its slice goes on.
const PARITY: &str = "RUN_TO_PARITY";

/// While it lives, a thread of the normal class gets the CPU from a `SCHED_IDLE` thread whenever it
/// wakes up, whatever either had before.
pub(crate) struct NoDebts {
    off: Vec<&'static str>,
}

impl NoDebts {
    pub(crate) fn new() -> Result<Self> {
        let features = fs::read_to_string(FEATURES).context(FEATURES)?;
        let mut debts = Self { off: Vec::new() };
        for name in [LAG, PARITY] {
            if features.split_ascii_whitespace().any(|on| on == name) {
                fs::write(FEATURES, format!("NO_{name}")).context(FEATURES)?;
                debts.off.push(name);
            }
        }
        Ok(debts)
    }
}

impl Drop for NoDebts {
    fn drop(&mut self) {
        for name in &self.off {
            let _ = fs::write(FEATURES, name);
        }
    }
}
