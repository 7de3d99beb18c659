// SPDX-License-Identifier: GPL-2.0

//! What the C implementation lacks or gets wrong.

use rseq_slice_harness::Implementation;

use crate::case::Case;
use crate::kernel::Kernel;

/// Cases that fail on the C implementation, with the reason.
const C: &[(&str, &str)] = &[
    (
        "coarse.grants_nothing.bytes",
        "C makes grants that last until the next tick",
    ),
    (
        "core_sched.grants_nothing.bytes",
        "C lets a thread stay in user mode beside one of another cookie",
    ),
    (
        "consistency.request_after_revocation_lives",
        "C takes a request without a grant for a violation",
    ),
    (
        "consistency.handler_returns",
        "C takes a request without a grant for a violation",
    ),
    (
        "yields.work_from_x32.bytes",
        "C takes the yield of x32 for another call",
    ),
    (
        "lost.never_to_membarrier.bytes",
        "C erases the grant without the reschedule that it postponed",
    ),
    (
        "race.expiry_in_entry_reschedules_once.bytes",
        "C gives the CPU up again after the expiry and returns 1",
    ),
    (
        "race.wakeup_in_entry_reschedules_once.bytes",
        "C gives the CPU up again after the wakeup and returns 1",
    ),
    (
        "stale.filtered_yield_is_forgotten_by_grant.bytes",
        "C keeps the result of a skipped yield for the next one",
    ),
    (
        "stale.filtered_yield_is_forgotten_by_fork.bytes",
        "C copies the result of a skipped yield to the child",
    ),
    (
        "stale.debugged_yield_is_forgotten_by_grant.bytes",
        "C keeps the result of a skipped yield for the next one",
    ),
    (
        "died.counts_kill_in_grant.bytes",
        "C does not count threads that die inside of a grant",
    ),
    (
        "died.counts_fault_in_grant.bytes",
        "C does not count threads that die inside of a grant",
    ),
    (
        "migrate.old_timer_leaves_grant_of_remote_wakeup_alone.bytes",
        "C makes a grant after the thread was switched out, and lets an old timer end it",
    ),
    (
        "fault.at_expiry_kills.bytes",
        "C does not count threads that die inside of a grant",
    ),
    (
        "fault.at_revocation_kills.bytes",
        "C does not count threads that die inside of a grant",
    ),
    (
        "userfault.at_grant_refuses.bytes",
        "C makes a grant after the thread was switched out, which ends at once",
    ),
    (
        "userfault.at_check_delays_thread_only.bytes",
        "C gives the CPU up again after it waited for the word and returns 1",
    ),
    (
        "beside.uretprobe.bytes",
        "C takes a request for a violation at system calls that the kernel has planted",
    ),
];

/// Why `case` is expected to fail on `kernel`, if it is.
pub(crate) fn excuse(case: &Case, kernel: &Kernel) -> Option<&'static str> {
    if !kernel.has_extension() || kernel.implementation() == Implementation::Rust {
        return None;
    }
    if case.name.ends_with(".bits") {
        return Some("C knows no BITS layout");
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
    fn expected_failures_are_of_tests() {
        let names: Vec<_> = ALL
            .iter()
            .flat_map(Case::all)
            .map(|case| case.name)
            .collect();
        for (name, _) in C {
            let found = names.iter().filter(|one| one == name).count();
            assert_eq!(found, 1, "{name}");
        }
    }
}
