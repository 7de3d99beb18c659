// SPDX-License-Identifier: GPL-2.0

//! The kernel's trace of the events of time slice extensions.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};

use super::tracing::mount_tracefs;
use crate::case::Skip;
use crate::check::{check, fail};
use crate::ktap::diagnose;

/// An instance, so that no other tracing is in the buffer.
const INSTANCE: &str = "/sys/kernel/tracing/instances/rseq_slice_selftest";

/// What an event says. Times are in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Grant { length: u64 },
    Refuse { reason: String, work: u64 },
    Expire { used: u64 },
    End { how: String, used: u64 },
}

impl FromStr for Event {
    type Err = anyhow::Error;

    /// Reads a line of a trace.
    fn from_str(line: &str) -> Result<Self> {
        let (_, text) = line.rsplit_once(": rseq_slice_").context("no event")?;
        let (name, fields) = text.split_once(": ").context("no fields")?;
        let field = |name: &str| {
            let mut pairs = fields.split(' ').filter_map(|field| field.split_once('='));
            let found = pairs.find(|(key, _)| *key == name);
            found
                .map(|(_, value)| value)
                .with_context(|| format!("no {name}"))
        };
        let number = |name: &str| -> Result<u64> { Ok(field(name)?.parse()?) };
        Ok(match name {
            "grant" => Self::Grant {
                length: number("length")?,
            },
            "refuse" => Self::Refuse {
                reason: field("reason")?.to_owned(),
                work: u64::from_str_radix(field("work")?.trim_start_matches("0x"), 16)?,
            },
            "expire" => Self::Expire {
                used: number("used")?,
            },
            "end" => Self::End {
                how: field("how")?.to_owned(),
                used: number("used")?,
            },
            name => fail!("unknown event {name}"),
        })
    }
}

/// Traces all threads until it is dropped.
pub(crate) struct TraceLog(());

impl TraceLog {
    /// Starts to trace the events of time slice extensions.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(&["rseq_slice"])
    }

    /// Starts to trace those systems of events, or those events.
    pub(crate) fn start_with(which: &[&str]) -> Result<Self> {
        mount_tracefs()?;
        if !Path::new("/sys/kernel/tracing/events/rseq_slice").exists() {
            return Err(Skip("needs the events of the Rust implementation".into()).into());
        }
        // A test that was killed leaves its own.
        let _ = fs::remove_dir(INSTANCE);
        fs::create_dir(INSTANCE).context(INSTANCE)?;
        let log = Self(());
        for which in which {
            let enable = format!("{INSTANCE}/events/{which}/enable");
            fs::write(&enable, "1").context(enable)?;
        }
        Ok(log)
    }

    /// The lines of the trace, in the order in which the events took place on a CPU.
    pub(crate) fn lines(&self) -> Result<Vec<String>> {
        let trace = fs::read_to_string(format!("{INSTANCE}/trace"))?;
        let written = trace
            .lines()
            .find_map(|line| line.strip_prefix("# entries-in-buffer/entries-written: "))
            .and_then(|counts| counts.split_ascii_whitespace().next()?.split_once('/'));
        check!(
            written.is_some_and(|(kept, written)| kept == written),
            "events were lost: {written:?}"
        );
        let lines = trace.lines().filter(|line| !line.starts_with('#'));
        Ok(lines.map(str::to_owned).collect())
    }

    /// The events of time slice extensions.
    pub(crate) fn all(&self) -> Result<Vec<Event>> {
        let parse = |line: String| line.parse::<Event>().with_context(|| line);
        self.lines()?.into_iter().map(parse).collect()
    }
}

impl Drop for TraceLog {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(INSTANCE) {
            diagnose(format_args!("{INSTANCE} stays: {error}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Event> {
        format!("  a: b-85      [000] d..1.     0.123456: rseq_slice_{text}").parse()
    }

    #[test]
    fn events_are_read() {
        for (text, event) in [
            ("grant: length=5000", Event::Grant { length: 5000 }),
            (
                "refuse: reason=signal work=0x1f",
                Event::Refuse {
                    reason: "signal".into(),
                    work: 31,
                },
            ),
            ("expire: used=5100", Event::Expire { used: 5100 }),
            (
                "end: how=yielded used=0",
                Event::End {
                    how: "yielded".into(),
                    used: 0,
                },
            ),
        ] {
            assert_eq!(parse(text).unwrap(), event);
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        for text in [
            "grant: used=1",
            "grant: length=one",
            "other: length=1",
            "end",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!("CPU:0 [LOST 3 EVENTS]".parse::<Event>().is_err());
    }
}
