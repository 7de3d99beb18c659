// SPDX-License-Identifier: MIT OR Apache-2.0

#![doc = include_str!("../README.md")]
// They panic where the output cannot be written.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod check;
mod cli;
mod demo;
mod failure;
mod program;
mod run;
mod stat;

use std::io;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::Shell;

use cli::{Cli, Command};
use failure::{Failure, USAGE};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(text) => {
            let printed = text.print();
            return match printed {
                _ if text.use_stderr() => ExitCode::from(USAGE),
                // Help and the version are no errors.
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => Failure::from(error).report(),
            };
        }
    };
    let done = match cli.command {
        Command::Check(args) => check::main(&args),
        Command::Run(args) => run::main(&args),
        Command::Stat(args) => stat::main(&args),
        Command::Demo(args) => demo::main(&args),
        Command::Completions { shell } => completions(shell),
        Command::Probe(args) => check::probe::main(&args),
    };
    done.unwrap_or_else(|failure| failure.report())
}

fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rseq-slice", &mut script);
    io::Write::write_all(&mut io::stdout(), &script)?;
    Ok(ExitCode::SUCCESS)
}
