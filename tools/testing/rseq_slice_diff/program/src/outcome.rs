// SPDX-License-Identifier: GPL-2.0

//! The outcome of one run of a program, and its text form.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rseq_slice_debugfs::Implementation;

use crate::arg::Bad;

/// The results of a completed step.
///
/// Counts are those since the previous step, so a step that is late does not change the results of later
/// ones. Whether a planned event came before or after the end of a step depends on timing, and is left
/// out: its effect shows elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seen {
    /// The result of the system call, with the error number negative; 0 for other steps. Written first.
    pub result: i64,
    /// The control word after the step (`w`).
    pub word: u32,
    /// `rseq::flags` after the step (`f`).
    pub flags: u32,
    /// How often the competitor ran (`a`).
    pub competitor: u32,
    /// How many signals were handled (`h`).
    pub signals: u32,
    /// The control word as the last handler found it (`k`).
    pub handler_word: u32,
    /// The result of the system call of the last handler (`r`).
    pub handler_result: i64,
    /// The `si_code` of the last signal (`c`).
    pub code: i32,
    /// How often its restartable sequence was restarted (`s`).
    pub restarts: u32,
    /// The step waited in vain (`t`).
    pub timeout: u32,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum How {
    /// With this exit status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It had to be killed.
    Timeout,
}

/// The state when all processes of the program had ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// How the process ended.
    pub how: How,
    /// How often the competitor ran since the last completed step (`a`).
    pub competitor: u32,
    /// The length of an extension, in nanoseconds (`l`).
    pub length: u32,
    /// Whether `rseq_debug` is on (`q`).
    pub debug: u32,
    /// Grants (`g`).
    pub granted: u64,
    /// Expiries (`e`).
    pub expired: u64,
    /// Revocations (`v`).
    pub revoked: u64,
    /// Yields (`y`).
    pub yielded: u64,
    /// Aborts (`x`).
    pub aborted: u64,
    /// Grants with none of these ends: those that C does not count and Rust counts as `died`. May be
    /// negative on a kernel that counts a grant twice (`n`).
    pub unaccounted: i64,
}

/// One run of a program: the steps that were completed, in order, and the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Outcome {
    /// The results of the steps. Fewer than the program has if the process died.
    pub steps: Vec<Seen>,
    /// The end.
    pub end: End,
}

impl End {
    /// The rule about the counters that this end breaks by itself, if it does, on a kernel that
    /// counted `died`.
    ///
    /// On Rust every grant has exactly one end. C loses some, and must not invent any.
    pub fn broken_rule(&self, died: Option<u64>) -> Option<String> {
        match died {
            Some(died) if i64::try_from(died) != Ok(self.unaccounted) => Some(format!(
                "granted == yielded + aborted + revoked + died does not hold: {self}, died {died}"
            )),
            None if self.unaccounted < 0 => Some(format!(
                "granted >= yielded + aborted + revoked does not hold: {self}"
            )),
            _ => None,
        }
    }
}

/// Writes the parts that are not zero, each after its letter.
macro_rules! parts {
    ($f:ident, $self:ident, $($letter:literal $field:ident $($hex:literal)?),*) => {
        $(if $self.$field != 0 {
            write!($f, concat!(",", $letter, parts!(@format $($hex)?)), $self.$field)?;
        })*
    };
    (@format) => { "{}" };
    (@format $hex:literal) => { $hex };
}

/// Reads such parts.
macro_rules! read_parts {
    ($parts:ident, $text:ident, $into:ident, $($letter:literal $field:ident $($radix:literal)?),*) => {
        for part in $parts {
            let bad = || Bad::new("a part", $text);
            let (letter, number) = part.split_at_checked(1).ok_or_else(bad)?;
            match letter {
                $($letter => {
                    $into.$field = read_parts!(@number number $($radix)?).map_err(|_| bad())?;
                })*
                _ => return Err(bad()),
            }
        }
    };
    (@number $number:ident) => { $number.parse() };
    (@number $number:ident $radix:literal) => { u32::from_str_radix($number, $radix) };
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.result)?;
        parts!(f, self, "w" word "{:x}", "f" flags "{:x}", "a" competitor, "h" signals, "k" handler_word "{:x}", "r" handler_result, "c" code,
            "s" restarts, "t" timeout);
        Ok(())
    }
}

impl FromStr for Seen {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        let mut parts = text.split(',');
        let result = parts.next().and_then(|part| part.parse().ok());
        let mut seen = Self {
            result: result.ok_or_else(|| Bad::new("a result", text))?,
            ..Self::default()
        };
        read_parts!(parts, text, seen, "w" word 16, "f" flags 16, "a" competitor, "h" signals, "k" handler_word 16, "r" handler_result, "c" code,
            "s" restarts, "t" timeout);
        Ok(seen)
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(status) => write!(f, "exit:{status}"),
            Self::Signal(number) => write!(f, "signal:{number}"),
            Self::Timeout => f.write_str("timeout:0"),
        }
    }
}

