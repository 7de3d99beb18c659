// SPDX-License-Identifier: MIT OR Apache-2.0

//! How a thread ends its grant.

use crate::abi::NR_RSEQ_SLICE_YIELD;
use crate::arch::{self, nr};
use crate::policy::Exit;

/// The call that ends the grants of a thread. Entry to any system call ends one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCall {
    /// Not known yet: no grant has been ended.
    Find = 0,
    /// `rseq_slice_yield(2)`.
    Yield,
    /// `getpid(2)`, which a seccomp filter does not kill for.
    Getpid,
}

impl ExitCall {
    pub(crate) fn of(policy: Exit) -> Self {
        match policy {
            Exit::Auto => Self::Find,
            Exit::Yield => Self::Yield,
            Exit::Getpid => Self::Getpid,
        }
    }

    /// Ends a grant; returns what to end the next one with.
    pub(crate) fn make(self) -> Self {
        match self {
            Self::Find => return Self::find(),
            // SAFETY: The call takes no arguments.
            Self::Yield => unsafe { arch::syscall(NR_RSEQ_SLICE_YIELD, [0; 4]) },
            // SAFETY: The call takes no arguments.
            Self::Getpid => unsafe { arch::syscall(nr::GETPID, [0; 4]) },
        };
        self
    }

    /// Looks for a seccomp filter. The first system call of the search ends the grant.
    ///
    /// `prctl(PR_GET_SECCOMP)` would be shorter, but filters that kill for unknown operations of
    /// `prctl(2)` are common.
    fn find() -> Self {
        let mut file = match Status::open() {
            Some(file) => file,
            None => return Self::Getpid,
        };
        match file.seccomp() {
            // Without the line the kernel has no filters.
            Ok(None | Some(b'0')) => Self::Yield,
            Ok(Some(_)) | Err(Unreadable) => Self::Getpid,
        }
    }
}

/// `/proc/thread-self/status`, open.
struct Status(usize);

/// The file cannot be read.
#[derive(Debug, PartialEq, Eq)]
struct Unreadable;

impl Status {
    fn open() -> Option<Self> {
        const AT_FDCWD: usize = -100_isize as usize;
        const O_CLOEXEC: usize = 0o2_000_000;
        let path = c"/proc/thread-self/status".as_ptr() as usize;
        // SAFETY: The path ends with a null byte, and the file is opened for reading.
        let fd = unsafe { arch::syscall(nr::OPENAT, [AT_FDCWD, path, O_CLOEXEC, 0]) };
        usize::try_from(fd).ok().map(Self)
    }

    /// The character behind `Seccomp:`, read in pieces that fit on the stack of a signal handler.
    fn seccomp(&mut self) -> Result<Option<u8>, Unreadable> {
        const NAME: &[u8] = b"\nSeccomp:\t";
        let mut matched = 0;
        loop {
            let mut piece = [0_u8; 128];
            let to = piece.as_mut_ptr() as usize;
            // SAFETY: The kernel writes at most as many bytes as there are in `piece`.
            let read = unsafe { arch::syscall(nr::READ, [self.0, to, piece.len(), 0]) };
            let read = usize::try_from(read).map_err(|_| Unreadable)?;
            if read == 0 {
                return Ok(None);
            }
            for &byte in piece.get(..read).ok_or(Unreadable)? {
                if matched == NAME.len() {
                    return Ok(Some(byte));
                }
                // The first character of the name occurs in it only once.
                matched = match byte {
                    _ if byte == NAME[matched] => matched + 1,
                    b'\n' => 1,
                    _ => 0,
                };
            }
        }
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        // SAFETY: The file is ours, and nobody uses it after this.
        unsafe { arch::syscall(nr::CLOSE, [self.0, 0, 0, 0]) };
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn the_filter_is_found_where_the_kernel_says_so() {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let mode = status.split("\nSeccomp:\t").nth(1).unwrap().as_bytes()[0];
        assert_eq!(Status::open().unwrap().seccomp(), Ok(Some(mode)));
        let expected = if mode == b'0' {
            ExitCall::Yield
        } else {
            ExitCall::Getpid
        };
        assert_eq!(ExitCall::Find.make(), expected);
        assert_eq!(expected.make(), expected);
    }

    #[test]
    fn a_kernel_without_the_line_has_no_filters() {
        use std::os::fd::IntoRawFd;
        let open = |path| Status(std::fs::File::open(path).unwrap().into_raw_fd() as usize);
        assert_eq!(open("/dev/null").seccomp(), Ok(None));
        assert_eq!(open("/").seccomp(), Err(Unreadable));
    }
}
