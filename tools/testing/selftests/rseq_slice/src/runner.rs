// SPDX-License-Identifier: GPL-2.0

//! Runs each case in a process group of its own, with a time limit.

use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe, setpgid};
use rseq_slice_harness::child::{die_of_segv, ends_within};
use rseq_slice_harness::{counters, set_extension_length};

use crate::case::{Case, Skip, Verdict};
use crate::env::Env;
use crate::expected::excuse;
use crate::kmsg::Kmsg;
use crate::ktap::diagnose;
use crate::mapped::map_program;
use crate::support::contained;

/// Guest time that a case may take. A long churn has more, the most where each of its grants takes a
/// whole slice.
fn limit(env: Env) -> Duration {
    const CASE: u64 = 20_000_000;
    let per_grant = match env.kernel.realtime {
        false => 250,
        true => 10_000,
    };
    Duration::from_micros(CASE + env.grants * per_grant)
}

/// Nanoseconds of an extension for the cases that set none: enough for the few instructions that a case
/// runs inside of a grant.
const LENGTH: u32 = 20_000;
/// The same on a kernel with checks on its exit path.
const LENGTH_WITH_CHECKS: u32 = 50_000;

const FAILED: i32 = 1;
const SKIPPED: i32 = 4;

/// How often a case is tried on a kernel that disturbs it, unless it is expected to fail.
const ATTEMPTS: u32 = 5;

/// Runs `case` and leaves nothing of it behind.
///
/// What the kernel itself gets wrong fails at once, without another attempt.
pub(crate) fn run(case: &Case, env: Env) -> Result<Verdict> {
    let retries = env.kernel.disturbs() && excuse(case, env.kernel).is_none();
    let mut left = if retries { ATTEMPTS } else { 1 };
    loop {
        let (verdict, wrong) = attempt(case, env)?;
        left -= 1;
        match (verdict, wrong) {
            (_, Some(wrong)) => return Ok(Verdict::Failed(wrong)),
            (Verdict::Failed(why), None) if left > 0 => diagnose(format_args!("again: {why}")),
            (verdict, None) => return Ok(verdict),
        }
    }
}

/// What came of the case, and what the kernel got wrong.
fn attempt(case: &Case, env: Env) -> Result<(Verdict, Option<String>)> {
    let kernel = env.kernel;
    let mut kmsg = Kmsg::open()?;
    let before = kernel.counts.then(counters).transpose()?;
    if case.needs().grants() {
        set_extension_length(match kernel.checks {
            None => LENGTH,
            Some(_) => LENGTH_WITH_CHECKS,
        })?;
    }
    let verdict = in_child(case, env)?;
    kernel.restore().context("cannot restore the settings")?;
    let mut wrong = kmsg
        .splat()?
        .map(|splat| format!("the kernel says: {splat}"));
    if let (Verdict::Passed, Some(before)) = (&verdict, before) {
        wrong = wrong.or(kernel.imbalance(counters()? - before));
    }
    Ok((verdict, wrong))
}

fn in_child(case: &Case, env: Env) -> Result<Verdict> {
    let (reader, writer) = pipe()?;
    let (mut reader, mut writer) = (File::from(reader), File::from(writer));
    io::stdout().flush()?;
    // SAFETY: This process has a single thread.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            drop(reader);
            let code = match prepare().and_then(|()| contained(|| case.run(env))) {
                Ok(()) => 0,
                Err(error) => {
                    let _ = write!(writer, "{error:#}");
                    if error.is::<Skip>() { SKIPPED } else { FAILED }
                }
            };
            let _ = io::stdout().flush();
            // SAFETY: Ends the process without running the exit handlers of its parent.
            unsafe { libc::_exit(code) }
        }
    };
    drop(writer);

    let limit = limit(env);
    let in_time = ends_within(child.as_raw(), limit)?;
    // The child may have failed before it had a group of its own.
    let _ = killpg(child, Signal::SIGKILL);
    if !in_time {
        let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
    }
    let status = waitpid(child, None)?;
    // The processes that are left belong to the case and were killed with its group.
    while waitpid(None::<Pid>, None).is_ok() {}

    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    Ok(match status {
        _ if !in_time => Verdict::Failed(format!("did not end within {limit:?}")),
        WaitStatus::Exited(_, 0) => Verdict::Passed,
        WaitStatus::Exited(_, SKIPPED) => Verdict::Skipped(text),
        WaitStatus::Exited(_, FAILED) => Verdict::Failed(text),
        WaitStatus::Signaled(_, signal, _) => Verdict::Failed(format!("killed by {signal}")),
        other => Verdict::Failed(format!("ended with {other:?}")),
    })
}

/// Makes the child the leader of a process group, has SIGSEGV kill it, and maps its program.
fn prepare() -> Result<()> {
    setpgid(Pid::from_raw(0), Pid::from_raw(0))?;
    die_of_segv()?;
    map_program()
}
