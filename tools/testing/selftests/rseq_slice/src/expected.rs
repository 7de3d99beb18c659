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
        "consistency.request_after_revocation",
        "C takes a request without a grant for a lie",
    ),
    (
        "consistency.handler_returns",
        "C takes a request without a grant for a lie",
    ),
    (
        "yield.x32.bytes",
        "C takes the yield of x32 for another call",
    ),
    (
        "lost.membarrier.bytes",
        "C erases the grant without the reschedule that it postponed",
    ),
    (
        "race.entry_expiry.bytes",
        "C gives the CPU up again after the expiry and returns 1",
    ),
    (
        "race.entry_wakeup.bytes",
        "C gives the CPU up again after the wakeup and returns 1",
    ),
    (
        "stale.filter_then_revoked.bytes",
        "C keeps the result of a skipped yield for the next one",
    ),
    (
        "stale.filter_then_fork.bytes",
        "C copies the result of a skipped yield to the child",
    ),
    (
        "stale.debugger_then_revoked.bytes",
        "C keeps the result of a skipped yield for the next one",
    ),
    (
        "died.killed_in_grant.bytes",
        "C does not count threads that die inside of a grant",
    ),
    (
        "died.fault_in_grant.bytes",
        "C does not count threads that die inside of a grant",
    ),
    (
        "migrate.old_timer_remote_wakeup.bytes",
        "C makes a grant after the thread was switched out, and lets an old timer end it",
    ),
    (
        "fault.at_expiry.bytes",
        "C does not count threads that die inside of a grant",
    ),
    (
        "fault.at_revocation.bytes",
        "C does not count threads that die inside of a grant",
    ),
    (
        "userfault.at_grant.bytes",
        "C makes a grant after the thread was switched out, which ends at once",
    ),
    (
        "userfault.at_check.bytes",
        "C gives the CPU up again after it waited for the word and returns 1",
    ),
    (
        "beside.core_scheduling.bytes",
        "C grants while threads with other cookies have to leave the CPU",
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
