// SPDX-License-Identifier: GPL-2.0

//! What the scheduler owes to threads of the normal class.

use rseq_slice_harness::DebugfsError;
use rseq_slice_harness::scheduler::{has_feature, set_feature};

/// The features that make a thread of the normal class wait although a `SCHED_IDLE` thread has the CPU:
/// as it had more than its share before it slept, or as the other is within its slice.
const DEBTS: [&str; 2] = ["PLACE_LAG", "RUN_TO_PARITY"];

/// Which debts the scheduler remembers.
pub(crate) fn debts() -> Result<Vec<&'static str>, DebugfsError> {
    let mut debts = Vec::new();
    for debt in DEBTS {
        if has_feature(debt)? {
            debts.push(debt);
        }
    }
    Ok(debts)
}

/// Has the scheduler remember `debts` again.
pub(crate) fn remember(debts: &[&str]) -> Result<(), DebugfsError> {
    debts.iter().try_for_each(|debt| set_feature(debt, true))
}

/// Has the scheduler forget all debts.
pub(crate) fn forget() -> Result<(), DebugfsError> {
    DEBTS.iter().try_for_each(|debt| set_feature(debt, false))
}
