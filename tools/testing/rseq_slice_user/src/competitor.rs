// SPDX-License-Identifier: GPL-2.0

//! Provokes grants: another thread wants the CPU all the time.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rseq_slice::{begin, control_word, end};

/// A process that computes on the CPU that the caller stays on from now on.
pub(crate) struct Competitor(libc::pid_t);

impl Competitor {
    pub(crate) fn start() -> Result<Self> {
        stay_on_first_cpu()?;
        let parent = std::process::id();
        // SAFETY: The child makes system calls only.
        match unsafe { libc::fork() } {
            -1 => bail!("fork: {}", std::io::Error::last_os_error()),
            0 => {
                // SAFETY: The call takes no pointers.
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                // The caller may be gone before that.
                while parent_is(parent) {
                    compute(1_000_000);
                }
                // SAFETY: The call ends the process.
                unsafe { libc::_exit(0) };
            }
            pid => Ok(Self(pid)),
        }
    }
}

impl Drop for Competitor {
    fn drop(&mut self) {
        // SAFETY: The process is a child that nobody has waited for.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: The call does not write to a null pointer for the status.
        unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
    }
}

fn parent_is(pid: u32) -> bool {
    // SAFETY: The call takes no arguments.
    let parent = unsafe { libc::getppid() };
    u32::try_from(parent) == Ok(pid)
}

fn stay_on_first_cpu() -> Result<()> {
    // SAFETY: The set is one of plain numbers, for which 0 is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: The first CPU is in the set's range.
    unsafe { libc::CPU_SET(0, &mut set) };
    // SAFETY: The set is as long as stated.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
    ensure!(
        result == 0,
        "sched_setaffinity: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}

/// A section of that many rounds.
pub(crate) fn compute(rounds: u32) {
    for round in 0..rounds {
        black_box(round);
    }
}

/// Sections until `wanted` grants were yielded; needs a [`Competitor`].
pub(crate) fn grants(wanted: u32) -> Result<()> {
    let word = control_word().context("the extension is off in this thread")?;
    // SAFETY: A control word is two bytes long.
    let granted = unsafe { word.add(1) };
    granted_in(wanted, || {
        let token = begin();
        ensure!(token.is_outermost(), "a section is open that nobody began");
        compute(1000);
        // SAFETY: The control word of this thread.
        let there = unsafe { granted.read_volatile() } != 0;
        end(token);
        at_rest()?;
        Ok(there)
    })
}

/// Calls `section`, which tells whether it was granted an extension, until `wanted` were.
pub(crate) fn granted_in(wanted: u32, mut section: impl FnMut() -> Result<bool>) -> Result<()> {
    let before = Instant::now();
    let mut seen = 0;
    while seen < wanted {
        ensure!(
            before.elapsed() < Duration::from_secs(2),
            "only {seen} of {wanted} grants in 2 s"
        );
        for _ in 0..100 {
            seen += u32::from(section()?);
        }
    }
    Ok(())
}

/// Neither a request nor a grant.
pub(crate) fn at_rest() -> Result<()> {
    let word = control_word().context("the extension is off in this thread")?;
    // SAFETY: The control word of this thread.
    let request = unsafe { word.read_volatile() };
    // SAFETY: It is two bytes long.
    let granted = unsafe { word.add(1) };
    // SAFETY: The second byte of this thread's control word.
    let granted = unsafe { granted.read_volatile() };
    ensure!(
        (request, granted) == (0, 0),
        "the word at rest is {request}, {granted}"
    );
    Ok(())
}
