// SPDX-License-Identifier: MIT OR Apache-2.0

#![doc = include_str!("../README.md")]

mod counters;

use std::fs;
use std::io;
use std::path::Path;

pub use counters::{Counters, Unreadable};

/// The implementations of the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Implementation {
    /// The one in C.
    C,
    /// The one in Rust.
    Rust,
}

/// A file of debugfs, and the part of the kernel's configuration that provides it.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Its path.
    pub path: &'static str,
    /// What to switch on in the kernel's configuration.
    pub config: &'static str,
}

impl File {
    /// Reads all of it.
    ///
    /// # Errors
    ///
    /// [`DebugfsError::Missing`], [`DebugfsError::Io`].
    pub fn read(self) -> Result<String, DebugfsError> {
        fs::read_to_string(self.path).map_err(|error| DebugfsError::io(self, error))
    }

    /// Writes a text to it.
    ///
    /// # Errors
    ///
    /// [`DebugfsError::Missing`], [`DebugfsError::Io`].
    pub fn write(self, text: &str) -> Result<(), DebugfsError> {
        fs::write(self.path, text).map_err(|error| DebugfsError::io(self, error))
    }
}

const STATS: File = File {
    path: "/sys/kernel/debug/rseq/stats",
    config: "CONFIG_RSEQ_SLICE_EXTENSION and CONFIG_RSEQ_STATS",
};
const LENGTH: File = File {
    path: "/sys/kernel/debug/rseq/slice_ext_nsec",
    config: "CONFIG_RSEQ_SLICE_EXTENSION",
};
const IMPLEMENTATION: File = File {
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
    #[error("{path}: {error}{}", cure(error))]
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
    fn io(File { path, config }: File, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path, config },
            _ => Self::Io { path, error },
        }
    }
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => ": run this as root",
        _ => "",
    }
}

/// The kernel's counts since boot.
///
/// # Errors
///
/// [`DebugfsError`].
pub fn counters() -> Result<Counters, DebugfsError> {
    let parsed: Result<_, Unreadable> = STATS.read()?.parse();
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
    match IMPLEMENTATION.read() {
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
    let text = LENGTH.read()?;
    text.trim().parse().map_err(|_| DebugfsError::Format {
        path: LENGTH.path,
        what: text,
    })
}

/// Sets how long a grant may last, for the whole system, in nanoseconds: 5000 to 50000.
///
/// # Errors
///
/// [`DebugfsError::Io`] with `ERANGE` outside the range and with `EACCES` for users other than root.
pub fn set_extension_length(ns: u32) -> Result<(), DebugfsError> {
    LENGTH.write(&ns.to_string())
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
        // It could be written before, and an error could not be reported.
        let _ = set_extension_length(self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_names_its_cure() {
        let file = File {
            path: "/proc/self/missing",
            config: "CONFIG_SOMETHING",
        };
        for error in [file.read().unwrap_err(), file.write("").unwrap_err()] {
            assert!(matches!(error, DebugfsError::Missing { .. }), "{error:?}");
            assert!(error.to_string().contains("CONFIG_SOMETHING"), "{error}");
        }
    }
}
