// SPDX-License-Identifier: MIT OR Apache-2.0

//! The program, run by tests.

use std::ffi::OsStr;
use std::process::{Command, Output};

/// The program, with the given arguments and without what the environment might tell it.
pub(crate) fn tool<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rseq-slice"));
    command.args(args);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("RSEQ_SLICE") || name.starts_with("CLICOLOR") {
            command.env_remove(&*name);
        }
    }
    for name in ["NO_COLOR", "GLIBC_TUNABLES", "LD_PRELOAD"] {
        command.env_remove(name);
    }
    command
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn run(command: &mut Command) -> Came {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("the program starts");
    Came {
        status: status.code().expect("no signal ends it"),
        out: String::from_utf8(stdout).expect("text"),
        err: String::from_utf8(stderr).expect("text"),
    }
}
