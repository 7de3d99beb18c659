// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `check` finds out in a process of its own, because a thread is set up only once and a seccomp
//! filter may kill.

use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};

use rseq_slice::{Area, Policy, Why};
use serde::{Deserialize, Serialize};

use super::proof::{self, Proof};
use crate::cli::ProbeArgs;
use crate::failure::Failure;

/// The area that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Serves {
    Libc,
    Own,
    TakenOver,
}

/// [`Why`], as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    Platform,
    NoRseq,
    #[serde(rename = "kernel-before-7")]
    KernelBefore7,
    NotBuiltIn,
    OffAtBoot,
    LegacyArea,
    ForeignArea,
    Tcmalloc,
    SwitchedOff,
    Refused(i32),
    /// One that this program does not know.
    Unknown,
}

impl From<Why> for Reason {
    fn from(why: Why) -> Self {
        match why {
            Why::Platform => Self::Platform,
            Why::NoRseq => Self::NoRseq,
            Why::KernelBefore7 => Self::KernelBefore7,
            Why::NotBuiltIn => Self::NotBuiltIn,
            Why::OffAtBoot => Self::OffAtBoot,
            Why::LegacyArea => Self::LegacyArea,
            Why::ForeignArea => Self::ForeignArea,
            Why::Tcmalloc => Self::Tcmalloc,
            Why::SwitchedOff => Self::SwitchedOff,
            Why::Refused(errno) => Self::Refused(errno),
            _ => Self::Unknown,
        }
    }
}

/// The result of a probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Probe {
    /// The extension is on, in this area. What the kernel granted then, if that was tried.
    On { area: Serves, proof: Option<Proof> },
    /// It is off.
    Off { reason: Reason },
    /// A signal ended the process.
    Killed { signal: i32 },
}

impl Probe {
    /// Probes in a process of its own.
    pub(crate) fn new(args: &ProbeArgs) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new(
                crate::failure::SYSTEM,
                format!("this program cannot start itself: {error}"),
                "mount /proc, and let the seccomp filter pass execve(2)",
            )
        };
        let mut command = Command::new("/proc/self/exe");
        command.arg("probe");
        for (wanted, option) in [(args.take_over, "--take-over"), (args.prove, "--prove")] {
            if wanted {
                command.arg(option);
            }
        }
        // It reads nothing, and needs no /dev/null for that.
        let command = command.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        let output = command.output();
        let output = output.map_err(|error| failed(&error))?;
        match output.status.signal() {
            Some(signal) => Ok(Self::Killed { signal }),
            None => serde_json::from_slice(&output.stdout).map_err(|error| failed(&error)),
        }
    }

    fn of_this_thread(args: &ProbeArgs) -> io::Result<Self> {
        let policy = Policy {
            take_over: args.take_over,
            ..Policy::DEFAULT
        };
        rseq_slice::set_policy(policy).map_err(io::Error::other)?;
        let area = match rseq_slice::support() {
            Ok(Area::Libc) => Serves::Libc,
            Ok(Area::TakenOver) => Serves::TakenOver,
            Ok(_) => Serves::Own,
            Err(why) => return Ok(Self::Off { reason: why.into() }),
        };
        let proof = match rseq_slice::control_word() {
            Some(word) if args.prove => Some(proof::provoke(word)?),
            _ => None,
        };
        Ok(Self::On { area, proof })
    }
}

pub(crate) fn main(args: &ProbeArgs) -> Result<ExitCode, Failure> {
    let probe = Probe::of_this_thread(args).map_err(|error| Failure::system("probe", error))?;
    let text = serde_json::to_string(&probe).map_err(|error| Failure::system("probe", error))?;
    writeln!(io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}
