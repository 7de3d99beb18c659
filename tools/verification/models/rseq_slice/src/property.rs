// SPDX-License-Identifier: GPL-2.0

//! The properties: what must never happen, by the number of the invariant that forbids it.

use core::fmt;

use bitflags::bitflags;

/// What must never happen.
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
            /// Which properties the last step has broken.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
            pub(crate) struct Broken: u32 {
                $(#[doc = $doc] const $flag = 1 << $bit;)+
            }
        }

        /// All of them.
        pub(crate) const ALL: &[Property] = &[
            $(Property { broken: Broken::$flag, invariant: $invariant, name: $name }),+
        ];

        /// The same for stateright.
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
        "A reschedule was postponed although an earlier one is still due, or a grant was extended."
    SURVIVED 3 3 "survived_reschedule"
        "A grant lived through the reschedule that should have revoked it."
    TWICE_AT_ENTRY 4 3 "second_reschedule_at_entry"
        "System call entry asked for a reschedule although the CPU was given up since the grant."
    TWICE_AT_EXPIRY 5 3 "second_reschedule_at_expiry"
        "So did the timer."
    TWICE_AT_EXIT 6 3 "second_reschedule_at_exit"
        "So did the way to user mode."
    LOST 7 4 "lost_reschedule"
        "User mode without a grant and without the reschedule that the last grant has postponed."
    MISCOUNTED 8 4 "miscounted"
        "The counters of grants and ends do not match while a thread is in user mode."
    MISCOUNTED_DEATH 9 4 "miscounted_death"
        "They do not match when a thread is gone."
    DISAGREEMENT 10 5 "disagreement"
        "User mode with a control word that says something else than the kernel, by the kernel's fault."
    STALE_TIMER 11 6 "stale_timer"
        "A timer acted that was not set to the end of the live grant of the thread that it interrupted."
    FOREIGN_TIMER 12 6 "foreign_timer"
        "A timer of another CPU acted."
    CLAIM_WITHOUT_GRANT 13 7 "claim_without_grant"
        "rseq_slice_yield(2) returned 1 to a thread that did not yield since its last grant."
    CLAIM_AFTER_EXPIRY 14 7 "claim_after_expiry"
        "It returned 1 although the timer had asked for the reschedule before."
    CLAIM_AFTER_SWITCH 22 7 "claim_after_switch"
        "It returned 1 although the thread had been switched out before."
    CLAIM_AFTER_BOTH 24 7 "claim_after_expiry_and_switch"
        "It returned 1 although the timer had taken the CPU away before."
    DENIAL 23 7 "denial"
        "It returned 0 to a thread that gave the CPU up by it, inside of its grant."
    DESPITE_WORK 15 8 "grant_despite_work"
        "A grant although there was other work."
    NO_INTERRUPT 16 8 "grant_without_interrupt"
        "A grant on the way out of a system call."
    URGENT 17 8 "urgent_postponed"
        "PREEMPT_RT: a reschedule that is not lazy was postponed."
    INHERITED 18 9 "inherited"
        "A child has a grant or the result of a yield, or not its parent's choice."
    NOT_RESET 19 9 "not_reset"
        "State survived CLONE_VM, exec or unregistration."
    SPARED 20 10 "spared"
        "A fault or a lie was found and there was no SIGSEGV."
    SHOT 21 10 "shot_for_nothing"
        "There was a SIGSEGV without a fault or a lie."
    SHOT_TWICE 29 10 "shot_twice"
        "Before the handler of a SIGSEGV by an update of user space could run, the end of the exit loop forced another update, which failed."
    TORN 25 12 "torn_sequence"
        "User mode, or a signal handler over it, in a restartable sequence out of which the thread was taken."
    FORGOTTEN 28 12 "forgotten_interrupt"
        "rseq_event::user_irq does not tell the delivery of a signal that user mode was interrupted."
    SHOT_IN_SEQUENCE 27 12 "shot_in_sequence"
        "rseq_debug took a thread that was interrupted in a restartable sequence for one that made a system call."
}

impl Broken {
    /// What the exploration does not go on from. What a grant by an unfit CPU, a lost reschedule, a second one and a wrong
    /// count lead to is of interest.
    pub(crate) const FINAL: Self = Self::all()
        .difference(Self::UNFIT)
        .difference(Self::FORGOTTEN)
        .difference(Self::LOST)
        .difference(Self::TWICE_AT_ENTRY)
        .difference(Self::MISCOUNTED);
}
