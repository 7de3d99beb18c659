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
//!        |      revoked  second resched                          |
//!        |      died     killed, lied or faulted                 |
//!        +-------------------------------------------------------+
//!               revoked, died
//! ```
//!
//! Every function is pure: it maps what is known to what has to be done. Nothing here imports the
//! kernel, so that this file also compiles on a host, where the unit tests below and the model use
//! it. The other files of this folder only carry the results out.

use super::abi::{ByteOrder, Layout, Update};

/// A grant that is about to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// When it ends, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(crate) expires: u64,
    /// How often the thread had been switched out when the grant was made.
    pub(crate) switches: usize,
}

impl Grant {
    /// What takes the place of [`Grant::switches`] when the reschedule was asked for: a count that
    /// no thread reaches. With 32 bits one may: a grant made at that very count does not
    /// become [`Phase::Spent`].
    pub(crate) const SPENT: usize = usize::MAX;

    /// Whether a grant can be made of what the control word asks for.
    ///
    /// `scheduled_out` says that the thread was switched out since it entered the kernel, or that
    /// an update of user space is due for another reason. The reschedule that was to be postponed
    /// has then happened, the update will erase the control word, and a reschedule that is pending
    /// is another one: nothing is granted. Nor is it on a CPU that must not grant, as
    /// `cpu_may_grant` says: it could not bound the grant, or others would pay for it.
    #[inline]
    pub(crate) fn possible(scheduled_out: bool, cpu_may_grant: impl FnOnce() -> bool) -> bool {
        !scheduled_out && cpu_may_grant()
    }

    /// Makes a grant of `length` nanoseconds.
    #[inline]
    pub(crate) const fn new(now: u64, length: u32, switches: usize) -> Self {
        Self {
            // Far from wrapping in practice; an overflow check would be a panic on the way out.
            expires: now.wrapping_add(length as u64),
            switches,
        }
    }
}

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It has no grant.
    Idle,
    /// It has a grant, the reschedule that this postpones is due, and a timer bounds it.
    Granted,
    /// The grant has yet to end, but the reschedule has happened or was asked for: the thread was
    /// switched out, the timer has fired, or an update of user space has erased the grant.
    Spent,
}

impl Phase {
    /// The phase of a thread that has a grant.
    ///
    /// `made` is [`Grant::switches`] and `switches` the thread's count now.
    #[inline]
    pub(crate) const fn with_grant(made: usize, switches: usize) -> Self {
        if made == switches {
            Self::Granted
        } else {
            Self::Spent
        }
    }

    /// Whether the timer that bounds the grant of the thread that it interrupted, when it fires,
    /// makes that [`Phase::Spent`] and asks for the reschedule.
    ///
    /// [`Phase::Granted`] says enough: the thread has not been switched out since its grant armed
    /// the timer, so that nobody else can have armed it since.
    #[inline]
    pub(crate) const fn at_expiry(self) -> bool {
        matches!(self, Self::Granted)
    }

    /// What becomes of a grant when its thread enters the system call `call`.
    ///
    /// `truthful` is what [`Layout::truthful_at_entry()`] says of the control word, if that is
    /// checked.
    #[inline]
    pub(crate) const fn at_syscall(self, call: Call, truthful: bool) -> AtSyscall {
        match self {
            Self::Idle => AtSyscall::NoGrant,
            Self::Granted => AtSyscall::GiveUp(match call {
                _ if !truthful => Ending::Died,
                Call::Yield => Ending::Yielded,
                Call::Other => Ending::Aborted,
            }),
            Self::Spent => AtSyscall::GaveUp(Ending::taken_back(truthful)),
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
    /// By a second reschedule, by its expiry, also if a system call finds it spent, or by an
    /// update of user space: the thread was switched out, or `membarrier(2)` asked for it.
    Revoked,
    /// With its thread: killed, or found to lie or to fault.
    Died,
}

impl Ending {
    /// How a grant ends that the kernel takes back: at the next reschedule, be that a second one
    /// or the postponed one that the timer asked for; or at system call entry, once the postponed
    /// one has happened or was asked for. A reschedule never extends a grant.
    ///
    /// `truthful` is false if the control word is not accessible, or is checked here and lies.
    #[inline]
    pub(crate) const fn taken_back(truthful: bool) -> Self {
        if truthful {
            Self::Revoked
        } else {
            Self::Died
        }
    }
}

/// What a thread calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `rseq_slice_yield(2)`.
    Yield,
    /// Anything else.
    Other,
}

/// What is done to the control word of a thread without a grant when a reschedule is due on the way
/// out of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Look for a request and turn it into a grant.
    Offer,
    /// Erase it: other work than the reschedule has to be done.
    Refuse,
}

impl Plan {
    /// `other_work` is any work on the way to user mode besides the reschedule.
    #[inline]
    pub(crate) const fn new(other_work: bool) -> Self {
        if other_work {
            Self::Refuse
        } else {
            Self::Offer
        }
    }

    /// The update of the control word.
    #[inline]
    pub(crate) const fn update(self, layout: Layout, order: ByteOrder) -> Update {
        match self {
            Self::Offer => layout.offer(order),
            Self::Refuse => Update::ERASE,
        }
    }

