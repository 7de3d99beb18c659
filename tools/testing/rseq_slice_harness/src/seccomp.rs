// SPDX-License-Identifier: MIT OR Apache-2.0

//! seccomp(2).

use std::io;

use libc::{c_long, c_ulong, sock_filter};

use crate::abi::NR_RSEQ_SLICE_YIELD;

/// A filter that looks for one system call.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    /// The number of the system call.
    pub number: c_long,
    /// Which of these calls: those whose first argument has this value in its lower half. `None`: all.
    pub argument: Option<u32>,
    /// What takes the place of the call: `SECCOMP_RET_*` and its data.
    pub action: u32,
}

/// The argument of a yield that [`Filter::SKIPS_MARKED_YIELDS`] looks for. The call has none; a filter
/// sees it all the same.
pub const MARK: u32 = 0x5eed;

impl Filter {
    /// Has `rseq_slice_yield(2)` with the argument [`MARK`] fail with `EPERM` instead of being made.
    pub const SKIPS_MARKED_YIELDS: Self = Self {
        number: NR_RSEQ_SLICE_YIELD,
        argument: Some(MARK),
        action: libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
    };

    /// Installs the filter for the calling thread and those that it will create, which it also keeps
    /// from gaining privileges.
    ///
    /// # Errors
    ///
    /// `EINVAL` where the kernel lacks `CONFIG_SECCOMP_FILTER`; `EACCES` where a filter in place
    /// forbids it.
    pub fn install(&self) -> io::Result<()> {
        self.install_with(0)
    }

    /// Installs the filter for all threads of the process.
    ///
    /// # Errors
    ///
    /// As [`install`](Self::install), and if a thread has a filter that the calling one has not.
    pub fn install_for_all_threads(&self) -> io::Result<()> {
        self.install_with(libc::SECCOMP_FILTER_FLAG_TSYNC)
    }

    fn install_with(&self, flags: c_ulong) -> io::Result<()> {
        let mut steps = self.steps();
        let program = libc::sock_fprog {
            len: steps.len() as u16,
            filter: steps.as_mut_ptr(),
        };
        // SAFETY: The operation takes no pointer.
        if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let mode = libc::SECCOMP_SET_MODE_FILTER;
        // SAFETY: The program and its steps live through the call.
        match unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) } {
            0 => Ok(()),
            -1 => Err(io::Error::last_os_error()),
            thread => Err(io::Error::other(format!(
                "thread {thread} cannot have the filter: it has another one"
            ))),
        }
    }

    /// Allocates nothing, so that a thread can install a filter anywhere.
    fn steps(&self) -> [sock_filter; 6] {
        const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
        const EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
        const GO_ON: u32 = libc::BPF_JMP | libc::BPF_JA;
        const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
        /// Offsets in `struct seccomp_data`: the number, and the lower half of the first argument.
        const NUMBER: u32 = 0;
        const ARGUMENT: u32 = if cfg!(target_endian = "little") {
            16
        } else {
            20
        };
        let step = |code: u32, jf, k| sock_filter {
            code: code as u16,
            jt: 0,
            jf,
            k,
        };
        let compare = match self.argument {
            Some(argument) => step(EQUAL, 1, argument),
            None => step(GO_ON, 0, 0),
        };
        [
            step(LOAD, 0, NUMBER),
            step(EQUAL, 3, self.number as u32),
            step(LOAD, 0, ARGUMENT),
            compare,
            step(RETURN, 0, self.action),
            step(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    /// What no call of these tests returns by itself.
    const REFUSED: i32 = libc::EXDEV;
    const ACTION: u32 = libc::SECCOMP_RET_ERRNO | REFUSED as u32;

    fn is_refused(number: c_long, argument: u64) -> bool {
        // SAFETY: The tests name calls that take no argument.
        let ret = unsafe { libc::syscall(number, argument) };
        ret == -1 && io::Error::last_os_error().raw_os_error() == Some(REFUSED)
    }

    /// In a thread of its own, as a filter stays.
    fn filtered(argument: Option<u32>, then: impl FnOnce() + Send) {
        let filter = Filter {
            number: libc::SYS_getppid,
            argument,
            action: ACTION,
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                filter.install().unwrap();
                then();
            });
        });
        assert!(!is_refused(libc::SYS_getppid, MARK.into()));
    }

    #[test]
    fn one_system_call_is_looked_for() {
        filtered(None, || {
            assert!(is_refused(libc::SYS_getppid, 0));
            assert!(is_refused(libc::SYS_getppid, 1));
            assert!(!is_refused(libc::SYS_getpid, 0));
        });
    }

    #[test]
    fn the_lower_half_of_the_argument_is_compared() {
        filtered(Some(MARK), || {
            assert!(is_refused(libc::SYS_getppid, MARK.into()));
            assert!(is_refused(libc::SYS_getppid, u64::from(MARK) | 1 << 32));
            assert!(!is_refused(libc::SYS_getppid, u64::from(MARK) << 32));
            assert!(!is_refused(libc::SYS_getppid, 0));
            assert!(!is_refused(libc::SYS_getpid, MARK.into()));
        });
    }

    #[test]
    fn another_filter_in_the_way_is_reported() {
        let filter = Filter {
            number: libc::SYS_getppid,
            argument: None,
            action: ACTION,
        };
        let (installed, other) = channel();
        let (over, asked) = channel::<()>();
        thread::scope(|scope| {
            scope.spawn(move || {
                filter.install().unwrap();
                installed.send(()).unwrap();
                // Ends the wait when it is dropped.
                let _ = asked.recv();
            });
            scope.spawn(move || {
                let _over = over;
                other.recv().unwrap();
                let error = filter.install_for_all_threads().unwrap_err();
                assert!(
                    error.to_string().contains("cannot have the filter"),
                    "{error}"
                );
            });
        });
    }
}
