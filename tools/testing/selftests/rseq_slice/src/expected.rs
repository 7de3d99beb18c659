// SPDX-License-Identifier: GPL-2.0

//! Expected failures on the C implementation.
//!
//! Each is a difference between the implementations, by its name in
//! `Documentation/userspace-api/rseq_slice.rst`.

use rseq_slice_harness::Implementation;

use crate::case::Case;
use crate::kernel::Kernel;

/// Cases that fail on the C implementation, with the difference.
const C: &[(&str, &str)] = &[
    ("lazy.second_wakeup_keeps_grant.bytes", "lazy-tick-revokes"),
    ("lazy.kept_grant_expires_in_time.bytes", "lazy-tick-revokes"),
    ("lazy.slice_end_keeps_grant.bytes", "slice-end-revokes"),
    ("policy.file_shows_policy", "policy-is-fixed"),
    ("policy.bad_policy_changes_nothing", "policy-is-fixed"),
    (
        "policy.lazy_refuses_realtime_wakeup.bytes",
        "policy-is-fixed",
    ),
    (
        "policy.lazy_postpones_normal_wakeup.bytes",
        "policy-is-fixed",
    ),
    (
        "policy.lazy_grants_nothing_without_lazy_reschedules.bytes",
        "policy-is-fixed",
    ),
    ("coarse.grants_nothing.bytes", "coarse-timers-grant"),
    ("core_sched.grants_nothing.bytes", "core-scheduling-grants"),
    (
        "consistency.request_after_revocation_lives",
        "request-is-violation",
    ),
    (
        "consistency.handler_return_with_request_lives",
        "request-is-violation",
    ),
    ("yields.work_from_x32.bytes", "x32-yield-aborts"),
    (
        "lost.never_to_membarrier.bytes",
        "membarrier-loses-reschedule",
    ),
    (
        "race.expiry_in_entry_reschedules_once.bytes",
        "entry-reschedules-again",
    ),
    (
        "race.wakeup_in_entry_reschedules_once.bytes",
        "entry-reschedules-again",
    ),
    (
        "stale.filtered_yield_is_forgotten_by_grant.bytes",
        "skipped-yield-is-reported-later",
    ),
    (
        "stale.filtered_yield_is_forgotten_by_fork.bytes",
        "skipped-yield-is-reported-later",
    ),
    (
        "stale.debugged_yield_is_forgotten_by_grant.bytes",
        "skipped-yield-is-reported-later",
    ),
    ("died.counts_kill_in_grant.bytes", "death-is-uncounted"),
    ("died.counts_fault_in_grant.bytes", "death-is-uncounted"),
    (
        "migrate.old_timer_leaves_grant_of_remote_wakeup_alone.bytes",
        "old-timer-acts",
    ),
    ("fault.at_expiry_kills.bytes", "death-is-uncounted"),
    ("fault.at_revocation_kills.bytes", "death-is-uncounted"),
    (
        "fault.at_update_in_grant_kills.bytes",
        "failed-update-is-uncounted",
    ),
    ("fault.refusal_writes_no_zero.bytes", "refusal-writes-zero"),
    ("userfault.at_grant_refuses.bytes", "grant-follows-switch"),
    (
        "userfault.at_check_delays_thread_only.bytes",
        "entry-reschedules-again",
    ),
    (
        "beside.uretprobe_loses_no_restart.bytes",
        "request-is-violation",
    ),
];

/// Cases that pass on both, because they assert the behavior of the implementation that runs.
#[cfg(test)]
const BOTH: &[(&str, &str)] = &[
    ("boot.log_tells_the_settings", "implementation-is-unnamed"),
    ("boot.last_switch_counts", "off-at-boot-is-final"),
    ("knobs.only_rust_names_itself", "implementation-is-unnamed"),
    (
        "consistency.violation_in_grant_kills",
        "violation-counts-as-end",
    ),
    (
        "fault.unblocked_in_handler_runs_it.bytes",
        "unwritable-grant-lasts",
    ),
];

/// The difference for which `case` is expected to fail on `kernel`, if it is.
pub(crate) fn excuse(case: &Case, kernel: &Kernel) -> Option<&'static str> {
    if !kernel.has_extension() || kernel.implementation() == Implementation::Rust {
        return None;
    }
    if case.name.ends_with(".bits") {
        return Some("bits-layout-is-invalid");
    }
    C.iter()
        .find(|(name, _)| case.name == *name)
        .map(|&(_, why)| why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::ALL;

    #[test]
    fn differences_are_of_tests() {
        let names: Vec<_> = ALL
            .iter()
            .flat_map(Case::all)
            .map(|case| case.name)
            .collect();
        for (name, _) in C.iter().chain(BOTH) {
            let found = names.iter().filter(|one| one == name).count();
            assert_eq!(found, 1, "{name}");
        }
    }
}
