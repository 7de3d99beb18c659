// SPDX-License-Identifier: MIT OR Apache-2.0

//! Whether a thread is under a seccomp filter.

use std::fs;

/// The mode of seccomp in a `status` file of `/proc`.
pub(crate) fn seccomp_of(status: &str) -> Option<u8> {
    seccomp_in(&fs::read_to_string(status).ok()?)
}

fn seccomp_in(status: &str) -> Option<u8> {
    let mut lines = status.lines();
    lines
        .find_map(|line| line.strip_prefix("Seccomp:"))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seccomp_is_a_line_of_its_own() {
        let status = "NoNewPrivs:\t0\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        assert_eq!(seccomp_in(status), Some(2));
        assert_eq!(seccomp_in("Seccomp_filters:\t1\n"), None);
    }
}
