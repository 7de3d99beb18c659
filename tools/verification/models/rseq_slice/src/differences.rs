// SPDX-License-Identifier: GPL-2.0

//! The differences of the C implementation that the model finds, by their names in
//! `Documentation/userspace-api/rseq_slice.rst`, with the properties that they break.

use crate::property::Broken;

const DIFFERENCES: &[(&str, Broken)] = &[
    // A reschedule in system call entry comes before the slice work. rseq_syscall_enter_work()
    // checks `sched_switch`, which is set after interrupts of user mode and migrations only.
    (
        "entry-reschedules-again",
        Broken::TWICE_AT_ENTRY
            .union(Broken::CLAIM_AFTER_EXPIRY)
            .union(Broken::CLAIM_AFTER_SWITCH)
            .union(Broken::CLAIM_AFTER_BOTH),
    ),
    // Syscall user dispatch sends a signal before the slice work, and an update that faults does not
    // clear the grant: a thread that was scheduled out still has it.
    ("exit-reschedules-again", Broken::TWICE_AT_EXIT),
    // The update of user space erases the grant and requests no reschedule, so the next one can be
    // postponed and lost as well.
    (
        "membarrier-loses-reschedule",
        Broken::LOST
            .union(Broken::LATE)
            .union(Broken::POSTPONED_AGAIN),
    ),
    // The decision does not check for a switch since the interrupt. It withdraws any reschedule that is
    // due by then, and the update of user space erases the grant.
    (
        "grant-follows-switch",
        Broken::LOST
            .union(Broken::LATE)
            .union(Broken::POSTPONED_AGAIN),
    ),
    // A fault leaves the decision before it clears the grant.
    ("unwritable-grant-lasts", Broken::SURVIVED),
    // rseq_debug compares all four bytes whether there is a grant or not.
    ("request-is-violation", Broken::SIGSEGV_WITHOUT_CAUSE),
    // The timer fires while a page fault is served, or while a 32-bit fast system call fails to fetch
    // its argument. If the scheduler picks the thread again, no flag is left.
    ("expiry-in-kernel-leaves-grant", Broken::UNBOUNDED),
    // The decision does not check whether the timers of the CPU are exact, nor whether core scheduling
    // is in use, which the model does not tell apart.
    ("coarse-timers-grant", Broken::UNFIT.union(Broken::LATE)),
    ("core-scheduling-grants", Broken::UNFIT),
    // A reschedule that is not lazy and comes between the decision and its execution is withdrawn with
    // the lazy one.
    ("urgent-wakeup-is-postponed", Broken::URGENT),
    // The callback checks for a grant of the thread that armed the timer, not for the grant that it was
    // armed for.
    (
        "old-timer-acts",
        Broken::TWICE_AT_EXPIRY.union(Broken::STALE_TIMER),
    ),
    // The same, on the CPU to which hotplug has moved the timer.
    ("moved-timer-acts", Broken::FOREIGN_TIMER),
    // A grant does not clear the result of a yield, and fork(2) copies it.
    (
        "skipped-yield-is-reported-later",
        Broken::CLAIM_WITHOUT_GRANT.union(Broken::WRONG_CHILD),
    ),
    // The timer is started in the last step to user mode, which a thread that is killed before does not
    // reach. In `grant-follows-switch` and `membarrier-loses-reschedule` there is none either.
    ("death-loses-reschedule", Broken::LOST_BY_DEATH),
    // exit(2) does not count the end of a grant.
    ("death-is-uncounted", Broken::MISCOUNTED_DEATH),
    // System call entry does not count the grant of a thread that was migrated in it.
    ("entry-switch-is-uncounted", Broken::MISCOUNTED),
];

/// The names of the differences that break one of these properties.
pub(crate) fn names(broken: Broken) -> String {
    let names: Vec<_> = DIFFERENCES
        .iter()
        .filter(|(_, breaks)| breaks.intersects(broken))
        .map(|&(name, _)| name)
        .collect();

    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix;

    #[test]
    fn they_break_what_c_breaks() {
        let known = matrix::C.iter().map(|&(_, known)| known);
        let breaks = DIFFERENCES.iter().map(|&(_, breaks)| breaks);

        assert_eq!(
            breaks.fold(Broken::empty(), Broken::union),
            known.fold(Broken::empty(), Broken::union)
        );
    }
}
