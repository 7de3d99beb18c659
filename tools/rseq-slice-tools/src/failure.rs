// SPDX-License-Identifier: MIT OR Apache-2.0

//! Why the program could not do what it was asked for.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit status: wrong use.
pub(crate) const USAGE: u8 = 64;
/// Exit status: there is no such process.
pub(crate) const NO_PROCESS: u8 = 66;
/// Exit status: something that was required is not there.
pub(crate) const UNAVAILABLE: u8 = 69;
/// Exit status: the system refused something that never fails.
pub(crate) const SYSTEM: u8 = 71;
/// Exit status: permission denied.
pub(crate) const NO_RIGHT: u8 = 77;
/// Exit status: the program to be run cannot be run in this way.
pub(crate) const NOT_RUNNABLE: u8 = 126;
/// Exit status: the program to be run is not there.
pub(crate) const NOT_FOUND: u8 = 127;

/// An exit status above 2, a cause and, if there is one, a cure.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: u8,
    cause: String,
    cure: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: u8, cause: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            status,
            cause: cause.into(),
            cure: Some(cure.into()),
        }
    }

    /// The cause names the cure, or none is known.
    pub(crate) fn plain(status: u8, cause: impl Into<String>) -> Self {
        Self {
            status,
            cause: cause.into(),
            cure: None,
        }
    }

    /// The system refused something that never fails.
    pub(crate) fn system(what: impl fmt::Display, error: impl fmt::Display) -> Self {
        Self::plain(SYSTEM, format!("{what}: {error}"))
    }

    /// Tells it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        // If standard error cannot be written, the exit status still tells.
        let _ = write_to(&mut anstream::stderr(), self);
        ExitCode::from(self.status)
    }
}

/// Writes a line to standard error, if that can be written.
pub(crate) fn warn(what: impl fmt::Display) {
    let _ = writeln!(anstream::stderr(), "rseq-slice: {what}");
}

fn write_to(to: &mut impl io::Write, failure: &Failure) -> io::Result<()> {
    if failure.cause.is_empty() {
        return Ok(());
    }
    writeln!(to, "rseq-slice: {}", failure.cause)?;
    match &failure.cure {
        Some(cure) => writeln!(to, "  cure: {cure}"),
        None => Ok(()),
    }
}

/// The reader of the output has closed it, which is not reported as a failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::plain(SYSTEM, ""),
            _ => Self::system("standard output", error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(failure: &Failure) -> String {
        let mut text = Vec::new();
        write_to(&mut text, failure).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_failure_names_cause_and_cure() {
        let failure = Failure::new(NO_RIGHT, "no", "be root");
        assert_eq!(text(&failure), "rseq-slice: no\n  cure: be root\n");
        let failure = Failure::system("fork", "out of memory");
        assert_eq!(text(&failure), "rseq-slice: fork: out of memory\n");
    }

    #[test]
    fn a_closed_pipe_is_passed_over_in_silence() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(text(&failure), "");
    }
}
