// SPDX-License-Identifier: GPL-2.0

//! The properties. Each is something that must never happen, and has the number of the invariant
//! that forbids it.

use core::fmt;

use bitflags::bitflags;

/// Something that must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    pub(crate) broken: Broken,
    pub(crate) invariant: u8,
    pub(crate) name: &'static str,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant_{}.{}", self.invariant, self.name)
    }
}

/// A model that knows in which states the properties hold.
pub(crate) trait Holds: stateright::Model {
    /// Whether `property` holds in `state`.
    fn holds(&self, state: &Self::State, property: Broken) -> bool;
}

macro_rules! properties {
    ($($flag:ident $bit:literal $invariant:literal $name:literal $doc:literal)+) => {
        bitflags! {
            /// The properties that the last step has broken.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub(crate) struct Broken: u32 {
                $(#[doc = $doc] const $flag = 1 << $bit;)+
            }
        }

        /// All properties.
        pub(crate) const ALL: &[Property] = &[
            $(Property { broken: Broken::$flag, invariant: $invariant, name: $name }),+
        ];

        /// All properties for stateright.
        pub(crate) fn stateright<M: Holds>() -> Vec<stateright::Property<M>> {
            vec![
                $(stateright::Property::always($name, |model: &M, state| {
                    model.holds(state, Broken::$flag)
                })),+
            ]
        }
    };
}

properties! {
    UNBOUNDED 0 1 "unbounded_grant"
        "User mode with a grant that no timer of the CPU bounds."
    LATE 1 2 "late_reschedule"
        "User mode after the extension was over, with the postponed reschedule still due."
    UNFIT 26 2 "grant_on_unfit_cpu"
        "A grant by a CPU that must not make any."
    POSTPONED_AGAIN 2 3 "postponed_again"
        "A reschedule that is not lazy was postponed while an earlier one is still due, or a grant was extended."
    SURVIVED 3 3 "survived_reschedule"
        "A grant outlasted the reschedule that should have revoked it."
    TWICE_AT_ENTRY 4 3 "second_reschedule_at_entry"
        "System call entry requested a reschedule although the CPU was given up since the grant."
    TWICE_AT_EXPIRY 5 3 "second_reschedule_at_expiry"
        "The timer requested one although the CPU was given up since the grant."
    TWICE_AT_EXIT 6 3 "second_reschedule_at_exit"
        "The way to user mode requested one although the CPU was given up since the grant."
    LOST 7 4 "lost_reschedule"
        "User mode without a grant and without the reschedule that the last grant has postponed."
    LOST_BY_DEATH 30 4 "reschedule_lost_by_death"
        "A thread died in its grant, and nothing requests the reschedule that it has postponed."
    MISCOUNTED 8 4 "miscounted"
        "The counters of grants and ends do not match while a thread is in user mode."
    MISCOUNTED_DEATH 9 4 "miscounted_death"
        "The counters of grants and ends do not match when a thread is gone."
    INCONSISTENT 10 5 "inconsistent_word"
        "User mode with a control word that is inconsistent with the kernel's state, and that user space did not write."
    STALE_TIMER 11 6 "stale_timer"
        "A timer acted that was not set to the end of the live grant of the thread that it interrupted."
    FOREIGN_TIMER 12 6 "foreign_timer"
        "A timer of another CPU acted."
    CLAIM_WITHOUT_GRANT 13 7 "claim_without_grant"
        "rseq_slice_yield(2) returned 1 to a thread that did not yield since its last grant."
    CLAIM_AFTER_EXPIRY 14 7 "claim_after_expiry"
        "It returned 1 although the timer had requested the reschedule before."
    CLAIM_AFTER_SWITCH 22 7 "claim_after_switch"
        "It returned 1 although the thread had been scheduled out before."
    CLAIM_AFTER_BOTH 24 7 "claim_after_expiry_and_switch"
        "It returned 1 although the timer had requested the reschedule and the thread had been scheduled out before."
    UNREPORTED 23 7 "unreported_yield"
        "It returned 0 to a thread that gave the CPU up by this call, inside its grant."
    DESPITE_WORK 15 8 "grant_despite_work"
        "A grant although there was other work."
    NO_INTERRUPT 16 8 "grant_without_interrupt"
        "A grant on the way out of a system call."
    URGENT 17 8 "urgent_postponed"
        "PREEMPT_RT, or with the policy `lazy`: a reschedule that is not lazy was postponed."
    WRONG_CHILD 18 9 "wrong_child_state"
        "A child has a grant or the result of a yield, or not its parent's mode."
    NOT_RESET 19 9 "not_reset"
        "State survived CLONE_VM, exec or unregistration."
    MISSING_SIGSEGV 20 10 "missing_sigsegv"
        "A fault, or a violation where it is checked, without SIGSEGV."
    SIGSEGV_WITHOUT_CAUSE 21 10 "sigsegv_without_cause"
        "A SIGSEGV without a fault or a violation."
    SIGSEGV_TWICE 29 10 "sigsegv_twice"
        "Before the handler of a SIGSEGV by an update of user space could run, the end of the exit loop forced another update, which failed."
    UNRESTARTED 25 12 "unrestarted_sequence"
        "User mode, or a signal handler over it, in a restartable sequence that has to be restarted."
    MISSING_USER_IRQ 28 12 "missing_user_irq"
        "A signal is delivered after an interrupt of user mode and rseq_event::user_irq is not set."
    SIGSEGV_IN_SEQUENCE 27 12 "sigsegv_in_sequence"
        "rseq_debug killed a thread in a restartable sequence that made no system call there."
}

impl Broken {
    /// The properties at which the exploration stops. The others may lead to more that is broken.
    pub(crate) const FINAL: Self = Self::all()
        .difference(Self::UNFIT)
        .difference(Self::MISSING_USER_IRQ)
        .difference(Self::LOST)
        .difference(Self::TWICE_AT_ENTRY)
        .difference(Self::MISCOUNTED);
}
