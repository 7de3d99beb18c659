// SPDX-License-Identifier: MIT OR Apache-2.0

//! `rseq-slice stat`: the kernel's counters, as differences and in words, or its events.

mod advice;
mod signals;
mod trace;

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rseq_slice_debugfs::{Counters, DebugfsError, counters, extension_length};
use serde::Serialize;

use crate::cli::StatArgs;
use crate::failure::{Failure, NO_RIGHT, NOT_RUNNABLE, SYSTEM, UNAVAILABLE};
use crate::program;
use advice::{Advice, advise};
use signals::Signals;
use trace::{Summary, Trace, Whose};

/// How often events are read, so that the kernel's buffer does not run over.
const COLLECT: Duration = Duration::from_millis(100);

pub(crate) fn main(args: &StatArgs) -> Result<ExitCode, Failure> {
    let signals = Signals::block()?;
    let mut reporter = Reporter::new(args)?;
    let mut child = match args.command.split_first() {
        Some((name, rest)) => Some(start(name, rest)?),
        None => None,
    };
    let default = child.is_none().then_some(1.0);
    let interval = args.interval.or(default).map(Duration::from_secs_f64);
    loop {
        match signals.within(reporter.pause(interval))? {
            Some(Signal::SIGCHLD) => {
                let ended = child.as_mut().map(Child::try_wait).transpose();
                let ended = ended.map_err(|error| Failure::system("wait", error))?;
                if let Some(status) = ended.flatten() {
                    reporter.report()?;
                    return Ok(ExitCode::from(exit_status(status)));
                }
            }
            // What the keyboard sends is for the program. Its counts are wanted all the same.
            Some(Signal::SIGINT | Signal::SIGQUIT) if child.is_some() => {}
            Some(signal) => {
                drop(reporter);
                return Err(signals.die_of(signal));
            }
            None => reporter.go_on(interval)?,
        }
    }
}

fn read() -> Result<Counters, Failure> {
    counters().map_err(|error| match &error {
        DebugfsError::Format { .. } => Failure::new(
            UNAVAILABLE,
            format!("the kernel counts no extensions: {error}"),
            "rseq-slice check tells whether it has the extension",
        ),
        DebugfsError::Io { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
            Failure::new(
                NO_RIGHT,
                "the kernel's counters are for root only",
                "be root",
            )
        }
        _ => Failure::plain(UNAVAILABLE, error.to_string()),
    })
}

fn start(name: &OsStr, rest: &[OsString]) -> Result<Child, Failure> {
    let child = Command::new(name).args(rest).spawn();
    child.map_err(|error| not_started(name, &error))
}

/// Why a program does not start, of which the kernel has nothing to say but an error number.
fn not_started(name: &OsStr, error: &io::Error) -> Failure {
    let look = |path: PathBuf| program::startable(&path);
    match program::find(name).and_then(look) {
        Err(failure) => failure,
        Ok(()) => Failure::new(
            NOT_RUNNABLE,
            format!("{}: {error}", name.to_string_lossy()),
            "see execve(2)",
        ),
    }
}

/// As a shell would give it.
fn exit_status(status: ExitStatus) -> u8 {
    let signal = status.signal().map(|signal| 128 + signal);
    status
        .code()
        .or(signal)
        .and_then(|status| u8::try_from(status).ok())
        .unwrap_or(SYSTEM)
}

/// Where counts come from.
enum Source {
    /// The kernel's counters, of which this is the last reading.
    Counters(Counters),
    Trace(Trace),
}

/// Reports what was counted since its last report.
struct Reporter {
    json: bool,
    source: Source,
    since: Instant,
}

#[derive(Debug, Serialize)]
struct Report {
    seconds: f64,
    counters: Counters,
    advice: Vec<Advice>,
    #[serde(flatten)]
    traced: Option<Summary>,
}

impl Reporter {
    fn new(args: &StatArgs) -> Result<Self, Failure> {
        let whose = match args.command.is_empty() {
            true => Whose::All,
            false => Whose::Children,
        };
        let source = match args.trace {
            true => Source::Trace(Trace::start(whose)?),
            false => Source::Counters(read()?),
        };
        Ok(Self {
            json: args.json,
            source,
            since: Instant::now(),
        })
    }

    /// How long nothing has to be done.
    fn pause(&self, interval: Option<Duration>) -> Duration {
        let left = interval.map(|interval| interval.saturating_sub(self.since.elapsed()));
        let longest = match self.source {
            Source::Trace(_) => COLLECT,
            Source::Counters(_) => Duration::MAX,
        };
        left.unwrap_or(Duration::MAX).min(longest)
    }

    /// Does what is due.
    fn go_on(&mut self, interval: Option<Duration>) -> Result<(), Failure> {
        if interval.is_some_and(|interval| self.since.elapsed() >= interval) {
            return self.report();
        }
        match &mut self.source {
            Source::Trace(trace) => trace.collect(),
            Source::Counters(_) => Ok(()),
        }
    }

