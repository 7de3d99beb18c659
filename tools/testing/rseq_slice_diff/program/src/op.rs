// SPDX-License-Identifier: GPL-2.0

//! The operations of a program's threads, and their text form.

use std::fmt;
use std::str::FromStr;

use crate::arg::{Bad, Delay, Hex, Place, Text, word};
use crate::arg::{Call, Event, Fault, Handler, Protection, Signal};

/// Declares [`Op`] with its text form: the literal, then the fields in order.
macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident $text:literal $({
        $($field:ident: $type:ty),*
    })?;)*) => {
        /// One operation.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Op {
            $($(#[$doc])* $name $({ $(
                #[doc = concat!("The argument `", stringify!($field), "`.")]
                $field: $type
            ),* })?,)*
        }

        impl Op {
            /// The names of all operations.
            pub const NAMES: &'static [&'static str] = &[$($text),*];

            /// The name of the operation, without its arguments.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $text,)*
                }
            }
        }

        impl fmt::Display for Op {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())?;
                match self {
                    $(Self::$name $({ $($field),* })? => { $($(write!(f, " {}", $field)?;)*)? })*
                }
                Ok(())
            }
        }

        impl FromStr for Op {
            type Err = Bad;

            fn from_str(text: &str) -> Result<Self, Bad> {
                let mut words = text.split_whitespace();
                let op = match words.next() {
                    $(Some($text) => Self::$name $({ $($field: word(&mut words)?),* })?,)*
                    _ => return Err(Bad::new("operation", text)),
                };
                match words.next() {
                    None => Ok(op),
                    Some(_) => Err(Bad::new("number of arguments", text)),
                }
            }
        }
    };
}

ops! {
    /// `rseq(2)`. The signature is the usual one plus `sig`.
    Rseq "rseq" { len: u32, at: Place, flags: Hex, sig: u32 };
    /// `prctl(PR_RSEQ_SLICE_EXTENSION, ...)`.
    Prctl "prctl" { op: i64, value: i64, arg4: i64, arg5: i64 };
    /// Stores the whole control word.
    Word "word" { value: Hex };
    /// Stores one byte of the control word.
    Byte "byte" { index: u32, value: Hex };
    /// Stores `rseq::flags`.
    Flags "flags" { value: Hex };
    /// Stores `rseq::cpu_id`.
    Ids "ids" { value: Hex };
    /// Stores `rseq::rseq_cs`.
    Cs "cs" { value: Hex };
    /// Plans something for that many nanoseconds after the moment at which the next `ask` wakes its
    /// competitor.
    Then "then" { delay: Delay, event: Event };
    /// Lets a competitor want the CPU at a quiet moment, stores the control word before that, and waits in
    /// user mode until the word changes or somebody ran.
    Ask "ask" { word: Hex };
    /// The same with a reschedule without competitor: the other CPU changes the thread's scheduling
    /// class, and changes it back.
    Reclass "reclass" { word: Hex };
    /// Waits in user mode, for at most 200 microseconds, until the word changes or somebody ran.
    Outlast "outlast";
    /// Spins in user mode for that many nanoseconds.
    Spin "spin" { time: Delay };
    /// Spins in user mode for that many nanoseconds, then makes a first access to a page of the process.
    Touch "touch" { time: Delay };
    /// `rseq_slice_yield(2)`.
    Yield "yield";
    /// Another system call.
    Call "call" { call: Call };
    /// Goes on in a forked child; the parent waits for it and ends.
    Fork "fork";
    /// Goes on in a new thread; this one waits for it and ends.
    Thread "thread";
    /// Goes on in a child made with `CLONE_VM | CLONE_VFORK`; the parent waits for it and ends.
    Vfork "vfork";
    /// Goes on after an `execve(2)` of the same program.
    Exec "exec";
    /// Unmaps the page of the area.
    Unmap "unmap";
    /// Changes the protection of the page of the area.
    Protect "protect" { to: Protection };
    /// Maps a page of zeros in place of the page of the area.
    Map "map";
    /// The same with memory that keeps its content when it is dropped.
    MapShared "map-shared";
    /// Sends the thread itself a signal.
    Raise "raise" { signal: Signal };
    /// Installs a signal handler.
    Handle "handle" { signal: Signal, with: Handler };
    /// Makes an entry into the kernel that is neither a system call nor an interrupt.
    Fault "fault" { what: Fault };
    /// Writes to debugfs `rseq/slice_ext_nsec`, then reads it.
    Length "length" { text: Text };
    /// Writes to debugfs `rseq/debug`, then reads it.
    Debug "debug" { text: Text };
    /// `membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ)`.
    Membarrier "membarrier";
    /// Installs a seccomp filter that makes `skip` fail with `EPERM`.
    Filter "filter";
    /// `rseq_slice_yield(2)` with the argument that the filter looks for.
    Skip "skip";
    /// Moves to the other CPU and back.
    Bounce "bounce";
    /// Looks at the other fields of the area.
    See "see";
}

impl Op {
    /// Whether it has to do with a moment.
    pub fn depends_on_moment(&self) -> bool {
        matches!(
            self,
            Self::Then { .. } | Self::Spin { .. } | Self::Touch { .. }
        )
    }

    /// Whether it can be done inside of a restartable sequence.
    pub fn fits_sequence(&self) -> bool {
        let waits = matches!(
            self,
            Self::Ask { .. } | Self::Reclass { .. } | Self::Outlast | Self::Spin { .. }
        );
        let enters = [Self::Yield, Self::Skip].contains(self)
            || matches!(
                self,
                Self::Call { .. } | Self::Fault { .. } | Self::Touch { .. }
            );
        waits || enters
    }

    /// Whether that moment is swept over a range.
    pub fn is_timed(&self) -> bool {
        match self {
            Self::Then { delay, .. } => delay.is_range(),
            Self::Spin { time } | Self::Touch { time } => time.is_range(),
            _ => false,
        }
    }

    /// Whether the rest of the program runs somewhere else.
    pub fn goes_elsewhere(&self) -> bool {
        matches!(self, Self::Fork | Self::Thread | Self::Vfork | Self::Exec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_round_trip(text: &str) {
        let op: Op = text.parse().unwrap();
        assert_eq!(op.to_string(), text);
    }

    #[test]
    fn text_form() {
        for text in [
            "rseq 64 @0 0x2 1",
            "rseq 32 null 0x0 0",
            "prctl 2 -1 0 4294967296",
            "word 0xffffffff",
            "then 0..50000 competitor",
            "then 3000 unmap",
            "reclass 0x1",
            "spin 500",
            "touch 30000..52000",
            "call getpid",
            "handle segv yield",
            "length \"5000\\n\"",
            "length \"\"",
            "see",
        ] {
            assert_round_trip(text);
        }
    }

    #[test]
    fn bad_text_is_refused() {
        for text in [
            "",
            "nothing",
            "rseq 64",
            "yield 1",
            "word",
            "word -1",
            "then 9..3 competitor",
            "call x",
            "length 5000",
            "rseq 64 @5000 0x0 0",
        ] {
            assert!(text.parse::<Op>().is_err(), "{text:?} was taken");
        }
    }
}
