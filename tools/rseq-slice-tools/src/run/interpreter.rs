// SPDX-License-Identifier: MIT OR Apache-2.0

//! The C library that comes with a dynamic linker.

use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a dynamic linker says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Libc {
    /// glibc of this version.
    Glibc(u32, u32),
    /// Something else, or a glibc before 2.33.
    Other,
}

impl Libc {
    /// Asks the dynamic linker.
    pub(crate) fn of(linker: &Path) -> Self {
        let mut command = Command::new(linker);
        command.arg("--version").env_remove("LD_PRELOAD");
        let command = command.stdin(Stdio::inherit());
        let output = command.stderr(Stdio::piped()).output();
        output
            .ok()
            .and_then(|output| Self::parse(&String::from_utf8_lossy(&output.stdout)))
            .unwrap_or(Self::Other)
    }

    /// `ld.so (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.`
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?;
        if !line.starts_with("ld.so") {
            return None;
        }
        let version = line.split(" version ").nth(1)?.trim_end_matches('.');
        let mut numbers = version.split('.').map(str::parse);
        match (numbers.next()?, numbers.next()?) {
            (Ok(major), Ok(minor)) => Some(Self::Glibc(major, minor)),
            _ => None,
        }
    }

    /// Whether it registers an area that is too short.
    pub(crate) fn is_legacy(&self) -> bool {
        matches!(self, Self::Glibc(2, 35..=40))
    }
}

impl fmt::Display for Libc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc(major, minor) => write!(f, "glibc {major}.{minor}"),
            Self::Other => f.write_str("the C library"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        let line = "ld.so (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright";
        assert_eq!(Libc::parse(line), Some(Libc::Glibc(2, 36)));
        let line = "ld.so (GNU libc) development release version 2.41.9000.";
        assert_eq!(Libc::parse(line), Some(Libc::Glibc(2, 41)));
        assert_eq!(Libc::parse("musl libc (x86_64)\nVersion 1.2.3"), None);
        assert_eq!(Libc::parse(""), None);
    }

    #[test]
    fn the_legacy_ones_are_2_35_to_2_40() {
        let legacy = |minor| Libc::Glibc(2, minor).is_legacy();
        assert_eq!([34, 35, 40, 41].map(legacy), [false, true, true, false]);
        assert!(!Libc::Other.is_legacy());
    }
}
