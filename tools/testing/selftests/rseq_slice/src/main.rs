// SPDX-License-Identifier: GPL-2.0

//! Behavior tests of the rseq time slice extension.
//!
//! They assert what the kernel does, in the order of instructions, and therefore want deterministic
//! guest time; see the README.md of this folder.

mod case;
mod check;
mod env;
mod expected;
mod features;
mod helper;
mod kernel;
mod kmsg;
mod ktap;
mod mapped;
mod runner;
mod skip;
mod support;
mod tests;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};
use lexopt::prelude::*;

use crate::case::{Case, Verdict};
use crate::env::Env;
use crate::kernel::Kernel;
use crate::ktap::{Report, diagnose};

const USAGE: &str = "\
Usage: rseq_slice_selftest [--list] [--under-load] [--grants NUMBER] [NAME...]

Runs the tests whose names contain one of the NAMEs, or all, and prints KTAP.
--under-load leaves out those that want the CPUs for themselves.
--grants says how many grants the churn takes.
Exits with 0 if nothing failed, with 1 if something did.";

/// Keeps the C library from registering an rseq area of its own, which would be in the way.
const TUNABLES: (&str, &str) = ("GLIBC_TUNABLES", "glibc.pthread.rseq=0");

struct Options {
    list: bool,
    under_load: bool,
    /// How many grants make a churn.
    grants: u64,
    names: Vec<String>,
}

/// `None` when there is nothing left to do.
fn parse() -> Result<Option<Options>> {
    let mut options = Options {
        list: false,
        under_load: false,
        grants: 2_000,
        names: Vec::new(),
    };
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Long("list") => options.list = true,
            Long("under-load") => options.under_load = true,
            Long("grants") => options.grants = parser.value()?.parse()?,
            Long("helper") => {
                helper::run(&parser.value()?.string()?)?;
                return Ok(None);
            }
            Short('h') | Long("help") => {
                println!("{USAGE}");
                return Ok(None);
            }
            Value(name) => options.names.push(name.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    Ok(Some(options))
}

fn run() -> Result<ExitCode> {
    let Some(options) = parse()? else {
        return Ok(ExitCode::SUCCESS);
    };
    let names = &options.names;
    let wanted =
        |case: &Case| names.is_empty() || names.iter().any(|name| case.name.contains(name));
    let cases: Vec<_> = tests::ALL
        .iter()
        .flat_map(Case::all)
        .filter(wanted)
        .filter(|case| !options.under_load || case.holds_under_load())
        .collect();
    if options.list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return Ok(ExitCode::SUCCESS);
    }
    if cases.is_empty() {
        bail!("no such test has a name like {names:?}; --list shows them all");
    }
    if std::env::var(TUNABLES.0).is_err() {
        let error = Command::new("/proc/self/exe")
            .args(std::env::args_os().skip(1))
            .env(TUNABLES.0, TUNABLES.1)
            .exec();
        return Err(error.into());
    }

    let env = Env::new(Kernel::look(options.under_load)?, options.grants);
    rseq_slice_harness::child::prepare_for_deaths()?;
    let mut report = Report::new(cases.len());
    diagnose(env.kernel.describe());
    for case in &cases {
        let verdict = match case.missing_in(env.kernel) {
            Some(missing) => Verdict::Skipped(missing),
            None => runner::run(case, env)?,
        };
        report.result(&case.name, &verdict, expected::excuse(case, env.kernel));
    }
    Ok(if report.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        println!("Bail out! {error:#}");
        ExitCode::FAILURE
    })
}
