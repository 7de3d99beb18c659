// SPDX-License-Identifier: GPL-2.0

//! Runs each program the given number of times, each in a new process, and prints the outcomes.

use std::fmt::Write as _;
use std::io::{Write as _, stdout};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, setpgid};
use rseq_slice_diff_program::outcome::{End, How, Line, Outcome, Samples};
use rseq_slice_diff_program::program::Program;
use rseq_slice_harness::child::{die_of_segv, ends_within, prepare_for_deaths};
use rseq_slice_harness::clock;
use rseq_slice_harness::timer::{monotonic, sleep_until};
use rseq_slice_harness::{Counters, counters, implementation};

use crate::process::Process;
use crate::shared::{self, shared};
use crate::{area, competitors, fresh, knobs, planned, signals, steps, take_priority};

/// Guest time that one run may take.
const LIMIT: Duration = Duration::from_millis(300);
/// Bytes of the report that are kept back, so that the console has nothing to do while programs run.
const BUFFER: usize = 1 << 14;

/// A report that is printed now and then.
struct Report {
    text: String,
    buffer: usize,
}

impl Report {
    fn add(&mut self, line: &Line) -> Result<()> {
        writeln!(self.text, "{line}")?;
        if self.text.len() < self.buffer {
            Ok(())
        } else {
            self.print()
        }
    }

    /// Prints it and waits until it is out.
    fn print(&mut self) -> Result<()> {
        let mut out = stdout();
        out.write_all(self.text.as_bytes())?;
        out.flush()?;
        self.text.clear();
        // SAFETY: The call takes no pointer. It fails where standard output is no terminal.
        unsafe { libc::tcdrain(libc::STDOUT_FILENO) };
        Ok(())
    }
}

/// Runs the programs of a text. With `each`, no program begins before the last is reported.
pub(crate) fn run(text: &str, each: bool) -> Result<()> {
    set_up()?;
    let mut report = Report {
        text: String::new(),
        buffer: if each { 0 } else { BUFFER },
    };
    report.add(&Line::Kernel(implementation()?))?;
    knobs::restore()?;
    let mut last = counters()?;
    for line in text.lines() {
        let (number, repetitions, program) = parse(line).with_context(|| line.to_owned())?;
        repeat(number, repetitions, &program, &mut last, &mut report)
            .with_context(|| line.to_owned())?;
    }
    report.add(&Line::End)?;
    report.print()
}

fn parse(line: &str) -> Result<(usize, u32, Program)> {
    let mut parts = line.splitn(3, ' ');
    let mut part = || parts.next().context("a part is missing");
    Ok((part()?.parse()?, part()?.parse()?, part()?.parse()?))
}

fn set_up() -> Result<()> {
    prepare_for_deaths()?;
    planned::take_place()?;
    shared::create()?;
    shared().speed.store(clock::speed(), SeqCst);
    area::create()?;
    fresh::create()?;
    competitors::start()
}

/// `last` are the counters at the end of the last run.
fn repeat(
    number: usize,
    repetitions: u32,
    program: &Program,
    last: &mut Counters,
    report: &mut Report,
) -> Result<()> {
    let mut samples = Samples::new();
    let mut broken = None;
    for repetition in 0..repetitions {
        shared().reset();
        let how = in_child(program, repetition)?;
        planned::await_all()?;
        competitors::rest()?;
        let now = counters()?;
        let counted = now - *last;
        *last = now;
        let end = end(how, counted)?;
        broken = broken.or(end.broken_rule(counted.died));
        if shared().not_restarted.load(SeqCst) != 0 {
            let rule = || format!("a sequence was not restarted in repetition {repetition}: {end}");
            broken = broken.or_else(|| Some(rule()));
        }
        let steps = shared().seen();
        *samples.entry(Outcome { steps, end }).or_default() += 1;
    }
    for (outcome, count) in samples {
        report.add(&Line::Outcome(number, count, outcome))?;
    }
    if let Some(rule) = broken {
        report.add(&Line::Broken(number, rule))?;
    }
    report.add(&Line::Done(number))
}

fn end(how: How, counted: Counters) -> Result<End> {
    let (length, debug) = knobs::read()?;
    if (length, debug) != knobs::DEFAULTS {
        knobs::restore()?;
    }
    // To both kernels the same, whether they count deaths or not.
    let deaths_apart = Counters {
        died: None,
        ..counted
    };
    Ok(End {
        how,
        competitor: shared().competitor_since(),
        length,
        debug,
        granted: counted.granted,
        expired: counted.expired,
        revoked: counted.revoked,
        yielded: counted.yielded,
        aborted: counted.aborted,
        unaccounted: deaths_apart.without_end(),
    })
}

fn in_child(program: &Program, repetition: u32) -> Result<How> {
    // SAFETY: This process has a single thread.
    let child = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let ran = prepare().and_then(|()| Process::new(program, repetition).run(0));
            // SAFETY: Ends the process without running the exit handlers of its parent.
            unsafe { libc::_exit(i32::from(ran.is_err())) }
        }
    };
    // Both do it, so that it does not matter which of them runs first.
    let _ = setpgid(child, child);
    let in_time = ends_within(child.as_raw(), LIMIT)?;
    if !in_time {
        let _ = killpg(child, Signal::SIGKILL);
    }
    let status = waitpid(child, None)?;
    let in_time = in_time && others_exit_in_time(child)?;
    Ok(match status {
        _ if !in_time => How::Timeout,
        WaitStatus::Exited(_, status) => How::Exit(status),
        WaitStatus::Signaled(_, signal, _) => How::Signal(signal as i32),
        _ => How::Timeout,
    })
}

/// Waits for the other processes of the program when the first has ended, and kills those that stay.
fn others_exit_in_time(group: Pid) -> Result<bool> {
    let others = Pid::from_raw(-group.as_raw());
    for _ in 0..LIMIT.as_millis() {
        match waitpid(others, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => sleep_until(monotonic()? + 1_000_000)?,
            Ok(_) => {}
            Err(_) => return Ok(true),
        }
    }
    let _ = killpg(group, Signal::SIGKILL);
    while waitpid(others, None).is_ok() {}
    Ok(false)
}

fn prepare() -> Result<()> {
    let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
    die_of_segv()?;
    signals::start();
    take_priority();
    steps::warm_up();
    Ok(())
}
