// SPDX-License-Identifier: GPL-2.0

//! The life of a slice extension: what happens to a thread, and what follows.
//!
//! ```text
//!              resched, request seen             timer
//!     +------+ --------------------> +---------+ -------> +---------+
//!     | Idle |                       | Granted |          | Expired |
//!     +------+ <-------------------- +---------+          +---------+
//!        ^      yielded  rseq_slice_yield(2)                   |
//!        |      aborted  any other system call                 |
//!        |      revoked  second resched, or scheduled out      |
//!        |      died     killed, lied or faulted               |
//!        +-----------------------------------------------------+
//!               revoked, died
//! ```
//!
//! Every function is pure: it maps what is known to what has to be done. Nothing here imports the
//! kernel, so that this file also compiles on a host, where the unit tests below and the model use
//! it. The other files of this folder only carry the results out.

use super::abi::{ByteOrder, Layout, Update};

/// A live grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// When it ends, in nanoseconds of `CLOCK_MONOTONIC`. Not zero.
    pub(crate) expires: u64,
    /// How often the thread had been switched out when the grant was made. Wraps.
    pub(crate) switches: u32,
}

impl Grant {
    /// Makes a grant of `length` nanoseconds.
    ///
    /// `scheduled_out` says that the thread was switched out since it entered the kernel, or that
    /// an update of user space is due for another reason. The reschedule that was to be postponed
    /// has then happened, the update will erase the control word, and a reschedule that is pending
    /// is another one: nothing is granted.
    #[inline]
    pub(crate) const fn make(
        scheduled_out: bool,
        now: u64,
        length: u32,
        switches: u32,
    ) -> Option<Self> {
        if scheduled_out {
            return None;
        }

        Some(Self {
            // Far from wrapping in practice; an overflow check would be a panic on the way out.
            expires: now.wrapping_add(length as u64),
            switches,
        })
    }
}

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has no grant.
    Idle,
    /// It has a grant, and a timer that bounds it unless the thread was switched out since.
    Granted(Grant),
    /// The timer has fired and asked for the reschedule; user space was not told yet.
    Expired,
}

impl Phase {
    /// Whether user space sees a grant.
    #[inline]
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self, Self::Granted(_) | Self::Expired)
    }

    /// Whether the reschedule that a grant postponed is still due.
    ///
    /// `switches` is the thread's count now. Another count than that of the grant means that the
    /// CPU was given up already.
    #[inline]
    pub(crate) const fn owes_resched(&self, switches: u32) -> bool {
        match self {
            Self::Granted(grant) => grant.switches == switches,
            Self::Idle | Self::Expired => false,
        }
    }

    /// Whether a timer that fires makes the thread that it interrupted [`Phase::Expired`], and asks
    /// for the reschedule.
    ///
    /// `owner` says that the timer belongs to this CPU and was armed for that thread, `at` is the
    /// expiry of the timer in nanoseconds, `switches` the thread's count now. A timer that outlived
    /// its grant, or comes after the CPU was given up, does not pass.
    #[inline]
    pub(crate) const fn at_expiry(&self, owner: bool, at: u64, switches: u32) -> bool {
        match self {
            Self::Granted(grant) => owner && grant.expires == at && grant.switches == switches,
            Self::Idle | Self::Expired => false,
        }
    }

    /// What becomes of a grant when its thread enters the system call `call`.
    ///
    /// `truthful` is what [`Layout::truthful_at_entry()`] says of the control word, if that is
    /// checked.
    #[inline]
    pub(crate) const fn at_syscall(&self, call: Call, switches: u32, truthful: bool) -> AtSyscall {
        if !self.is_live() {
            return AtSyscall::NoGrant;
        }

        if self.owes_resched(switches) {
            AtSyscall::GiveUp(match call {
                _ if !truthful => Ending::Died,
                Call::Yield => Ending::Yielded,
                Call::Other => Ending::Aborted,
            })
        } else {
            AtSyscall::GaveUp(if truthful {
                Ending::Revoked
            } else {
                Ending::Died
            })
        }
    }
}

