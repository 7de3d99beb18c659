// SPDX-License-Identifier: GPL-2.0

//! Features of the scheduler that keep threads of the normal class waiting.

use rseq_slice_harness::DebugfsError;
use rseq_slice_harness::scheduler::{has_feature, set_feature};

/// They make a thread of the normal class wait although a `SCHED_IDLE` thread has the CPU: as it had
/// more than its share before it slept, or as the other is within its slice.
const SCHED_FEATURES: [&str; 2] = ["PLACE_LAG", "RUN_TO_PARITY"];

/// Which of them are enabled.
pub(crate) fn enabled() -> Result<Vec<&'static str>, DebugfsError> {
    let mut enabled = Vec::new();
    for feature in SCHED_FEATURES {
        if has_feature(feature)? {
            enabled.push(feature);
        }
    }
    Ok(enabled)
}

/// Enables `features` again.
pub(crate) fn restore(features: &[&str]) -> Result<(), DebugfsError> {
    features.iter().try_for_each(|name| set_feature(name, true))
}

/// Disables all of them.
pub(crate) fn disable() -> Result<(), DebugfsError> {
    SCHED_FEATURES
        .iter()
        .try_for_each(|name| set_feature(name, false))
}
