// SPDX-License-Identifier: GPL-2.0

//! A program and its text form.

use std::fmt;
use std::str::FromStr;

use crate::arg::Bad;
use crate::op::Op;

/// Which thread does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// The first thread of the process, or whatever goes on in its place.
    Main,
    /// A second thread of the same process. The main thread waits for it.
    Second,
}

/// An operation and who does it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Step {
    /// The thread.
    pub who: Who,
    /// Whether it is done inside of a restartable sequence.
    pub inside: bool,
    /// The operation.
    pub op: Op,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.who == Who::Second {
            f.write_str("b.")?;
        }
        if self.inside {
            f.write_str("s.")?;
        }
        self.op.fmt(f)
    }
}

impl FromStr for Step {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        let text = text.trim();
        let (who, rest) = match text.strip_prefix("b.") {
            Some(rest) => (Who::Second, rest),
            None => (Who::Main, text),
        };
        let (inside, rest) = match rest.strip_prefix("s.") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let op: Op = rest.parse()?;
        if who == Who::Second && op.goes_elsewhere() {
            return Err(Bad::new("the thread", text));
        }
        if inside && !op.fits_sequence() {
            return Err(Bad::new("the sequence", text));
        }
        Ok(Self { who, inside, op })
    }
}

/// Steps, done one after the other.
///
/// Written as one line, with semicolons between the steps; the second thread's begin with `b.`, and
/// those inside of a restartable sequence with `s.` after that.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Program(Vec<Step>);

impl Program {
    /// The highest number of steps.
    pub const MAX_STEPS: usize = 24;

    /// A program of these steps; `None` if there are too many.
    pub fn new(steps: Vec<Step>) -> Option<Self> {
        (steps.len() <= Self::MAX_STEPS).then_some(Self(steps))
    }

    /// The steps.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The operations, whoever does them.
    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.0.iter().map(|step| &step.op)
    }

    /// Whether any step is done inside of a restartable sequence.
    pub fn has_sequences(&self) -> bool {
        self.0.iter().any(|step| step.inside)
    }

    /// Whether there are moments in the program, which repetitions vary.
    pub fn has_moments(&self) -> bool {
        self.ops().any(Op::depends_on_moment)
    }

    /// Whether a moment is swept over a range.
    pub fn is_timed(&self) -> bool {
        self.ops().any(Op::is_timed)
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            write!(f, "{}{step}", if index == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl FromStr for Program {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let steps = text.split(';').map(str::parse).collect::<Result<_, _>>()?;
        Self::new(steps).ok_or_else(|| Bad::new("the number of steps", text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        let text = "rseq 64 @0 0x0 0; b.rseq 32 @32 0x0 0; then 0..9 signal; s.ask 0x1; b.s.yield; fork; yield";
        let program: Program = text.parse().unwrap();
        assert_eq!(program.to_string(), text);
        assert_eq!(program.steps()[1].who, Who::Second);
        assert!(program.is_timed());
        assert!(program.has_sequences() && program.steps()[3].inside);
        assert!(!"b.yield".parse::<Program>().unwrap().has_sequences());
        assert_eq!("".parse::<Program>().unwrap().to_string(), "");
    }

    #[test]
    fn bad_text_is_refused() {
        assert!("yield; b.fork".parse::<Program>().is_err());
        assert!("s.fork".parse::<Program>().is_err());
        assert!("s.b.yield".parse::<Program>().is_err());
        assert!("yield;; yield".parse::<Program>().is_err());
        assert!(vec!["yield"; 25].join(";").parse::<Program>().is_err());
    }
}