/// What becomes of a grant at system call entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtSyscall {
    /// There is none.
    NoGrant,
    /// It ends so, and the reschedule that it postponed is done now.
    GiveUp(Ending),
    /// It ends so; the reschedule was asked for before.
    GaveUp(Ending),
}

/// How a grant ends. Every grant ends in exactly one of these ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// By `rseq_slice_yield(2)`.
    Yielded,
    /// By another system call.
    Aborted,
    /// By a second reschedule, by its expiry, or by an update of user space: the thread was
    /// switched out, or `membarrier(2)` asked for it.
    Revoked,
    /// With its thread: killed, or found to lie or to fault.
    Died,
}

/// What a thread calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `rseq_slice_yield(2)`.
    Yield,
    /// Anything else.
    Other,
}

/// What is done to the control word when a reschedule is due on the way out of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Look for a request and turn it into a grant.
    Offer,
    /// Erase it: there is a grant already, or other work than the reschedule has to be done.
    Erase,
}

impl Plan {
    /// `other_work` is any work on the way to user mode besides the reschedule.
    #[inline]
    pub(crate) const fn new(phase: Phase, other_work: bool) -> Self {
        if other_work || phase.is_live() {
            Self::Erase
        } else {
            Self::Offer
        }
    }

    /// The update of the control word.
    #[inline]
    pub(crate) const fn update(self, layout: Layout, order: ByteOrder) -> Update {
        match self {
            Self::Offer => layout.offer(order),
            Self::Erase => Update::ERASE,
        }
    }

    /// Judges the control word as the update found it.
    #[inline]
    pub(crate) const fn judge(
        self,
        layout: Layout,
        order: ByteOrder,
        phase: Phase,
        word: u32,
    ) -> Verdict {
        if !layout.truthful(order, word, phase.is_live()) {
            return Verdict::Kill;
        }

        match self {
            Self::Offer if word & layout.request(order) != 0 => Verdict::Grant,
            Self::Erase if phase.is_live() => Verdict::Revoke,
            Self::Offer | Self::Erase => Verdict::Refuse,
        }
    }
}

/// What the grant decision comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Postpone the reschedule.
    Grant,
    /// Reschedule.
    Refuse,
    /// End the grant and reschedule.
    Revoke,
    /// End the grant if there is one, send `SIGSEGV`, and reschedule.
    Kill,
}

#[cfg(any(test, CONFIG_RSEQ_SLICE_KUNIT_TEST))]
#[cfg_attr(not(test), kernel::macros::kunit_tests(rseq_slice_state))]
mod tests {
    use super::*;

    const ORDER: ByteOrder = ByteOrder::NATIVE;
    const GRANT: Grant = Grant {
        expires: 1_000,
        switches: 7,
    };
    const GRANTED: Phase = Phase::Granted(GRANT);

    fn judge(layout: Layout, phase: Phase, other_work: bool, word: u32) -> Verdict {
        Plan::new(phase, other_work).judge(layout, ORDER, phase, word)
    }

    #[test]
    fn a_request_alone_is_granted() {
        for layout in [Layout::Bytes, Layout::Bits] {
            let request = layout.request(ORDER);
            assert_eq!(judge(layout, Phase::Idle, false, request), Verdict::Grant);
            assert_eq!(judge(layout, Phase::Idle, false, 0), Verdict::Refuse);
            assert_eq!(judge(layout, Phase::Idle, true, request), Verdict::Refuse);
        }
    }

    #[test]
    fn a_second_resched_revokes_and_never_extends() {
        for layout in [Layout::Bytes, Layout::Bits] {
            let granted = layout.granted(ORDER);
            let again = granted | layout.request(ORDER);
            for phase in [GRANTED, Phase::Expired] {
                for work in [false, true] {
                    assert_eq!(Plan::new(phase, work), Plan::Erase);
                    assert_eq!(judge(layout, phase, work, granted), Verdict::Revoke);
                    assert_eq!(judge(layout, phase, work, again), Verdict::Revoke);
                }
            }
        }
    }

