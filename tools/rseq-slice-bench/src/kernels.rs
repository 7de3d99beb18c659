// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernels that are compared.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A kernel, as booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kernel {
    /// The C implementation.
    C,
    /// The Rust implementation.
    Rust,
    /// The extension compiled out.
    Off,
    /// The C implementation, switched off by `rseq_slice_ext=0`.
    COffAtBoot,
    /// The Rust implementation, switched off by `rseq_slice_ext=0`.
    RustOffAtBoot,
    /// The Rust implementation, with `rseq_slice_ext=lazy`.
    RustLazy,
}

impl Kernel {
    /// Those of which all paths are measured.
    pub(crate) const ALL: [Self; 5] = [
        Self::C,
        Self::Rust,
        Self::Off,
        Self::COffAtBoot,
        Self::RustOffAtBoot,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::C => "C",
            Self::Rust => "Rust",
            Self::Off => "compiled out",
            Self::COffAtBoot => "C, off at boot",
            Self::RustOffAtBoot => "Rust, off at boot",
            Self::RustLazy => "Rust, lazy only",
        }
    }

    /// For file names.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::C => "c",
            Self::Rust => "rust",
            Self::Off => "off",
            Self::COffAtBoot => "c-off-at-boot",
            Self::RustOffAtBoot => "rust-off-at-boot",
            Self::RustLazy => "rust-lazy",
        }
    }

    /// The folder below `out` that holds it.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::C | Self::COffAtBoot => "c",
            Self::Rust | Self::RustOffAtBoot | Self::RustLazy => "rust",
            Self::Off => "off",
        }
    }

    /// Words for its command line.
    pub(crate) fn append(self) -> &'static str {
        match self {
            Self::COffAtBoot | Self::RustOffAtBoot => "loglevel=3 rseq_slice_ext=0",
            Self::RustLazy => "loglevel=3 rseq_slice_ext=lazy",
            _ => "loglevel=3",
        }
    }
}

/// Where the kernels are, and what boots them.
pub(crate) struct Places {
    /// The folder `out`.
    pub(crate) out: PathBuf,
    /// `scripts/boot`.
    pub(crate) boot: PathBuf,
    /// The plugin, if QEMU takes it.
    pub(crate) plugin: Option<PathBuf>,
}

impl Places {
    pub(crate) fn image(&self, kernel: Kernel) -> PathBuf {
        self.out.join(kernel.folder()).join("bzImage")
    }

    pub(crate) fn vmlinux(&self, kernel: Kernel) -> PathBuf {
        self.out.join(kernel.folder()).join("vmlinux")
    }

    /// A file of this benchmark.
    pub(crate) fn result(&self, name: impl AsRef<Path>) -> PathBuf {
        self.out.join("bench").join(name)
    }
}
