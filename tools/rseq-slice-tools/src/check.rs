// SPDX-License-Identifier: MIT OR Apache-2.0

//! `rseq-slice check`.

mod cause;
mod facts;
pub(crate) mod probe;
mod process;
mod proof;
mod report;
mod seccomp;
mod threads;
mod verdict;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

pub(crate) use cause::Cause;
pub(crate) use facts::{Facts, tunable_off};
pub(crate) use verdict::cause;

use crate::cli::CheckArgs;
use crate::failure::Failure;

pub(crate) fn main(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let verdict = match args.pid {
        None => {
            let facts = Facts::gather(true)?;
            let verdict = verdict::decide(&facts);
            report::machine(&verdict, &facts, args.json)?;
            verdict
        }
        Some(pid) => {
            let process = process::Process::look(pid)?;
            let facts = Facts::gather(false)?;
            let verdict = process::decide(&process, &facts);
            report::process(&verdict, &process, args.json)?;
            verdict
        }
    };
    Ok(ExitCode::from(verdict.exit_status))
}