    fn report(&mut self) -> Result<(), Failure> {
        let (counters, length, traced) = match &mut self.source {
            Source::Counters(before) => {
                let counted = read()?;
                let counters = counted - std::mem::replace(before, counted);
                (counters, extension_length().ok(), None)
            }
            Source::Trace(trace) => {
                let tally = trace.tally()?;
                (tally.counters(), tally.length(), Some(tally.summary()))
            }
        };
        let moment = Instant::now();
        let report = Report {
            seconds: (moment - self.since).as_secs_f64(),
            counters,
            advice: advise(&counters),
            traced,
        };
        self.since = moment;
        let mut out = anstream::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, &report).map_err(io::Error::from)?;
            writeln!(out)?;
        } else {
            print(&mut out, &report, length)?;
        }
        out.flush()?;
        Ok(())
    }
}

fn print(out: &mut impl Write, report: &Report, length_ns: Option<u32>) -> io::Result<()> {
    let Counters {
        granted,
        expired,
        revoked,
        yielded,
        aborted,
        died,
    } = report.counters;
    let length = length_ns.map(|ns| format!(" of at most {} us", f64::from(ns) / 1e3));
    writeln!(
        out,
        "{granted} extension{}{} granted in {:.2} s",
        if granted == 1 { "" } else { "s" },
        length.unwrap_or_default(),
        report.seconds
    )?;
    let ended_by_signal = died.unwrap_or(0);
    for (count, what) in [
        (yielded, "yielded, by rseq_slice_yield(2)"),
        (aborted, "ended by another system call"),
        (revoked, "revoked by the kernel"),
        (ended_by_signal, "ended with their threads, or by a fault"),
    ] {
        if count != 0 {
            let share = 100.0 * count as f64 / granted.max(1) as f64;
            writeln!(out, "{count:9}  {share:5.1} %  {what}")?;
        }
    }
    if expired != 0 {
        writeln!(out, "{expired:9}           of them expired")?;
    }
    for advice in &report.advice {
        writeln!(out, "  {advice}")?;
    }
    match &report.traced {
        Some(traced) => traced.print(out),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::failure::NOT_FOUND;

    #[test]
    fn reports_are_words() {
        let counters = Counters {
            granted: 200,
            expired: 3,
            revoked: 4,
            yielded: 190,
            aborted: 6,
            died: Some(0),
        };
        let report = Report {
            seconds: 1.5,
            counters,
            advice: Vec::new(),
            traced: None,
        };
        let mut text = Vec::new();
        print(&mut text, &report, Some(5_000)).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "200 extensions of at most 5 us granted in 1.50 s");
        assert_eq!(
            lines[1],
            "      190   95.0 %  yielded, by rseq_slice_yield(2)"
        );
        assert_eq!(lines[2], "        6    3.0 %  ended by another system call");
        assert_eq!(lines[3], "        4    2.0 %  revoked by the kernel");
        assert_eq!(lines[4], "        3           of them expired");
        assert_eq!(lines.len(), 5);
    }

    /// It does not start, for this status and in words with `cause` in them.
    fn refused(name: &OsStr, status: u8, cause: &str) {
        let failure = start(name, &[]).expect_err("it cannot start");
        let text = format!("{failure:?}");
        assert_eq!(failure.status, status, "{text}");
        assert!(text.contains(cause), "{text}");
    }

    #[test]
    fn what_keeps_a_program_from_starting_is_named() {
        refused(OsStr::new("no-such-program"), NOT_FOUND, "no program");
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &[u8], mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        };
        let script = file("script", b"#!/no/such/interpreter\n", 0o755);
        let lost = "/no/such/interpreter, which is not there";
        refused(script.as_os_str(), NOT_RUNNABLE, lost);
        let mut program = fs::read("/bin/true").unwrap();
        let linker = program.windows(3).position(|bytes| bytes == b"/ld");
        let linker = linker.expect("it is dynamically linked");
        program[linker..linker + 3].copy_from_slice(b"/no");
        let unlinked = file("unlinked", &program, 0o755);
        let needs = "needs the dynamic linker";
        refused(unlinked.as_os_str(), NOT_RUNNABLE, needs);
        let plain = file("plain", b"#!/bin/sh\n", 0o644);
        let plain_one = "not an executable file";
        refused(plain.as_os_str(), NOT_RUNNABLE, plain_one);
        let text = file("text", b"hello\n", 0o755);
        let neither = "neither an ELF program nor a script";
        refused(text.as_os_str(), NOT_RUNNABLE, neither);
    }

    #[test]
    fn a_program_gives_its_status() {
        assert_eq!(exit_status(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(exit_status(ExitStatus::from_raw(9)), 137);
    }
}
