// SPDX-License-Identifier: GPL-2.0

//! The life of a slice extension: what happens to a thread, and what follows.
//!
//! ```text
//!                                              timer, scheduled out,
//!              resched, request seen           or membarrier(2)
//!     +------+ --------------------> +---------+ ----------> +-------+
//!     | Idle |                       | Granted |             | Spent |
//!     +------+ <-------------------- +---------+             +-------+
//!        ^      yielded  rseq_slice_yield(2)                     |
//!        |      aborted  any other system call                   |
//!        |      revoked  second resched that is not postponed,   |
//!        |               or rseq's update failed                 |
//!        |      died     killed, violation or fault              |
//!        +-------------------------------------------------------+
//!               revoked, died
//! ```
//!
//! Every function is pure and imports nothing from the kernel. So this file also compiles on a
//! host, where the unit tests below and the model use it. The other files of this folder carry the
//! results out.

use super::abi::Layout;

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has no grant.
    Idle,
    /// It has a grant, the postponed reschedule is still due, and a timer bounds the grant.
    Granted,
    /// Its grant is over for the scheduler: the thread was scheduled out, or the reschedule was
    /// requested again because the timer fired or an update of user space erased the grant. User
    /// space may still see it, and its end is not counted yet.
    Spent,
}

impl Phase {
    /// Replaces the switch count of a grant that is spent without a switch. No thread reaches it.
    pub(crate) const SPENT_SWITCHES: usize = usize::MAX;

    /// The phase of a thread that has a grant, from its switch count when the grant was made and
    /// its count now.
    pub(crate) const fn with_grant(made: usize, now: usize) -> Self {
        if made == now {
            Self::Granted
        } else {
            Self::Spent
        }
    }

    /// What a system call does to the grant of the thread that enters it, if there is one.
    pub(crate) const fn at_syscall(
        self,
        call: Call,
        consistent: bool,
    ) -> Option<(Ending, Resched)> {
        match self {
            Self::Idle => None,
            Self::Granted => Some((Ending::at_syscall(call, consistent), Resched::Due)),
            Self::Spent => Some((Ending::at_revocation(consistent), Resched::Done)),
        }
    }
}

/// What has become of the reschedule that a grant postponed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Resched {
    /// It has to be requested.
    Due,
    /// It has happened or was requested.
    Done,
}

/// How a grant ends. Every grant ends in exactly one of these ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ending {
    /// By `rseq_slice_yield(2)`.
    Yielded,
    /// By another system call.
    Aborted,
    /// By a second reschedule that is not postponed, by an update of user space or the failure of
    /// one, or by a system call after it was spent.
    Revoked,
    /// With its thread, or by a violation or fault.
    Died,
}

impl Ending {
    /// How a revocation ends a grant. `consistent` is false after a violation or a fault.
    pub(crate) const fn at_revocation(consistent: bool) -> Self {
        if consistent {
            Self::Revoked
        } else {
            Self::Died
        }
    }

    const fn at_syscall(call: Call, consistent: bool) -> Self {
        match call {
            _ if !consistent => Self::Died,
            Call::Yield => Self::Yielded,
            Call::Other => Self::Aborted,
        }
    }
}

/// A system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `rseq_slice_yield(2)`.
    Yield,
    /// Anything else.
    Other,
}

/// The grant decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Postpone the reschedule.
    Grant,
    /// Reschedule.
    Refuse,
    /// Send `SIGSEGV`, and reschedule.
    Kill,
}

impl Verdict {
    /// Decides for a thread without a grant that is about to reschedule on its way to user mode.
    ///
    /// `word` is the control word before [`Layout::modification()`] was applied. `other_work` is
    /// any work on the way besides the reschedule.
    pub(crate) const fn new(layout: Layout, word: u32, other_work: bool) -> Self {
        if !layout.is_consistent(word, false, layout.checked_at_exit()) {
            Self::Kill
        } else if other_work || word & layout.request() == 0 {
            Self::Refuse
        } else {
            Self::Grant
        }
    }
}

#[cfg(any(test, CONFIG_RSEQ_SLICE_STATE_KUNIT_TEST))]
#[cfg_attr(not(test), kernel::macros::kunit_tests(rseq_slice_state))]
mod tests {
    use super::*;

    #[test]
    fn a_request_alone_is_granted() {
        for layout in [Layout::Bytes, Layout::Bits] {
            let request = layout.request();
            assert_eq!(Verdict::new(layout, request, false), Verdict::Grant);
            assert_eq!(Verdict::new(layout, 0, false), Verdict::Refuse);
            assert_eq!(Verdict::new(layout, request, true), Verdict::Refuse);
            assert_eq!(Verdict::new(layout, 0, true), Verdict::Refuse);
        }
    }

    #[test]
    fn a_violation_kills_in_the_bits_layout_only() {
        for other_work in [false, true] {
            for word in [2, 3, 5] {
                assert_eq!(Verdict::new(Layout::Bits, word, other_work), Verdict::Kill);
            }
        }
        let forged = Layout::Bytes.granted();
        assert_eq!(Verdict::new(Layout::Bytes, forged, false), Verdict::Refuse);
        let with_request = forged | Layout::Bytes.request();
        assert_eq!(
            Verdict::new(Layout::Bytes, with_request, false),
            Verdict::Grant
        );
    }

    #[test]
    fn a_system_call_ends_a_grant() {
        for (call, ending) in [
            (Call::Yield, Ending::Yielded),
            (Call::Other, Ending::Aborted),
        ] {
            assert_eq!(
                Phase::Granted.at_syscall(call, true),
                Some((ending, Resched::Due))
            );
            assert_eq!(
                Phase::Spent.at_syscall(call, true),
                Some((Ending::Revoked, Resched::Done))
            );
            assert_eq!(Phase::Idle.at_syscall(call, true), None);
        }
    }

    #[test]
    fn a_violation_at_system_call_entry_ends_a_grant_in_its_own_way() {
        for call in [Call::Yield, Call::Other] {
            assert_eq!(
                Phase::Granted.at_syscall(call, false),
                Some((Ending::Died, Resched::Due))
            );
            assert_eq!(
                Phase::Spent.at_syscall(call, false),
                Some((Ending::Died, Resched::Done))
            );
            assert_eq!(Phase::Idle.at_syscall(call, false), None);
        }
    }

    #[test]
    fn a_revocation_revokes_unless_there_is_a_violation() {
        assert_eq!(Ending::at_revocation(true), Ending::Revoked);
        assert_eq!(Ending::at_revocation(false), Ending::Died);
    }

    #[test]
    fn a_grant_is_spent_by_a_switch_and_by_its_timer() {
        assert_eq!(Phase::with_grant(7, 7), Phase::Granted);
        assert_eq!(Phase::with_grant(7, 8), Phase::Spent);
        let high = 1 << (usize::BITS - 1);
        assert_eq!(Phase::with_grant(high | 7, 7), Phase::Spent);
        for switches in [0, 7, usize::MAX - 1] {
            assert_eq!(
                Phase::with_grant(Phase::SPENT_SWITCHES, switches),
                Phase::Spent
            );
        }
    }
}
