// SPDX-License-Identifier: GPL-2.0

//! The pages that the program itself is in.

use std::fs;

use anyhow::{Context, Result};
use nix::errno::Errno;

/// Has all code and constants of this process mapped from now on.
///
/// fork leaves that to page faults. One inside of a grant takes longer than a short extension lasts,
/// and whether there is one would depend on how the linker has placed the functions.
pub(crate) fn map_program() -> Result<()> {
    const MAPS: &str = "/proc/self/maps";
    let maps = fs::read_to_string(MAPS).context(MAPS)?;
    for (start, end) in maps.lines().filter_map(constant) {
        // SAFETY: The advice reads the pages of a mapping, which changes nothing in them.
        let ret = unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(start),
                end - start,
                libc::MADV_POPULATE_READ,
            )
        };
        Errno::result(ret).context("MADV_POPULATE_READ")?;
    }
    Ok(())
}

/// Where the mapping of this line is, if it is one of a file and read-only.
fn constant(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, access) = (fields.next()?, fields.next()?);
    let of_file = fields.nth(3)?.starts_with('/');
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    (of_file && access.starts_with("r-")).then_some((address(start)?, address(end)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_constants_are_found() {
        let code = "00401000-0052d000 r-xp 00001000 00:02 1234                       /bin/program";
        assert_eq!(constant(code), Some((0x40_1000, 0x52_d000)));
        let others = [
            "0052d000-0052e000 rw-p 0012d000 00:02 1234                      /bin/program",
            "7ffd1000-7ffd3000 r-xp 00000000 00:00 0                         [vdso]",
            "7f000000-7f001000 ---p 00000000 00:00 0",
        ];
        assert!(others.into_iter().all(|line| constant(line).is_none()));
        map_program().unwrap();
    }
}
