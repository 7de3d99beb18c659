// SPDX-License-Identifier: GPL-2.0

//! What the kernel tells and lets one set in debugfs.

use std::fs;
use std::io;
use std::path::Path;

use rseq_slice_types::{Counters, Implementation, Unreadable};

/// A file, and the part of the kernel's configuration that provides it.
#[derive(Clone, Copy)]
pub(crate) struct Node {
    pub(crate) path: &'static str,
    pub(crate) config: &'static str,
}

const STATS: Node = Node {
    path: "/sys/kernel/debug/rseq/stats",
    config: "CONFIG_RSEQ_SLICE_EXTENSION and CONFIG_RSEQ_STATS",
};
const LENGTH: Node = Node {
    path: "/sys/kernel/debug/rseq/slice_ext_nsec",
    config: "CONFIG_RSEQ_SLICE_EXTENSION",
};
const IMPLEMENTATION: Node = Node {
    path: "/sys/kernel/debug/rseq/slice_ext_impl",
    config: "CONFIG_RSEQ_SLICE_EXTENSION_RUST",
};

/// Why a file of debugfs could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebugfsError {
    /// The file is not there.
    #[error(
        "{path} is not there: mount debugfs on /sys/kernel/debug, or build the kernel with {config}"
    )]
    Missing {
        /// The file.
        path: &'static str,
        /// The part of the kernel's configuration that provides it.
        config: &'static str,
    },
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: &'static str,
        /// The reason.
        error: io::Error,
    },
    /// The content is not what this crate expects.
    #[error("{path}: cannot make sense of {what:?}")]
    Format {
        /// The file.
        path: &'static str,
        /// The line that is wrong, or the one that is missing.
        what: String,
    },
}

impl DebugfsError {
    fn io(Node { path, config }: Node, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path, config },
            _ => Self::Io { path, error },
        }
    }
}

pub(crate) fn read(node: Node) -> Result<String, DebugfsError> {
    fs::read_to_string(node.path).map_err(|error| DebugfsError::io(node, error))
}

pub(crate) fn write(node: Node, text: &str) -> Result<(), DebugfsError> {
    fs::write(node.path, text).map_err(|error| DebugfsError::io(node, error))
}

/// The kernel's counts since boot.
///
/// # Errors
///
/// [`DebugfsError`].
pub fn counters() -> Result<Counters, DebugfsError> {
    let parsed: Result<_, Unreadable> = read(STATS)?.parse();
    parsed.map_err(|Unreadable(what)| DebugfsError::Format {
        path: STATS.path,
        what,
    })
}

/// Asks the running kernel for its [`Implementation`].
///
/// # Errors
///
/// [`DebugfsError`], if the kernel has none or debugfs cannot be read.
pub fn implementation() -> Result<Implementation, DebugfsError> {
    if !Path::new(LENGTH.path)
        .try_exists()
        .map_err(|error| DebugfsError::io(LENGTH, error))?
    {
        return Err(DebugfsError::io(LENGTH, io::ErrorKind::NotFound.into()));
    }
    match read(IMPLEMENTATION) {
        Ok(name) if name == "rust\n" => Ok(Implementation::Rust),
        Ok(what) => Err(DebugfsError::Format {
            path: IMPLEMENTATION.path,
            what,
        }),
        Err(DebugfsError::Missing { .. }) => Ok(Implementation::C),
        Err(error) => Err(error),
    }
}

/// How long a grant may last, in nanoseconds.
///
/// # Errors
///
/// [`DebugfsError`].
pub fn extension_length() -> Result<u32, DebugfsError> {
    let text = read(LENGTH)?;
    text.trim().parse().map_err(|_| DebugfsError::Format {
        path: LENGTH.path,
        what: text,
    })
}

/// Sets how long a grant may last, for the whole system, in nanoseconds: 5000 to 50000.
///
/// # Errors
///
/// [`DebugfsError::Io`] with `ERANGE` outside of the range and with `EACCES` for other users than root.
pub fn set_extension_length(ns: u32) -> Result<(), DebugfsError> {
    write(LENGTH, &ns.to_string())
}

/// Another extension length for the time that this value lives.
#[derive(Debug)]
pub struct ExtensionLength {
    before: u32,
}

impl ExtensionLength {
    /// Sets the length in nanoseconds and remembers the one before.
    ///
    /// # Errors
    ///
    /// As [`set_extension_length`].
    pub fn set(ns: u32) -> Result<Self, DebugfsError> {
        let before = extension_length()?;
        set_extension_length(ns)?;
        Ok(Self { before })
    }
}

impl Drop for ExtensionLength {
    fn drop(&mut self) {
        // It could be written a moment ago, and nobody is left to tell.
        let _ = set_extension_length(self.before);
    }
}
