// SPDX-License-Identifier: GPL-2.0

//! Features of the scheduler, in debugfs.

use std::fs;

use anyhow::{Context, Result, ensure};

const FEATURES: &str = "/sys/kernel/debug/sched/features";

/// Whether the scheduler has a timer of its own for the end of a time slice. Without it slices end at
/// ticks.
///
/// # Errors
///
/// Whatever keeps debugfs from being read.
pub fn hrtick() -> Result<bool> {
    let features = fs::read_to_string(FEATURES)
        .with_context(|| format!("{FEATURES}: mount debugfs on /sys/kernel/debug"))?;
    Ok(has(&features, "HRTICK"))
}

fn has(features: &str, name: &str) -> bool {
    features.split_whitespace().any(|feature| feature == name)
}

/// The scheduler's timer for the end of a time slice is off, until this is dropped.
#[derive(Debug)]
pub struct NoHrtick {
    was_on: bool,
}

impl NoHrtick {
    /// Turns it off for the whole system, if it was on.
    ///
    /// # Errors
    ///
    /// Whatever keeps debugfs from being read or written.
    pub fn set() -> Result<Self> {
        let was_on = hrtick()?;
        if was_on {
            fs::write(FEATURES, "NO_HRTICK").with_context(|| format!("{FEATURES}: be root"))?;
            ensure!(!hrtick()?, "{FEATURES}: HRTICK stays on");
        }
        Ok(Self { was_on })
    }
}

impl Drop for NoHrtick {
    fn drop(&mut self) {
        if self.was_on {
            // Who could write it once can write it again.
            let _ = fs::write(FEATURES, "HRTICK");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_feature_is_a_whole_word() {
        assert!(has("NO_PARANOID_AVG HRTICK HRTICK_DL\n", "HRTICK"));
        assert!(!has("NO_HRTICK HRTICK_DL\n", "HRTICK"));
    }
}
