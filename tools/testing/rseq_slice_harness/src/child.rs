// SPDX-License-Identifier: MIT OR Apache-2.0

//! Child processes that may be killed, or never end.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;
use std::{fs, io};

use libc::pid_t;

/// Makes this process the subreaper of its descendants, and keeps those that are killed by a signal
/// from leaving memory dumps and messages in the kernel's log. The messages are switched
/// off for the whole system, and stay so.
///
/// # Errors
///
/// Whatever `prctl(2)` and `setrlimit(2)` say; both work for everybody.
pub fn prepare_for_deaths() -> io::Result<()> {
    // SAFETY: The operation takes no pointer.
    done(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })?;
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: The structure lives through the call.
    done(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) })?;
    // Not every architecture has this switch.
    let _ = fs::write("/proc/sys/debug/exception-trace", "0");
    Ok(())
}

/// Has `SIGSEGV` kill this process. The Rust standard library handles it, to report overflows of the
/// stack.
///
/// # Errors
///
/// None that is known.
pub fn die_of_segv() -> io::Result<()> {
    // SAFETY: No handler is installed.
    if unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Waits until the child process ends, `limit` at most, and returns whether it did. It remains to be
/// waited for.
///
/// # Errors
///
/// `ESRCH` when there is no such process; `EINTR` when a handler ran.
pub fn ends_within(child: pid_t, limit: Duration) -> io::Result<bool> {
    // SAFETY: The call takes no pointer.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child, 0) };
    let Ok(fd @ 0..) = i32::try_from(fd) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: The kernel has just opened it for us.
    let process = unsafe { OwnedFd::from_raw_fd(fd) };
    let mut poll = libc::pollfd {
        fd: process.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let limit = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: The one structure lives through the call.
    let ended = unsafe { libc::poll(&raw mut poll, 1, limit) };
    done(ended)?;
    Ok(ended > 0)
}

fn done(ret: i32) -> io::Result<()> {
    if ret < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn child_ends_in_time_or_not() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = pid_t::try_from(child.id()).unwrap();
        assert!(!ends_within(pid, Duration::from_millis(10)).unwrap());
        child.kill().unwrap();
        assert!(ends_within(pid, Duration::from_secs(60)).unwrap());
        child.wait().unwrap();
        let error = ends_within(pid, Duration::ZERO).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }
}
