// SPDX-License-Identifier: MIT OR Apache-2.0

//! The causes, and what to do about each.

use std::fmt;

use serde::Serialize;

use super::facts::Facts;
use super::probe::Reason;

/// Whether the extension works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    Works,
    NotHere,
    Could,
}

impl Status {
    /// The exit status that says so.
    pub(crate) fn exit(self) -> u8 {
        match self {
            Self::Works => 0,
            Self::NotHere => 1,
            Self::Could => 2,
        }
    }
}

/// The one cause why it does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
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
    /// A seccomp filter refuses or kills for a system call.
    Seccomp,
    /// A system call failed, and there is no filter.
    Refused(i32),
    CoarseTimers,
    NeverGranted,
    /// A process whose threads could have extensions on, but none has.
    NotAsked,
    /// A process of which only some threads have extensions on.
    SomeThreads,
}

impl From<Reason> for Cause {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Platform | Reason::Unknown => Self::Platform,
            Reason::NoRseq => Self::NoRseq,
            Reason::KernelBefore7 => Self::KernelBefore7,
            Reason::NotBuiltIn => Self::NotBuiltIn,
            Reason::OffAtBoot => Self::OffAtBoot,
            Reason::LegacyArea => Self::LegacyArea,
            Reason::ForeignArea => Self::ForeignArea,
            Reason::Tcmalloc => Self::Tcmalloc,
            Reason::SwitchedOff => Self::SwitchedOff,
            Reason::Refused(errno) => Self::Refused(errno),
        }
    }
}

impl Cause {
    /// Whether something helps that is less than another kernel, machine or processor.
    pub(crate) fn status(self) -> Status {
        match self {
            Self::Platform | Self::NoRseq | Self::KernelBefore7 | Self::NotBuiltIn => {
                Status::NotHere
            }
            Self::Refused(_) | Self::NeverGranted => Status::NotHere,
            Self::OffAtBoot
            | Self::LegacyArea
            | Self::ForeignArea
            | Self::Tcmalloc
            | Self::SwitchedOff
            | Self::Seccomp
            | Self::CoarseTimers
            | Self::NotAsked
            | Self::SomeThreads => Status::Could,
        }
    }

    /// Whether it is a property of the kernel, and so the same for all processes.
    pub(crate) fn is_kernels(self) -> bool {
        matches!(
            self,
            Self::Platform
                | Self::NoRseq
                | Self::KernelBefore7
                | Self::NotBuiltIn
                | Self::OffAtBoot
        )
    }

    /// The cause in words.
    pub(crate) fn says(self, facts: &Facts) -> String {
        let release = &facts.kernel.release;
        match self {
            Self::Platform => format!(
                "this program knows no time slice extension on {}",
                std::env::consts::ARCH
            ),
            Self::NoRseq => format!("Linux {release} has no rseq(2)"),
            Self::KernelBefore7 => {
                format!("Linux {release} has no time slice extension: it needs 7.0 or newer")
            }
            Self::NotBuiltIn => format!(
                "Linux {release} was built without CONFIG_RSEQ_SLICE_EXTENSION (prctl(2) answers 524 even to GET)"
            ),
            Self::OffAtBoot => {
                "the kernel has the extension, but it was switched off at boot".to_owned()
            }
            Self::LegacyArea => format!(
                "{} registers the 32-byte area of glibc before 2.41, which cannot have extensions",
                facts.libc.name
            ),
            Self::ForeignArea => {
                "a library in this process has registered an area of its own for its threads"
                    .to_owned()
            }
            Self::Tcmalloc => format!(
                "TCMalloc uses the 32-byte area of {}, which can therefore not be taken over",
                facts.libc.name
            ),
            Self::SwitchedOff => "the environment has RSEQ_SLICE=off".to_owned(),
            Self::Seccomp => {
                "a seccomp filter refuses a system call that the extension needs".to_owned()
            }
            Self::Refused(errno) => format!(
                "a system call failed with error {errno} ({})",
                std::io::Error::from_raw_os_error(errno)
            ),
            Self::CoarseTimers => {
                "high-resolution timers are not active, and without them nothing is granted"
                    .to_owned()
            }
            Self::NeverGranted => {
                "the extension is on, but the thread could end no grant in 2 seconds".to_owned()
            }
            Self::NotAsked => "its threads have not asked for extensions".to_owned(),
            Self::SomeThreads => "only some of its threads have extensions on".to_owned(),
        }
    }

    /// What to do about it: one of these.
    pub(crate) fn cures(self) -> &'static [Cure] {
        const KERNEL: &[Cure] = &[Cure(
            "boot a kernel with CONFIG_RSEQ_SLICE_EXTENSION=y",
            "nothing to change in programs: they run without",
        )];
        match self {
            Self::Platform => &[Cure("use x86_64, riscv64, s390x or loongarch64", "")],
            Self::NoRseq => &[Cure("boot a kernel with CONFIG_RSEQ=y", "")],
            Self::KernelBefore7 => &[Cure(
                "boot Linux 7.0 or newer with CONFIG_RSEQ_SLICE_EXTENSION=y",
                "nothing to change in programs: they run without",
            )],
            Self::NotBuiltIn => KERNEL,
            Self::OffAtBoot => &[Cure(
                "remove rseq_slice_ext=off from the kernel command line",
                "",
            )],
            Self::LegacyArea => &[
                Cure(TAKE_OVER, ""),
                Cure(
                    "GLIBC_TUNABLES=glibc.pthread.rseq=0 PROGRAM",
                    "for programs that register their own area",
                ),
            ],
            Self::ForeignArea => &[Cure("use the extension through that library", "")],
            Self::Tcmalloc => &[Cure("use glibc 2.41 or newer, or another allocator", "")],
            Self::SwitchedOff => &[Cure("unset RSEQ_SLICE", "")],
            Self::Seccomp => &[Cure("let the filter pass rseq(2) and prctl(2)", "")],
            Self::Refused(_) => &[Cure(
                "look at what keeps rseq(2) and prctl(2) from working",
                "strace shows it",
            )],
            Self::CoarseTimers => &[Cure(
                "remove highres=off from the kernel command line",
                "if it is there; else the machine has no clock that can be programmed",
            )],
            Self::NeverGranted => &[Cure(
                "look at the counters",
                "rseq-slice stat; core scheduling and busy virtual machines keep the kernel from granting",
            )],
            Self::NotAsked => &[
                Cure(
                    "rseq-slice run PROGRAM",
                    "for programs that use pthread locks",
                ),
                Cure(
                    "rseq_slice.h, or the crate rseq-slice",
                    "for programs with locks of their own",
                ),
            ],
            Self::SomeThreads => &[
                Cure(
                    "check again later",
                    "a thread asks at its first section; one without locks needs no extension",
                ),
                Cure(
                    "rseq-slice run --locks LIST PROGRAM",
                    "if the other threads take other kinds of pthread locks",
                ),
                Cure(
                    "rseq_slice.h, or the crate rseq-slice",
                    "if they have locks of their own",
                ),
            ],
        }
    }
}

/// The cure for a legacy area.
pub(crate) const TAKE_OVER: &str = "rseq-slice run --take-over PROGRAM";

/// What to do, and when or with which result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cure(pub(crate) &'static str, pub(crate) &'static str);

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
