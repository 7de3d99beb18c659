// SPDX-License-Identifier: GPL-2.0

//! Which C library a test runs with, and what area its threads come to.

use std::process::Command;

use anyhow::{Context, Result};
use rseq_slice::Area;

/// Where the guest has the programs and libraries of these tests.
pub(crate) const PLACE: &str = "/usr/lib/rseq-slice-user";

/// Which C library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Libc {
    /// That of the machine on which the guest was packed, which registers a legacy area.
    Old,
    /// glibc 2.41 or newer.
    New,
    /// As [`Old`](Self::Old), linked statically.
    Static,
}

/// How a program is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Situation {
    pub(crate) name: &'static str,
    pub(crate) libc: Libc,
    /// Whether the tunable tells glibc to register no area.
    pub(crate) tunable_off: bool,
    pub(crate) take_over: bool,
    /// What the first thread then has.
    pub(crate) area: Area,
}

pub(crate) const SITUATIONS: [Situation; 4] = [
    Situation {
        name: "own",
        libc: Libc::Old,
        tunable_off: true,
        take_over: false,
        area: Area::Own,
    },
    Situation {
        name: "taken",
        libc: Libc::Old,
        tunable_off: false,
        take_over: true,
        area: Area::TakenOver,
    },
    Situation {
        name: "libc",
        libc: Libc::New,
        tunable_off: false,
        take_over: false,
        area: Area::Libc,
    },
    Situation {
        name: "static",
        libc: Libc::Static,
        tunable_off: true,
        take_over: false,
        area: Area::Own,
    },
];

impl Libc {
    /// Starts a program of [`PLACE`] with this C library. Those that are linked statically have a name of
    /// their own.
    pub(crate) fn command(self, program: &str, tunable_off: bool) -> Command {
        let folder = match self {
            Self::Old => "old",
            Self::New => "new",
            Self::Static => {
                return with_tunable(
                    Command::new(format!("{PLACE}/static/{program}")),
                    tunable_off,
                );
            }
        };
        let mut command = Command::new(format!("{PLACE}/{folder}/ld-linux-x86-64.so.2"));
        command.args(["--library-path", &format!("{PLACE}/{folder}")]);
        command.arg(format!("{PLACE}/bin/{program}"));
        with_tunable(command, tunable_off)
    }
}

fn with_tunable(mut command: Command, off: bool) -> Command {
    if off {
        command.env("GLIBC_TUNABLES", "glibc.pthread.rseq=0");
    } else {
        command.env_remove("GLIBC_TUNABLES");
    }
    command
}

impl Situation {
    pub(crate) fn named(name: &str) -> Result<Self> {
        let found = SITUATIONS
            .into_iter()
            .find(|situation| situation.name == name);
        found.with_context(|| format!("there is no situation {name}"))
    }

    /// Starts this program again.
    pub(crate) fn command(self) -> Command {
        self.libc.command("rseq-slice-user", self.tunable_off)
    }

    pub(crate) fn is_static(self) -> bool {
        self.libc == Libc::Static
    }
}