    /// Judges the control word as the update found it.
    #[inline]
    pub(crate) const fn judge(self, layout: Layout, order: ByteOrder, word: u32) -> Verdict {
        if !layout.truthful(order, word, false) {
            return Verdict::Kill;
        }

        match self {
            Self::Offer if word & layout.request(order) != 0 => Verdict::Grant,
            Self::Offer | Self::Refuse => Verdict::Refuse,
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
    /// Send `SIGSEGV`, and reschedule.
    Kill,
}

#[cfg(any(test, CONFIG_RSEQ_SLICE_KUNIT_TEST))]
#[cfg_attr(not(test), kernel::macros::kunit_tests(rseq_slice_state))]
mod tests {
    use super::*;

    const ORDER: ByteOrder = ByteOrder::NATIVE;

    fn judge(layout: Layout, other_work: bool, word: u32) -> Verdict {
        Plan::new(other_work).judge(layout, ORDER, word)
    }

    #[test]
    fn a_request_alone_is_granted() {
        for layout in [Layout::Bytes, Layout::Bits] {
            let request = layout.request(ORDER);
            assert_eq!(judge(layout, false, request), Verdict::Grant);
            assert_eq!(judge(layout, false, 0), Verdict::Refuse);
            assert_eq!(judge(layout, true, request), Verdict::Refuse);
        }
    }

    #[test]
    fn plans_update_the_word_accordingly() {
        for layout in [Layout::Bytes, Layout::Bits] {
            assert_eq!(Plan::Offer.update(layout, ORDER), layout.offer(ORDER));
            assert_eq!(Plan::Refuse.update(layout, ORDER), Update::ERASE);
        }
        assert_eq!(Plan::new(true), Plan::Refuse);
        assert_eq!(Plan::new(false), Plan::Offer);
    }

    #[test]
    fn lies_kill_in_the_word_layout_only() {
        for work in [false, true] {
            assert_eq!(judge(Layout::Bits, work, 2), Verdict::Kill);
            assert_eq!(judge(Layout::Bits, work, 3), Verdict::Kill);
            assert_eq!(judge(Layout::Bits, work, 5), Verdict::Kill);
        }
        let forged = Layout::Bytes.granted(ORDER);
        assert_eq!(judge(Layout::Bytes, false, forged), Verdict::Refuse);
    }

    #[test]
    fn a_grant_is_not_made_after_a_switch_or_where_the_cpu_must_not() {
        assert!(!Grant::possible(true, || true));
        assert!(!Grant::possible(false, || false));
        assert!(!Grant::possible(true, || false));
        assert!(Grant::possible(false, || true));
    }

    #[test]
    fn a_grant_ends_after_its_length() {
        assert_eq!(
            Grant::new(100, 5_000, 3),
            Grant {
                expires: 5_100,
                switches: 3
            }
        );
    }

    #[test]
    fn expiry_wraps_instead_of_panicking() {
        assert_eq!(Grant::new(u64::MAX, 2, 0).expires, 1);
    }

    #[test]
    fn system_calls_end_a_grant() {
        for (call, ending) in [
            (Call::Yield, Ending::Yielded),
            (Call::Other, Ending::Aborted),
        ] {
            assert_eq!(
                Phase::Granted.at_syscall(call, true),
                AtSyscall::GiveUp(ending)
            );
            assert_eq!(
                Phase::Spent.at_syscall(call, true),
                AtSyscall::GaveUp(Ending::Revoked)
            );
            assert_eq!(Phase::Idle.at_syscall(call, true), AtSyscall::NoGrant);
        }
    }

    #[test]
    fn a_lie_at_system_call_entry_ends_a_grant_as_nothing_else() {
        for call in [Call::Yield, Call::Other] {
            assert_eq!(
                Phase::Granted.at_syscall(call, false),
                AtSyscall::GiveUp(Ending::Died)
            );
            assert_eq!(
                Phase::Spent.at_syscall(call, false),
                AtSyscall::GaveUp(Ending::Died)
            );
            assert_eq!(Phase::Idle.at_syscall(call, false), AtSyscall::NoGrant);
        }
    }

    #[test]
    fn what_is_taken_back_is_revoked_or_dies_with_a_liar() {
        assert_eq!(Ending::taken_back(true), Ending::Revoked);
        assert_eq!(Ending::taken_back(false), Ending::Died);
    }

    #[test]
    fn a_grant_is_spent_by_a_switch_and_by_its_timer() {
        assert_eq!(Phase::with_grant(7, 7), Phase::Granted);
        assert_eq!(Phase::with_grant(7, 8), Phase::Spent);
        let high = 1 << (usize::BITS - 1);
        assert_eq!(Phase::with_grant(high | 7, 7), Phase::Spent);
        for switches in [0, 7, usize::MAX - 1] {
            assert_eq!(Phase::with_grant(Grant::SPENT, switches), Phase::Spent);
        }
    }

    #[test]
    fn a_timer_spends_a_grant_once() {
        assert!(Phase::Granted.at_expiry());
        assert!(!Phase::Spent.at_expiry());
        assert!(!Phase::Idle.at_expiry());
    }
}
