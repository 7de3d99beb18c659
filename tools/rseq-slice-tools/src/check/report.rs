// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a verdict is printed.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::cause::Status;
use super::facts::Facts;
use super::process::Process;
use super::verdict::{self, Remedy, Verdict};

/// Columns of the words at the left.
const LEFT: usize = 11;

pub(crate) fn machine(verdict: &Verdict, facts: &Facts, json: bool) -> io::Result<()> {
    if json {
        return object(&Object {
            verdict,
            machine: Some(facts),
            process: None,
        });
    }
    let mut out = anstream::stdout().lock();
    print(&mut out, verdict)?;
    line(&mut out, "kernel", &verdict::kernel(facts))?;
    line(&mut out, "libc", &verdict::libc(facts))
}

pub(crate) fn process(verdict: &Verdict, process: &Process, json: bool) -> io::Result<()> {
    if json {
        return object(&Object {
            verdict,
            machine: None,
            process: Some(Counted {
                threads_on: process.on(),
                threads_total: process.threads.len(),
                threads_unknown: process.unknown(),
                process,
            }),
        });
    }
    print(&mut anstream::stdout().lock(), verdict)
}

#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    machine: Option<&'a Facts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<Counted<'a>>,
}

#[derive(Serialize)]
struct Counted<'a> {
    threads_on: usize,
    threads_total: usize,
    threads_unknown: usize,
    #[serde(flatten)]
    process: &'a Process,
}

fn object(object: &Object<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, object)?;
    writeln!(out)
}

fn print(out: &mut impl Write, verdict: &Verdict) -> io::Result<()> {
    let (word, color) = match verdict.status {
        Status::Works => ("works", AnsiColor::Green),
        Status::NotHere => ("not here", AnsiColor::Red),
        Status::Could => ("could", AnsiColor::Yellow),
    };
    let style = Style::new().bold().fg_color(Some(color.into()));
    let pad = " ".repeat(LEFT - word.len());
    match verdict.cures.as_slice() {
        [] => writeln!(out, "{style}{word}{style:#}{pad}{}", verdict.says)?,
        [Remedy { cure, remark }] => {
            writeln!(out, "{style}{word}{style:#}{pad}{}", verdict.says)?;
            let remark = match remark.as_str() {
                "" => String::new(),
                remark => format!(" ({remark})"),
            };
            line(out, "cure", &format!("{cure}{remark}"))?;
        }
        cures => {
            writeln!(out, "{style}{word}{style:#}{pad}{}. One of", verdict.says)?;
            let width = cures
                .iter()
                .map(|remedy| remedy.cure.len())
                .max()
                .unwrap_or(0);
            for Remedy { cure, remark } in cures {
                line(out, "", format!("  {cure:width$}   {remark}").trim_end())?;
            }
        }
    }
    for also in &verdict.also {
        line(out, "also", also)?;
    }
    Ok(())
}

fn line(out: &mut impl Write, word: &str, text: &str) -> io::Result<()> {
    writeln!(out, "{word:LEFT$}{text}")
}
