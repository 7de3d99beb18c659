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
    /// The operation.
    pub op: Op,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who {
            Who::Main => write!(f, "{}", self.op),
            Who::Second => write!(f, "b.{}", self.op),
        }
    }
}

impl FromStr for Step {
    type Err = Bad;

    fn from_str(text: &str) -> Result<Self, Bad> {
        let text = text.trim();
        let (who, op) = match text.strip_prefix("b.") {
            Some(rest) => (Who::Second, rest.parse::<Op>()?),
            None => (Who::Main, text.parse()?),
        };
        if who == Who::Second && op.goes_elsewhere() {
            return Err(Bad::new("the thread", text));
        }
        Ok(Self { who, op })
    }
}

/// Steps, done one after the other.
///
/// Written as one line, with semicolons between the steps; the second thread's begin with `b.`.
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

    /// Whether there are moments in the program, which repetitions vary.
    pub fn has_moments(&self) -> bool {
        self.ops().any(Op::has_moment)
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
        let text = "rseq 64 @0 0x0 0; b.rseq 32 @32 0x0 0; then 0..9 signal; ask 0x1; fork; yield";
        let program: Program = text.parse().unwrap();
        assert_eq!(program.to_string(), text);
        assert_eq!(program.steps()[1].who, Who::Second);
        assert!(program.is_timed());
        assert_eq!("".parse::<Program>().unwrap().to_string(), "");
    }

    #[test]
    fn bad_text_is_refused() {
        assert!("yield; b.fork".parse::<Program>().is_err());
        assert!("yield;; yield".parse::<Program>().is_err());
        assert!(vec!["yield"; 25].join(";").parse::<Program>().is_err());
    }
}