impl FromStr for How {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        let bad = || Bad::new("an end", text);
        let (kind, number) = text.split_once(':').ok_or_else(bad)?;
        let number = number.parse().map_err(|_| bad())?;
        match kind {
            "exit" => Ok(Self::Exit(number)),
            "signal" => Ok(Self::Signal(number)),
            "timeout" => Ok(Self::Timeout),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.how)?;
        parts!(f, self, "a" competitor, "l" length, "q" debug, "g" granted,
            "e" expired, "v" revoked, "y" yielded, "x" aborted, "n" unaccounted);
        Ok(())
    }
}

impl FromStr for End {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        let mut parts = text.split(',');
        let mut end = Self {
            how: parts.next().unwrap_or_default().parse()?,
            competitor: 0,
            length: 0,
            debug: 0,
            granted: 0,
            expired: 0,
            revoked: 0,
            yielded: 0,
            aborted: 0,
            unaccounted: 0,
        };
        read_parts!(parts, text, end, "a" competitor, "l" length, "q" debug,
            "g" granted, "e" expired, "v" revoked, "y" yielded, "x" aborted, "n" unaccounted);
        Ok(end)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "{step}/")?;
        }
        write!(f, "{}", self.end)
    }
}

impl FromStr for Outcome {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        let (steps, end) = match text.rsplit_once('/') {
            Some((steps, end)) => (
                steps.split('/').map(str::parse).collect::<Result<_, _>>()?,
                end,
            ),
            None => (Vec::new(), text),
        };
        Ok(Self {
            steps,
            end: end.parse()?,
        })
    }
}

/// How often each outcome was seen.
pub type Samples = BTreeMap<Outcome, u64>;

/// A line of the guest's report.
///
/// ```text
/// diff: kernel rust
/// diff: 17 4 0,f10/0,w100,f30/exit:0,l50000,g1,y1
/// diff: 17 broken granted == ...
/// diff: end
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Which implementation answers.
    Kernel(Implementation),
    /// The number of a program, an outcome of it, and how often it had this outcome.
    Outcome(usize, u64, Outcome),
    /// A run of that program broke a rule that needs no other kernel to compare with.
    Broken(usize, String),
    /// All repetitions of that program are reported.
    Done(usize),
    /// Nothing follows.
    End,
}

/// What each line of the report begins with.
const MARK: &str = "diff: ";

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MARK)?;
        match self {
            Self::Kernel(Implementation::C) => f.write_str("kernel c"),
            Self::Kernel(Implementation::Rust) => f.write_str("kernel rust"),
            Self::Outcome(program, count, outcome) => write!(f, "{program} {count} {outcome}"),
            Self::Broken(program, rule) => write!(f, "{program} broken {rule}"),
            Self::Done(program) => write!(f, "{program} done"),
            Self::End => f.write_str("end"),
        }
    }
}

impl Line {
    /// Reads a line of a console; `None` if it does not belong to the report.
    pub fn read(text: &str) -> Option<Result<Self, Bad>> {
        let rest = text.trim_end().strip_prefix(MARK)?;
        Some(Self::parse(rest).ok_or_else(|| Bad::new("a line", text)))
    }

    fn parse(rest: &str) -> Option<Self> {
        match rest {
            "end" => return Some(Self::End),
            "kernel c" => return Some(Self::Kernel(Implementation::C)),
            "kernel rust" => return Some(Self::Kernel(Implementation::Rust)),
            _ => {}
        }
        let (program, rest) = rest.split_once(' ')?;
        let program = program.parse().ok()?;
        if rest == "done" {
            return Some(Self::Done(program));
        }
        let (count, rest) = rest.split_once(' ')?;
        if count == "broken" {
            return Some(Self::Broken(program, rest.to_owned()));
        }
        Some(Self::Outcome(
            program,
            count.parse().ok()?,
            rest.parse().ok()?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for text in [
            "diff: kernel c",
            "diff: kernel rust",
            "diff: 3 17 -22/0,wffffff00,f30,a1,h3,k100,r-1,c128,s2,t1/signal:11,a1,l5000,q1,g2,e1,v1,y1,x1,n-1",
            "diff: 0 1 exit:0",
            "diff: 3 broken a rule",
            "diff: 12 done",
            "diff: end",
        ] {
            let line = Line::read(text).unwrap().unwrap();
            assert_eq!(line.to_string(), text);
        }
        assert!(Line::read("[    1.0] a message").is_none());
        for text in [
            "diff: 3 17 0,z1/exit:0",
            "diff: 3 17 0/exit",
            "diff: x",
            "diff: 3 0",
        ] {
            assert!(Line::read(text).unwrap().is_err(), "{text}");
        }
    }

    #[test]
    fn rules_of_the_counters() {
        let end: End = "exit:0,g3,y1,x1,n1".parse().unwrap();
        assert!(end.broken_rule(None).is_none());
        assert!(end.broken_rule(Some(1)).is_none());
        assert!(end.broken_rule(Some(0)).is_some());
        assert!(end.broken_rule(Some(2)).is_some());
        let end: End = "exit:0,g1,y1,v1,n-1".parse().unwrap();
        assert!(end.broken_rule(None).is_some());
    }
}
