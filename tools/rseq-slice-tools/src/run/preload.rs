// SPDX-License-Identifier: MIT OR Apache-2.0

//! Where the preload library is, and how the dynamic linker is told.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, UNAVAILABLE};

const NAME: &str = "librseq-slice-preload.so";
/// Names the library where it is not installed beside this program.
const VARIABLE: &str = "RSEQ_SLICE_PRELOAD_LIB";

/// The library's path.
pub(crate) fn library() -> Result<PathBuf, Failure> {
    if let Some(path) = env::var_os(VARIABLE) {
        let path = PathBuf::from(path);
        if !path.is_file() {
            return Err(Failure::new(
                UNAVAILABLE,
                format!("{VARIABLE}={} is not a file", path.display()),
                format!("let it name a {NAME}, or unset it"),
            ));
        }
        return Ok(path);
    }
    let program = env::current_exe().map_err(|error| Failure::system("/proc/self/exe", error))?;
    let places = places(&program);
    let found = places.iter().find(|path| path.is_file());
    found.cloned().ok_or_else(|| {
        let places: Vec<_> = places
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        Failure::new(
            UNAVAILABLE,
            format!("there is no {NAME}; looked at {}", places.join(", ")),
            format!("make install-user, or {VARIABLE}=FILE"),
        )
    })
}

/// Where it may be: in the folders for libraries beside the one for programs.
fn places(program: &Path) -> Vec<PathBuf> {
    let prefix = program
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/"));
    let triplet = format!("lib/{}-linux-gnu", env::consts::ARCH);
    let folders = [triplet.as_str(), "lib64", "lib"];
    folders
        .iter()
        .map(|folder| prefix.join(folder).join(NAME))
        .collect()
}

/// `LD_PRELOAD` with the library in front of those that are there.
pub(crate) fn joined(library: &Path, before: Option<OsString>) -> Result<OsString, Failure> {
    let library = library.as_os_str();
    let separates = |byte: &u8| *byte == b':' || byte.is_ascii_whitespace();
    if library.as_bytes().iter().any(separates) {
        return Err(Failure::new(
            UNAVAILABLE,
            format!(
                "{}: LD_PRELOAD takes no colon or space in a path",
                library.to_string_lossy()
            ),
            "move the library, or name a link to it",
        ));
    }
    let before = before.unwrap_or_default();
    let mut joined = library.to_owned();
    for other in before.as_bytes().split(separates) {
        if !other.is_empty() && other != library.as_bytes() {
            joined.push(":");
            joined.push(OsStr::from_bytes(other));
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_beside_the_program() {
        let places = places(Path::new("/usr/bin/rseq-slice"));
        assert_eq!(
            places[0].parent().unwrap().parent(),
            Some(Path::new("/usr/lib"))
        );
        assert_eq!(places[2], Path::new("/usr/lib/librseq-slice-preload.so"));
    }

    #[test]
    fn what_is_preloaded_stays() {
        let join =
            |before: Option<&str>| joined(Path::new("/l.so"), before.map(OsString::from)).unwrap();
        assert_eq!(join(None), "/l.so");
        assert_eq!(join(Some("")), "/l.so");
        assert_eq!(join(Some("/a.so /b.so:c.so")), "/l.so:/a.so:/b.so:c.so");
        assert_eq!(join(Some("/a.so:/l.so")), "/l.so:/a.so");
    }

    #[test]
    fn a_path_that_cannot_be_preloaded_is_refused() {
        assert!(joined(Path::new("/my programs/l.so"), None).is_err());
        assert!(joined(Path::new("/a:b/l.so"), None).is_err());
    }
}
