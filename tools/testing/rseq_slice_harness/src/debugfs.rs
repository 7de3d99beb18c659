// SPDX-License-Identifier: GPL-2.0

//! What the kernel tells and lets one set in debugfs.

use std::fs;
use std::io;
use std::ops::Sub;
use std::path::Path;

const STATS: &str = "/sys/kernel/debug/rseq/stats";
const LENGTH: &str = "/sys/kernel/debug/rseq/slice_ext_nsec";
const IMPLEMENTATION: &str = "/sys/kernel/debug/rseq/slice_ext_impl";

/// Why a file of debugfs could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DebugfsError {
    /// The file is not there.
    #[error(
        "{path} is not there: mount debugfs on /sys/kernel/debug, or build the kernel with \
         CONFIG_RSEQ_SLICE_EXTENSION and CONFIG_RSEQ_STATS"
    )]
    Missing {
        /// The file.
        path: &'static str,
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
    fn io(path: &'static str, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            _ => Self::Io { path, error },
        }
    }
}

fn read(path: &'static str) -> Result<String, DebugfsError> {
    fs::read_to_string(path).map_err(|error| DebugfsError::io(path, error))
}

/// The kernel's counts of what happened to requests since boot, over all CPUs and processes.
///
/// The difference of two values counts what happened in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Counters {
    /// Grants.
    pub granted: u64,
    /// Expirations of the timer that bounds a grant, while that was live.
    pub expired: u64,
    /// Grants that the kernel took back.
    pub revoked: u64,
    /// Grants that `rseq_slice_yield(2)` ended.
    pub yielded: u64,
    /// Grants that another system call ended.
    pub aborted: u64,
    /// Threads killed or faulting inside a grant. `None` on the C implementation, which does not
    /// count them.
    pub died: Option<u64>,
}

impl Counters {
    /// Reads the counters now.
    ///
    /// # Errors
    ///
    /// [`DebugfsError`].
    pub fn read() -> Result<Self, DebugfsError> {
        Self::parse(&read(STATS)?)
    }

    fn parse(text: &str) -> Result<Self, DebugfsError> {
        let format = |what: &str| DebugfsError::Format {
            path: STATS,
            what: what.to_owned(),
        };
        let find = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().parse().map_err(|_| format(value.trim())))
                .transpose()
        };
        let need = |name: &str| find(name)?.ok_or_else(|| format(name));
        Ok(Self {
            granted: need("sgrant")?,
            expired: need("sexpir")?,
            revoked: need("srevok")?,
            yielded: need("syield")?,
            aborted: need("sabort")?,
            died: find("sdied")?,
        })
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            granted: self.granted - earlier.granted,
            expired: self.expired - earlier.expired,
            revoked: self.revoked - earlier.revoked,
            yielded: self.yielded - earlier.yielded,
            aborted: self.aborted - earlier.aborted,
            died: self.died.zip(earlier.died).map(|(now, then)| now - then),
        }
    }
}

/// Which implementation of the extension the running kernel has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Implementation {
    /// The one in C.
    C,
    /// The one in Rust.
    Rust,
}

/// Asks the running kernel for its [`Implementation`].
///
/// # Errors
///
/// [`DebugfsError`], if the kernel has none or debugfs cannot be read.
pub fn implementation() -> Result<Implementation, DebugfsError> {
    if !Path::new(LENGTH)
        .try_exists()
        .map_err(|error| DebugfsError::io(LENGTH, error))?
    {
        return Err(DebugfsError::Missing { path: LENGTH });
    }
    match read(IMPLEMENTATION) {
        Ok(name) if name == "rust\n" => Ok(Implementation::Rust),
        Ok(what) => Err(DebugfsError::Format {
            path: IMPLEMENTATION,
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
        path: LENGTH,
        what: text,
    })
}

/// Sets how long a grant may last, for the whole system, in nanoseconds: 5000 to 50000.
///
/// # Errors
///
/// [`DebugfsError::Io`] with `ERANGE` outside of the range and with `EACCES` for other users than root.
pub fn set_extension_length(ns: u32) -> Result<(), DebugfsError> {
    fs::write(LENGTH, ns.to_string()).map_err(|error| DebugfsError::io(LENGTH, error))
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

#[cfg(test)]
mod tests {
    use super::*;

    const C: &str = "exit:   5\nsgrant:  70\nsexpir:   3\nsrevok:   8\nsyield:  40\nsabort:  22\n";

    #[test]
    fn counters_of_both_implementations() {
        let c = Counters::parse(C).unwrap();
        let expected = Counters {
            granted: 70,
            expired: 3,
            revoked: 8,
            yielded: 40,
            aborted: 22,
            died: None,
        };
        assert_eq!(c, expected);
        let rust = Counters::parse(&format!("{C}sdied:   1\n")).unwrap();
        assert_eq!(
            rust,
            Counters {
                died: Some(1),
                ..expected
            }
        );
        assert_eq!((rust - rust).died, Some(0));
        assert_eq!((rust - rust).granted, 0);
    }

    #[test]
    fn counters_name_what_is_wrong() {
        let missing = Counters::parse(&C.replace("syield", "other")).unwrap_err();
        assert!(missing.to_string().contains("\"syield\""), "{missing}");
        let garbage = Counters::parse(&C.replace("40", "forty")).unwrap_err();
        assert!(garbage.to_string().contains("\"forty\""), "{garbage}");
    }
}
