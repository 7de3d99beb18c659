// SPDX-License-Identifier: MIT OR Apache-2.0

//! `rseq-slice run`: an unmodified program with the preload library.

mod interpreter;
mod preload;

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::check::{self, Cause, Facts};
use crate::cli::RunArgs;
use crate::failure::{self, Failure, NOT_FOUND, NOT_RUNNABLE, UNAVAILABLE};
use crate::program;
use interpreter::Libc;

pub(crate) fn main(args: &RunArgs) -> Result<ExitCode, Failure> {
    let Some((name, rest)) = args.command.split_first() else {
        unreachable!("clap requires a program");
    };
    let program = program::find(name)?;
    let interpreter = program::inspect(&program)?;
    let library = preload::library()?;
    if let Some(reason) = reason(args, &Libc::of(&interpreter))? {
        if args.require {
            return Err(Failure::new(UNAVAILABLE, reason.says, reason.cure));
        }
        failure::warn(format_args!(
            "{} runs without extensions: {} ({})",
            name.to_string_lossy(),
            reason.says,
            reason.cure
        ));
    }
    let mut command = Command::new(&program);
    command.arg0(name).args(rest);
    command.env(
        "LD_PRELOAD",
        preload::joined(&library, env::var_os("LD_PRELOAD"))?,
    );
    command.envs(variables(args));
    let error = command.exec();
    let status = match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_RUNNABLE,
    };
    Err(Failure::new(
        status,
        format!("{}: {error}", program.display()),
        "see execve(2)",
    ))
}

/// Why the program will run without extensions.
struct Reason {
    says: String,
    cure: String,
}

fn reason(args: &RunArgs, libc: &Libc) -> Result<Option<Reason>, Failure> {
    let facts = Facts::gather(false)?;
    if facts.switched_off {
        // The user knows, having set it.
        return Ok(None);
    }
    let of = |cause: Cause| {
        let cure = cause.cures().first();
        Reason {
            says: cause.says(&facts),
            cure: cure.map_or_else(String::new, ToString::to_string),
        }
    };
    // The kernel was not asked to grant anything, so that only such causes are certain.
    let kernels = check::cause(&facts)
        .err()
        .filter(|cause| cause.is_kernels());
    Ok(match kernels {
        Some(cause) => Some(of(cause)),
        None if libc.is_legacy() && !args.take_over && !check::tunable_off() => Some(Reason {
            says: format!(
                "{libc} registers an area of 32 bytes, which is too short for extensions"
            ),
            cure: "add --take-over".to_owned(),
        }),
        None => None,
    })
}

/// What the preload library reads. Options that were not given leave the environment as it is.
fn variables(args: &RunArgs) -> Vec<(&'static str, OsString)> {
    let mut variables = Vec::new();
    if args.require {
        variables.push(("RSEQ_SLICE", "require".into()));
    }
    if !args.locks.is_empty() {
        let locks: Vec<_> = args.locks.iter().map(ToString::to_string).collect();
        variables.push(("RSEQ_SLICE_LOCKS", locks.join(",").into()));
    }
    if args.take_over {
        variables.push(("RSEQ_SLICE_TAKE_OVER", "1".into()));
    }
    if let Some(exit) = args.exit {
        variables.push(("RSEQ_SLICE_EXIT", exit.to_string().into()));
    }
    if let Some(looks) = args.looks {
        variables.push(("RSEQ_SLICE_LOOKS", looks.to_string().into()));
    }
    match &args.stats {
        None => {}
        Some(None) => variables.push(("RSEQ_SLICE_STATS", "1".into())),
        Some(Some(file)) => variables.push(("RSEQ_SLICE_STATS", file.into())),
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn set(args: &[&str]) -> Vec<(&'static str, OsString)> {
        let cli = Cli::parse_from(["rseq-slice", "run"].iter().chain(args).chain(&["p"]));
        let Command::Run(args) = cli.command else {
            panic!("{cli:?}")
        };
        variables(&args)
    }

    #[test]
    fn options_become_variables() {
        assert_eq!(set(&[]), []);
        let one = |args, name, value: &str| {
            assert_eq!(set(args), [(name, value.into())], "{args:?}");
        };
        one(&["--require"], "RSEQ_SLICE", "require");
        one(
            &["--locks", "spin,rwlock"],
            "RSEQ_SLICE_LOCKS",
            "spin,rwlock",
        );
        one(&["--take-over"], "RSEQ_SLICE_TAKE_OVER", "1");
        one(&["--exit", "getpid"], "RSEQ_SLICE_EXIT", "getpid");
        one(&["--looks", "7"], "RSEQ_SLICE_LOOKS", "7");
        one(&["--stats"], "RSEQ_SLICE_STATS", "1");
        one(&["--stats=/f"], "RSEQ_SLICE_STATS", "/f");
    }
}
