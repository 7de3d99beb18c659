// SPDX-License-Identifier: GPL-2.0

//! Code that runs in a process of its own, because it is going to be killed.

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, anyhow};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use crate::check::{check, fail};
use crate::ktap::diagnose;
use crate::mapped::map_program;

/// Turns a panic into an error, so that it does not unwind into code of the parent process.
pub(crate) fn contained(body: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| Err(anyhow!("panic")))
}

/// A child process.
pub(crate) struct Child(Pid);

impl Child {
    /// Starts a child process, with one thread, that runs `body`.
    pub(crate) fn start(body: impl FnOnce() -> Result<()>) -> Result<Self> {
        std::io::stdout().flush()?;
        // SAFETY: The C library makes its allocator usable in the child; `body` needs no other lock.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => Ok(Self(child)),
            ForkResult::Child => {
                let result = map_program().and_then(|()| contained(body));
                if let Err(error) = &result {
                    diagnose(format_args!("in a child process: {error:#}"));
                    let _ = std::io::stdout().flush();
                }
                // SAFETY: Ends the process without running the exit handlers of its parent.
                unsafe { libc::_exit(i32::from(result.is_err())) }
            }
        }
    }

    pub(crate) const fn pid(&self) -> Pid {
        self.0
    }

    /// Waits until the child process has ended.
    pub(crate) fn wait(self) -> Result<WaitStatus> {
        Ok(waitpid(self.0, None)?)
    }

    /// Waits until the child process has ended, and expects it to have succeeded.
    #[track_caller]
    pub(crate) fn ensure_fine(self) -> Result<()> {
        match self.wait()? {
            WaitStatus::Exited(_, 0) => Ok(()),
            other => fail!("the child process ended with {other:?}"),
        }
    }

    /// Waits until the child process has ended, and expects it to have been killed by `signal`.
    #[track_caller]
    pub(crate) fn ensure_killed(self, signal: Signal) -> Result<()> {
        let status = self.wait()?;
        check!(
            matches!(status, WaitStatus::Signaled(_, by, _) if by == signal),
            "the child process was to be killed by {signal}, but ended with {status:?}"
        );
        Ok(())
    }
}

/// Expects `body`, run in a child process, to succeed.
#[track_caller]
pub(crate) fn ensure_fine(body: impl FnOnce() -> Result<()>) -> Result<()> {
    Child::start(body)?.ensure_fine()
}

/// Expects `body`, run in a child process, to be killed by `signal`.
#[track_caller]
pub(crate) fn ensure_dies(signal: Signal, body: impl FnOnce() -> Result<()>) -> Result<()> {
    Child::start(body)?.ensure_killed(signal)
}
