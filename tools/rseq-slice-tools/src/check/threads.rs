// SPDX-License-Identifier: MIT OR Apache-2.0

//! The areas of another process's threads.
//!
//! The kernel reports them to a tracer of a stopped thread. If this program dies meanwhile, the kernel
//! detaches it and lets the thread go on.

use std::fs::File;
use std::io;
use std::mem;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rseq_slice::abi::{
    FLAGS_OFFSET, RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE, RSEQ_CS_FLAG_SLICE_EXT_ENABLED,
};
use serde::Serialize;

/// How long a thread may take to stop. A thread that is busy in the kernel may never stop.
const PATIENCE: Duration = Duration::from_secs(1);

/// A thread's area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct ThreadArea {
    pub(crate) address: u64,
    /// In bytes.
    pub(crate) size: u32,
    /// The kernel offers the extension in it.
    pub(crate) available: bool,
    /// The extension is on.
    pub(crate) enabled: bool,
}

/// The result of a look at a thread.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The thread's area, if it has one.
    Area(Option<ThreadArea>),
    /// It has ended.
    Gone,
    /// It did not stop in time.
    Busy,
    /// It must not be traced by us, or is traced by somebody else.
    Denied,
}

/// Stops a thread, asks for its area, and lets it go on. `folder` is the one of the thread in `/proc`.
pub(crate) fn look(thread: i32, folder: &Path) -> io::Result<Look> {
    let thread = Pid::from_raw(thread);
    let mut seized = match Seized::new(thread) {
        Ok(seized) => seized,
        Err(Errno::ESRCH) => return Ok(Look::Gone),
        Err(Errno::EPERM) => return Ok(Look::Denied),
        Err(error) => return Err(error.into()),
    };
    match seized.stop() {
        Ok(true) => {}
        Ok(false) => return Ok(Look::Busy),
        Err(Errno::ESRCH | Errno::ECHILD) => return Ok(Look::Gone),
        Err(error) => return Err(error.into()),
    }
    let (address, size) = match configuration(thread) {
        Ok(None) => return Ok(Look::Area(None)),
        Ok(Some(configuration)) => configuration,
        Err(Errno::ESRCH) => return Ok(Look::Gone),
        Err(error) => return Err(error.into()),
    };
    // The address belongs to the program that the stopped thread runs now. The file stays with the
    // program that ran when it was opened.
    match File::open(folder.join("mem")) {
        Ok(memory) => ThreadArea::read(address, size, &memory),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(Look::Denied),
        Err(_) => Ok(Look::Gone),
    }
}

/// A thread that this program traces, until it is dropped.
struct Seized {
    thread: Pid,
    /// The signal that stopped the thread before this program did, and that it still has to get.
    signal: Option<Signal>,
}

impl Seized {
    fn new(thread: Pid) -> Result<Self, Errno> {
        ptrace::seize(thread, ptrace::Options::empty())?;
        Ok(Self {
            thread,
            signal: None,
        })
    }

    /// Stops the thread. Any stop will do.
    fn stop(&mut self) -> Result<bool, Errno> {
        ptrace::interrupt(self.thread)?;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let flags = WaitPidFlag::__WALL | WaitPidFlag::WNOHANG;
            match waitpid(self.thread, Some(flags))? {
                WaitStatus::Stopped(_, signal) => {
                    self.signal = Some(signal);
                    return Ok(true);
                }
                WaitStatus::PtraceEvent(..) | WaitStatus::PtraceSyscall(_) => return Ok(true),
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Err(Errno::ESRCH),
                WaitStatus::StillAlive | WaitStatus::Continued(_) => {
                    thread::sleep(Duration::from_micros(200));
                }
            }
        }
        Ok(false)
    }
}

impl Drop for Seized {
    fn drop(&mut self) {
        // This fails if the thread is gone or did not stop. Then the kernel detaches when this program ends.
        let _ = ptrace::detach(self.thread, self.signal);
    }
}

/// `struct ptrace_rseq_configuration`.
#[repr(C)]
#[derive(Default)]
struct Configuration {
    address: u64,
    size: u32,
    signature: u32,
    flags: u32,
    pad: u32,
}

/// Address and length of a stopped thread's area.
fn configuration(thread: Pid) -> Result<Option<(u64, u32)>, Errno> {
    const PTRACE_GET_RSEQ_CONFIGURATION: libc::c_uint = 0x420f;
    let mut configuration = Configuration::default();
    // SAFETY: The kernel writes at most as many bytes as it is told that there are.
    let ret = unsafe {
        libc::ptrace(
            PTRACE_GET_RSEQ_CONFIGURATION as _,
            thread.as_raw(),
            ptr::without_provenance_mut::<libc::c_void>(mem::size_of::<Configuration>()),
            (&raw mut configuration).cast::<libc::c_void>(),
        )
    };
    match Errno::result(ret) {
        Ok(_) => {
            Ok((configuration.address != 0).then_some((configuration.address, configuration.size)))
        }
        // The kernel has no rseq(2).
        Err(Errno::EIO | Errno::EINVAL) => Ok(None),
        Err(error) => Err(error),
    }
}

impl ThreadArea {
    fn read(address: u64, size: u32, memory: &File) -> io::Result<Look> {
        let mut flags = [0; 4];
        match memory.read_exact_at(&mut flags, address + FLAGS_OFFSET as u64) {
            Ok(()) => {}
            // The address space is empty: the process has ended since it was stopped.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Look::Gone),
            Err(error) => return Err(error),
        }
        let flags = u32::from_ne_bytes(flags);
        Ok(Look::Area(Some(Self {
            address,
            size,
            available: flags & RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE != 0,
            enabled: flags & RSEQ_CS_FLAG_SLICE_EXT_ENABLED != 0,
        })))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use nix::sys::signal::kill;

    use super::*;

    #[test]
    fn a_process_that_ends_after_its_stop_is_gone() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let memory = File::open(format!("/proc/{}/mem", child.id())).unwrap();
        // No mapping lies at the first page, but the address space is there.
        assert!(ThreadArea::read(0, 33, &memory).is_err());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(ThreadArea::read(0, 33, &memory).unwrap(), Look::Gone);
    }

    #[test]
    fn a_thread_that_ended_before_is_gone() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        let folder = format!("/proc/{pid}/task/{pid}");
        assert_eq!(look(pid as i32, Path::new(&folder)).unwrap(), Look::Gone);
    }

    #[test]
    fn a_signal_that_stops_the_thread_first_is_delivered() {
        let script = "trap 'exit 42' USR1; echo; while :; do :; done";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut ready = [0];
        child.stdout.take().unwrap().read_exact(&mut ready).unwrap();

        let pid = Pid::from_raw(child.id() as i32);
        let mut seized = Seized::new(pid).unwrap();
        kill(pid, Signal::SIGUSR1).unwrap();
        let stopped = || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            status.contains("State:\tt")
        };
        while !stopped() {
            thread::yield_now();
        }
        assert_eq!(seized.stop(), Ok(true));
        assert_eq!(seized.signal, Some(Signal::SIGUSR1));
        assert!(configuration(pid).is_ok());
        drop(seized);
        let begin = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if begin.elapsed() > Duration::from_secs(10) {
                child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(child.wait().unwrap().code(), Some(42));
    }
}