    #[test]
    fn plans_update_the_word_accordingly() {
        for layout in [Layout::Bytes, Layout::Bits] {
            assert_eq!(Plan::Offer.update(layout, ORDER), layout.offer(ORDER));
            assert_eq!(Plan::Erase.update(layout, ORDER), Update::ERASE);
        }
        assert_eq!(Plan::new(Phase::Idle, true), Plan::Erase);
        assert_eq!(Plan::new(Phase::Idle, false), Plan::Offer);
    }

    #[test]
    fn lies_kill_in_the_word_layout_only() {
        for work in [false, true] {
            assert_eq!(judge(Layout::Bits, Phase::Idle, work, 2), Verdict::Kill);
            assert_eq!(judge(Layout::Bits, Phase::Idle, work, 5), Verdict::Kill);
            assert_eq!(judge(Layout::Bits, GRANTED, work, 1), Verdict::Kill);
            assert_eq!(judge(Layout::Bytes, GRANTED, work, 0), Verdict::Revoke);
        }
        let forged = Layout::Bytes.granted(ORDER);
        assert_eq!(
            judge(Layout::Bytes, Phase::Idle, false, forged),
            Verdict::Refuse
        );
    }

    #[test]
    fn a_grant_is_not_made_after_a_switch() {
        assert_eq!(Grant::make(true, 0, 5_000, 0), None);
        assert_eq!(
            Grant::make(false, 100, 5_000, 3),
            Some(Grant {
                expires: 5_100,
                switches: 3
            })
        );
    }

    #[test]
    fn expiry_wraps_instead_of_panicking() {
        assert_eq!(
            Grant::make(false, u64::MAX, 2, 0).map(|grant| grant.expires),
            Some(1)
        );
    }

    #[test]
    fn system_calls_end_a_grant() {
        for (call, ending) in [
            (Call::Yield, Ending::Yielded),
            (Call::Other, Ending::Aborted),
        ] {
            assert_eq!(GRANTED.at_syscall(call, 7, true), AtSyscall::GiveUp(ending));
            for (phase, switches) in [(GRANTED, 8), (GRANTED, 6), (Phase::Expired, 7)] {
                assert_eq!(
                    phase.at_syscall(call, switches, true),
                    AtSyscall::GaveUp(Ending::Revoked)
                );
            }
            assert_eq!(Phase::Idle.at_syscall(call, 7, true), AtSyscall::NoGrant);
        }
    }

    #[test]
    fn a_lie_at_system_call_entry_ends_a_grant_as_nothing_else() {
        for call in [Call::Yield, Call::Other] {
            assert_eq!(
                GRANTED.at_syscall(call, 7, false),
                AtSyscall::GiveUp(Ending::Died)
            );
            for (phase, switches) in [(GRANTED, 8), (Phase::Expired, 7)] {
                assert_eq!(
                    phase.at_syscall(call, switches, false),
                    AtSyscall::GaveUp(Ending::Died)
                );
            }
            assert_eq!(Phase::Idle.at_syscall(call, 7, false), AtSyscall::NoGrant);
        }
    }

    #[test]
    fn one_reschedule_is_owed_for_one_grant() {
        assert!(GRANTED.owes_resched(7));
        assert!(!GRANTED.owes_resched(8));
        assert!(!Phase::Expired.owes_resched(7));
        assert!(!Phase::Idle.owes_resched(7));
    }

    #[test]
    fn user_space_sees_a_grant_until_it_is_told_otherwise() {
        assert!(GRANTED.is_live());
        assert!(Phase::Expired.is_live());
        assert!(!Phase::Idle.is_live());
    }

    #[test]
    fn only_the_timer_of_the_live_grant_expires_it() {
        assert!(GRANTED.at_expiry(true, 1_000, 7));
        assert!(!GRANTED.at_expiry(true, 999, 7));
        assert!(!GRANTED.at_expiry(true, 1_001, 7));
        assert!(!GRANTED.at_expiry(true, 1_000, 8));
        assert!(!GRANTED.at_expiry(false, 1_000, 7));
        assert!(!Phase::Expired.at_expiry(true, 1_000, 7));
        assert!(!Phase::Idle.at_expiry(true, 1_000, 7));
    }
}
