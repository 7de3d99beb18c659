// SPDX-License-Identifier: GPL-2.0

//! The arguments of operations, and how they are written down.

use std::fmt;
use std::str::FromStr;

/// A text that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{what} in {text:?} makes no sense")]
pub struct Bad {
    what: &'static str,
    text: String,
}

impl Bad {
    pub(crate) fn new(what: &'static str, text: &str) -> Self {
        Self {
            what,
            text: text.to_owned(),
        }
    }
}

/// Parses the next word.
pub(crate) fn word<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Result<T, Bad> {
    let text = words
        .next()
        .ok_or_else(|| Bad::new("an argument", "(missing)"))?;
    text.parse().map_err(|_| Bad::new("an argument", text))
}

/// A number of bits, written in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hex(pub u32);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl FromStr for Hex {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        text.strip_prefix("0x")
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .map(Self)
            .ok_or_else(|| Bad::new("a number", text))
    }
}

/// Length in bytes of the memory in which a thread has its areas.
pub const PAGE_LEN: u32 = 4096;

/// Where an area is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// So many bytes from the start of the thread's own page.
    Page(u32),
    /// Nowhere.
    Null,
    /// In the kernel.
    Kernel,
    /// At the start of the other thread's page.
    Other,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page(offset) => write!(f, "@{offset}"),
            Self::Null => f.write_str("null"),
            Self::Kernel => f.write_str("kernel"),
            Self::Other => f.write_str("other"),
        }
    }
}

impl FromStr for Place {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        Ok(match (text, text.strip_prefix('@').map(str::parse)) {
            (_, Some(Ok(offset))) if offset < PAGE_LEN => Self::Page(offset),
            ("null", _) => Self::Null,
            ("kernel", _) => Self::Kernel,
            ("other", _) => Self::Other,
            _ => return Err(Bad::new("a place", text)),
        })
    }
}

/// A number of nanoseconds, or a range that the repetitions of a program sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Delay {
    from: u32,
    to: u32,
}

impl Delay {
    /// Always the same number.
    pub const fn exactly(nanos: u32) -> Self {
        Self {
            from: nanos,
            to: nanos,
        }
    }

    /// From `from` to less than `to` nanoseconds.
    pub const fn range(from: u32, to: u32) -> Self {
        assert!(from < to);
        Self { from, to }
    }

    /// Whether it varies.
    pub const fn is_range(self) -> bool {
        self.from != self.to
    }

    /// The lowest value.
    pub const fn from(self) -> u32 {
        self.from
    }

    /// The end of the range; the value itself if it is not a range.
    pub const fn to(self) -> u32 {
        self.to
    }

    /// The delay as every fourth repetition takes it: a range that reaches further on both sides.
    ///
    /// A moment that always meets one kernel in the middle of something meets the other one, which is
    /// faster or slower, elsewhere. Further away it meets both in the same. What is to happen at once
    /// stays as it is.
    pub const fn widened(self, repetition: u32) -> Self {
        /// Nanoseconds on each side: longer than either kernel takes for anything.
        const FURTHER: u32 = 32_000;
        if self.to == 0 || repetition % 4 != 3 {
            return self;
        }
        Self::range(self.from.saturating_sub(FURTHER), self.to + FURTHER)
    }

    /// The nanoseconds in repetition `repetition` for the operation with index `index`.
    ///
    /// Successive repetitions fill the range evenly, whatever their number (they are multiples of
    /// an irrational number), and operations are out of step with each other.
    ///
    /// A number that is no range is taken as it is in the first repetition. In the others it is a
    /// range of some microseconds, so that no kernel is always just before or just after something
    /// only because it is faster or slower than the other.
    pub fn nanos(self, repetition: u32, index: u32) -> u32 {
        const SWAY: u32 = 4_000;
        if !self.is_range() {
            if repetition == 0 || self.from == 0 {
                return self.from;
            }
            let around = Self::range(self.from.saturating_sub(SWAY), self.from + SWAY);
            return around.nanos(repetition, index);
        }
        /// 2^32 divided by the golden ratio, and by the plastic number and its square.
        const STEPS: [u32; 3] = [2_654_435_769, 3_242_174_889, 2_447_445_414];
        let step = STEPS[index as usize % STEPS.len()];
        let phase = repetition
            .wrapping_mul(step)
            .wrapping_add(index.wrapping_mul(STEPS[0]));
        let width = u64::from(self.to - self.from);
        self.from + ((u64::from(phase) * width) >> 32) as u32
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_range() {
            write!(f, "{}..{}", self.from, self.to)
        } else {
            write!(f, "{}", self.from)
        }
    }
}

impl FromStr for Delay {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        let number = |text: &str| text.parse().map_err(|_| Bad::new("a time", text));
        match text.split_once("..") {
            None => number(text).map(Self::exactly),
            Some((from, to)) => match (number(from)?, number(to)?) {
                (from, to) if from < to => Ok(Self { from, to }),
                _ => Err(Bad::new("a range", text)),
            },
        }
    }
}

/// Text to write to a file, in quotes and escaped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Text(String);

impl Text {
    /// `None` if the text cannot be written down: with a blank, a semicolon, a quote or a backslash in
    /// it.
    pub fn new(text: &str) -> Option<Self> {
        let good = |c: char| c == '\n' || (c.is_ascii_graphic() && !matches!(c, ';' | '"' | '\\'));
        text.chars().all(good).then(|| Self(text.to_owned()))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('\n', "\\n"))
    }
}

