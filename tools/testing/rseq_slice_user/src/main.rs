// SPDX-License-Identifier: GPL-2.0

//! `rseq-slice-user run [FILTER]`: what `rseq-slice` does for threads and processes of all kinds.
//! `rseq-slice-user table KERNEL`: the cause that crate and header name on that kernel.
//!
//! Prints one KTAP document. For the guest, where `scripts/guest --user` lays the programs and C
//! libraries out that it starts. `case` and `cause` are what it starts of itself.

mod allocator;
mod cases;
mod competitor;
mod filter;
mod ktap;
mod object;
mod runner;
mod situation;
mod table;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use situation::Situation;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[&str]) -> Result<bool> {
    match *arguments {
        ["run"] => runner::run(&cases::all(), ""),
        ["run", filter] => runner::run(&cases::all(), filter),
        ["table", kernel] => table::run(kernel),
        ["case", name, situation] => {
            let cases = cases::all();
            let case = cases.iter().find(|case| case.name == name);
            let case = case.with_context(|| format!("there is no case {name}"))?;
            (case.run)(Situation::named(situation)?).map(|()| true)
        }
        ["cause"] => table::cause(false).map(|()| true),
        ["cause", "take-over"] => table::cause(true).map(|()| true),
        _ => bail!(
            "usage: rseq-slice-user run [FILTER] | table {}",
            table::KERNELS
        ),
    }
}
