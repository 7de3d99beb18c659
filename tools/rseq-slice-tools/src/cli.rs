// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// The rseq time slice extension of Linux: a thread that holds a lock is not preempted for a few
/// microseconds.
#[derive(Debug, Parser)]
#[command(name = "rseq-slice", version, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tells whether the extension works here, and if not, why
    ///
    /// Exit status: 0 if it works, 1 if it does not, 2 if it would work after a change that is named, 64
    /// and above if the question could not be answered. With --pid, 0 means that all threads have it on,
    /// and 2 that only some have, or none although they could.
    Check(CheckArgs),
    /// Starts an unmodified program that asks for extensions while it holds locks
    Run(RunArgs),
    /// Shows how the grants of all programs end, and what to change
    Stat(StatArgs),
    /// Lets threads compete for a spin lock, without and with the extension
    Demo(DemoArgs),
    /// Prints a script that completes the arguments of this program in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// What `check` finds out in a process of its own
    #[command(hide = true)]
    Probe(ProbeArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Looks at the threads of this process instead; needs the right to trace it
    #[arg(long)]
    pub(crate) pid: Option<i32>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ProbeArgs {
    /// Takes over a legacy area of the C library
    #[arg(long)]
    pub(crate) take_over: bool,
    /// Has the kernel grant extensions
    #[arg(long)]
    pub(crate) prove: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The kinds of locks that ask for extensions, separated by commas [default: spin]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) locks: Vec<LockKind>,
    /// Takes over the area of glibc 2.35 to 2.40, which is too short for extensions
    #[arg(long)]
    pub(crate) take_over: bool,
    /// The system call that ends a grant [default: auto]
    #[arg(long, value_name = "CALL")]
    pub(crate) exit: Option<Exit>,
    /// How often a waiter looks at a lock between two pauses [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) looks: Option<u32>,
    /// Writes statistics at exit, to standard error or to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    pub(crate) stats: Option<Option<PathBuf>>,
    /// Exits with 69 and the cause, before the program starts, if extensions do not work for it
    #[arg(long)]
    pub(crate) require: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, value_names = ["PROGRAM", "ARGS"])]
    pub(crate) command: Vec<OsString>,
}

/// Kinds of locks, as `RSEQ_SLICE_LOCKS` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LockKind {
    /// `pthread_spin_lock(3)`
    Spin,
    /// Adaptive mutexes
    Adaptive,
    /// All mutexes
    Mutex,
    /// Read-write locks
    Rwlock,
    /// Locks and critical sections of OpenMP
    Omp,
    /// All of these
    All,
}

/// Calls, as `RSEQ_SLICE_EXIT` names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Exit {
    /// `rseq_slice_yield(2)`; under a seccomp filter `getpid(2)`
    Auto,
    /// `rseq_slice_yield(2)`
    Yield,
    /// `getpid(2)`
    Getpid,
}

/// As on the command line.
macro_rules! display {
    ($($name:ty),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.to_possible_value() {
                    Some(value) => f.write_str(value.get_name()),
                    None => Err(fmt::Error),
                }
            }
        }
    )*};
}
display!(LockKind, Exit);

#[derive(Debug, Args)]
pub(crate) struct StatArgs {
    /// Seconds between two reports; with PROGRAM there is one at its end unless this is given
    /// [default: 1]
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) interval: Option<f64>,
    /// Prints one JSON object for each report
    #[arg(long)]
    pub(crate) json: bool,
    /// Reads the kernel's events instead of its counters: how much of the extensions was used, and why
    /// requests were refused; with PROGRAM, only those of the program and its children
    #[arg(long)]
    pub(crate) trace: bool,
    /// A program to count for, and its arguments. The counts are still those of the whole system
    #[arg(trailing_var_arg = true, value_names = ["PROGRAM", "ARGS"])]
    pub(crate) command: Vec<OsString>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.01 to 86400 is expected".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Milliseconds to measure for each thread that takes part
    #[arg(default_value = "10", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) ms: u32,
    /// Sets the length of an extension to this many microseconds times the CPUs that take part, for the
    /// whole system and as long as the demo runs. For emulators whose clock counts the instructions of
    /// all CPUs
    #[arg(long, value_name = "US", value_parser = clap::value_parser!(u32).range(5..=25))]
    pub(crate) us_per_cpu: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_manual_page_has_all_options() {
        let root = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../Documentation/userspace-api/man"
        );
        if !std::path::Path::new(root).exists() {
            // The crate is outside its tree.
            return;
        }
        let page = std::fs::read_to_string(format!("{root}/man1/rseq-slice.1")).unwrap();
        let page = page.replace('\\', "");
        for command in Cli::command()
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
        {
            assert!(
                page.contains(&format!(".SS {}\n", command.get_name())),
                "{command}"
            );
            for option in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(
                    page.contains(&format!("--{option}")),
                    "{command} --{option}"
                );
            }
        }
    }

    #[test]
    fn kinds_are_named_as_in_the_environment() {
        assert_eq!(LockKind::Rwlock.to_string(), "rwlock");
        assert_eq!(Exit::Getpid.to_string(), "getpid");
    }

    #[test]
    fn a_program_keeps_its_options() {
        let cli = Cli::parse_from([
            "rseq-slice",
            "run",
            "--locks",
            "spin,omp",
            "p",
            "--require",
            "-x",
        ]);
        let Command::Run(args) = cli.command else {
            panic!("{cli:?}")
        };
        assert_eq!(args.command, ["p", "--require", "-x"]);
        assert_eq!(args.locks, [LockKind::Spin, LockKind::Omp]);
        assert!(!args.require);
    }

    #[test]
    fn statistics_go_to_a_file_only_with_an_equals_sign() {
        let stats = |args: &[&str]| {
            let cli = Cli::parse_from(["rseq-slice", "run"].iter().chain(args));
            let Command::Run(args) = cli.command else {
                panic!("{cli:?}")
            };
            args.stats
        };
        assert_eq!(stats(&["p"]), None);
        assert_eq!(stats(&["--stats", "p"]), Some(None));
        assert_eq!(stats(&["--stats=f", "p"]), Some(Some(PathBuf::from("f"))));
    }
}