impl FromStr for Text {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        text.strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .and_then(|inner| Self::new(&inner.replace("\\n", "\n")))
            .ok_or_else(|| Bad::new("a quoted text", text))
    }
}

/// Declares an enumeration with its text form.
macro_rules! enums_with_text {
    ($($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word,)*
        }

        impl $name {
            /// All there are.
            pub const ALL: &'static [Self] = &[$(Self::$word),*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$word => $text,)*
                })
            }
        }

        impl FromStr for $name {
            type Err = Bad;

            fn from_str(text: &str) -> Result<Self, Bad> {
                match text {
                    $($text => Ok(Self::$word),)*
                    _ => Err(Bad::new(stringify!($name), text)),
                }
            }
        }
    )*};
}

enums_with_text! {
    /// Something that happens at a planned moment.
    Event {
        /// A second competitor, which precedes the first, wants the CPU.
        Competitor "competitor",
        /// The thread gets the signal `usr`.
        Signal "signal",
        /// A thread on the other CPU unmaps the page of the area.
        Unmap "unmap",
        /// A thread on the other CPU makes that page read-only.
        ReadOnly "read-only",
        /// A thread on the other CPU makes that page inaccessible.
        NoAccess "no-access",
        /// A thread on the other CPU drops the memory of that page, which holds zeros then, or what it
        /// held if it is shared.
        Drop "drop",
        /// A thread on the other CPU forks a child, which ends at once: writing to that page takes a
        /// page fault then.
        Fork "fork",
        /// A thread on the other CPU changes the thread's scheduling class, and changes it back.
        Class "class",
        /// A thread on the other CPU moves the thread to that CPU and back.
        Migrate "migrate",
        /// A thread on the other CPU calls
        /// `membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ)`.
        Membarrier "membarrier",
        /// A thread on the other CPU kills the process.
        Kill "kill",
        /// A thread on the other CPU turns `rseq_debug` on.
        Debug "debug",
        /// A thread on the other CPU sets the length of an extension to 5 microseconds.
        Length "length",
    }
    /// A system call that is not of the extension.
    Call {
        /// `getpid`.
        Getpid "getpid",
        /// `sched_yield`.
        SchedYield "sched_yield",
        /// `close` of no file.
        Close "close",
        /// A number that is not assigned.
        Unassigned "unassigned",
        /// The number -1.
        MinusOne "minus-one",
        /// `clock_nanosleep` for 20 microseconds.
        Sleep "sleep",
    }
    /// A signal.
    Signal {
        /// `SIGUSR1`.
        User "usr",
        /// `SIGSEGV`.
        Segv "segv",
        /// `SIGKILL`.
        Kill "kill",
    }
    /// The actions of a signal handler, besides noting the control word.
    Handler {
        /// Nothing.
        Return "return",
        /// Calls `rseq_slice_yield(2)`.
        Yield "yield",
        /// Calls `getpid(2)`.
        Getpid "getpid",
        /// Stores a request over the whole control word.
        Request "request",
        /// Stores zero over the whole control word.
        Clear "clear",
        /// Ends the process.
        Exit "exit",
    }
    /// An exception.
    Fault {
        /// A first access to a page of the process.
        Touch "touch",
        /// A read from the address 0.
        Null "null",
        /// An undefined instruction.
        Undefined "undefined",
        /// A breakpoint instruction.
        Breakpoint "breakpoint",
    }
    /// The protection of a page.
    Protection {
        /// Nothing.
        None "none",
        /// Reading.
        Read "read",
        /// Reading and writing.
        ReadWrite "read-write",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_fill_a_range() {
        let delay = Delay::range(1_000, 2_000);
        for index in 0..4 {
            let mut tenths = [0; 10];
            for repetition in 0..100 {
                let nanos = delay.nanos(repetition, index);
                assert!((1_000..2_000).contains(&nanos));
                tenths[(nanos as usize - 1_000) / 100] += 1;
            }
            assert!(
                tenths.iter().all(|&count| (6..=14).contains(&count)),
                "{tenths:?}"
            );
        }
        assert_eq!(Delay::exactly(7_000).nanos(0, 2), 7_000);
        assert!((3_000..11_000).contains(&Delay::exactly(7_000).nanos(5, 2)));
    }

    #[test]
    fn every_fourth_repetition_reaches_further() {
        let (range, exact) = (Delay::range(40_000, 50_000), Delay::exactly(8_000));
        for repetition in [0, 1, 2, 4, 101] {
            assert_eq!(range.widened(repetition), range);
            assert_eq!(exact.widened(repetition), exact);
        }
        for repetition in [3, 7, 103] {
            assert_eq!(range.widened(repetition), Delay::range(8_000, 82_000));
            assert_eq!(exact.widened(repetition), Delay::range(0, 40_000));
            assert_eq!(Delay::exactly(0).widened(repetition), Delay::exactly(0));
        }
    }

    #[test]
    fn texts_that_cannot_be_written_down() {
        assert!(Text::new("5000\n").is_some());
        for text in ["5 0", ";", "\"", "\\n", "\t", "ü"] {
            assert!(Text::new(text).is_none(), "{text:?}");
        }
    }
}
