// SPDX-License-Identifier: GPL-2.0

//! The threads and processes of a program.

use std::ffi::{CString, c_void};
use std::mem;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use rseq_slice_diff_program::op::Op;
use rseq_slice_diff_program::program::{Program, Who};

use crate::area::{self, Own, SECOND, SUCCESSOR};
use crate::shared::shared;
use crate::steps::{self, Done};
use crate::{planned, signals, take_priority};

/// A second thread, which waits for the index of a step, does it, and says so.
struct Second {
    todo: Sender<usize>,
    done: Receiver<()>,
}

/// A process that runs a program.
pub(crate) struct Process<'a> {
    pub(crate) program: &'a Program,
    pub(crate) repetition: u32,
    second: Option<Second>,
    /// What the operation needs that leads elsewhere. Made in advance, because making it takes a good
    /// part of an extension.
    stack: Vec<u128>,
    arguments: Vec<CString>,
}

impl<'a> Process<'a> {
    /// The calling process.
    pub(crate) fn new(program: &'a Program, repetition: u32) -> Self {
        Self {
            program,
            repetition,
            second: None,
            stack: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// Makes what the steps from that index on need.
    fn prepare(&mut self, from: usize) -> Result<()> {
        /// Bytes of a stack.
        const STACK: usize = 1 << 18;
        let steps = self.program.steps().iter().enumerate().skip(from);
        let mut here = steps
            .clone()
            .take_while(|(_, step)| !step.op.goes_elsewhere());
        if self.second.is_none() && here.any(|(_, step)| step.who == Who::Second) {
            self.second = Some(start_second(self.program.clone(), self.repetition));
        }
        match steps
            .map(|(index, step)| (index, &step.op))
            .find(|(_, op)| op.goes_elsewhere())
        {
            // What a first thread takes from the kernel is kept for the next one.
            Some((_, Op::Thread)) => thread::scope(|scope| drop(scope.spawn(|| {}).join())),
            Some((_, Op::Vfork)) => self.stack = vec![0; STACK / size_of::<u128>()],
            Some((index, Op::Exec)) => self.arguments = self.arguments(index + 1)?,
            _ => {}
        }
        Ok(())
    }

    fn arguments(&self, next: usize) -> Result<Vec<CString>> {
        let arguments = [
            "/proc/self/exe".to_owned(),
            "--resume".to_owned(),
            next.to_string(),
            self.repetition.to_string(),
            self.program.to_string(),
        ];
        Ok(arguments
            .into_iter()
            .map(CString::new)
            .collect::<Result<_, _>>()?)
    }

    /// Does the steps from that index on, here or wherever they lead to.
    pub(crate) fn run(&mut self, from: usize) -> Result<()> {
        self.prepare(from)?;
        for (index, step) in self.program.steps().iter().enumerate().skip(from) {
            if step.op.goes_elsewhere() {
                // The totals now, because what follows adds to them.
                steps::complete(index, &Done::from(0));
                let result = self.go_elsewhere(&step.op, index + 1)?;
                shared().slot(index).amend(result);
                return Ok(());
            }
            match step.who {
                Who::Main => perform(self.program, index, self.repetition),
                Who::Second => self.perform_in_second(index)?,
            }
        }
        planned::await_all()
    }

    fn perform_in_second(&self, index: usize) -> Result<()> {
        if let Some(second) = &self.second {
            second.todo.send(index)?;
            second.done.recv()?;
        }
        Ok(())
    }

    fn go_elsewhere(&mut self, op: &Op, next: usize) -> Result<i64> {
        match op {
            Op::Fork => self.fork(next),
            Op::Thread => self.thread(next),
            Op::Vfork => self.vfork(next),
            _ => self.exec(),
        }
    }

    fn fork(&mut self, next: usize) -> Result<i64> {
        // SAFETY: The C library makes its allocator usable in the child, which needs no other lock.
        match unsafe { fork() } {
            Ok(ForkResult::Parent { child }) => status(child),
            Ok(ForkResult::Child) => {
                // The second thread is the parent's.
                mem::forget(self.second.take());
                signals::start();
                let ran = self.run(next);
                // SAFETY: Ends the process without running the exit handlers of its parent.
                unsafe { libc::_exit(i32::from(ran.is_err())) }
            }
            Err(errno) => Ok(-i64::from(errno as i32)),
        }
    }

    fn thread(&mut self, next: usize) -> Result<i64> {
        thread::scope(|scope| {
            let successor = scope.spawn(|| {
                area::use_page(Own::page(SUCCESSOR));
                self.run(next)
            });
            Ok(successor
                .join()
                .map_or(-2, |ran| if ran.is_ok() { 0 } else { -1 }))
        })
    }

    fn vfork(&mut self, next: usize) -> Result<i64> {
        extern "C" fn child(argument: *mut c_void) -> i32 {
            // SAFETY: The parent passes a pointer to this and waits until this process has ended.
            let (process, next) = unsafe { &mut *argument.cast::<(&mut Process<'_>, usize)>() };
            i32::from(process.run(*next).is_err())
        }

        let mut stack = mem::take(&mut self.stack);
        let mut argument = (&mut *self, next);
        // The storage of threads is the parent's as well.
        let before = area::use_page(Own::page(SUCCESSOR));
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let top = stack.as_mut_ptr_range().end.cast();
        // SAFETY: The child has a stack of its own, and the parent does not run before the child has
        // ended.
        let pid = unsafe { libc::clone(child, top, flags, (&raw mut argument).cast()) };
        area::use_page(before);
        if pid < 0 {
            return Ok(-i64::from(Errno::last_raw()));
        }
        status(Pid::from_raw(pid))
    }

    fn exec(&mut self) -> Result<i64> {
        let arguments = &self.arguments;
        match nix::unistd::execv(&arguments[0], arguments) {
            Ok(never) => match never {},
            Err(errno) => Ok(-i64::from(errno as i32)),
        }
    }
}

fn perform(program: &Program, index: usize, repetition: u32) {
    let result = steps::perform(&program.steps()[index], index, repetition);
    steps::complete(index, &result);
}

fn start_second(program: Program, repetition: u32) -> Second {
    let (todo, steps) = channel();
    let (finished, done) = channel();
    thread::spawn(move || {
        area::use_page(Own::page(SECOND));
        take_priority();
        while let Ok(index) = steps.recv() {
            perform(&program, index, repetition);
            if finished.send(()).is_err() {
                return;
            }
        }
    });
    Second { todo, done }
}

/// Waits for a child and returns its exit status, or 1000 and the number of the signal.
fn status(child: Pid) -> Result<i64> {
    Ok(match waitpid(child, None) {
        Ok(WaitStatus::Exited(_, status)) => status.into(),
        Ok(WaitStatus::Signaled(_, signal, _)) => 1000 + signal as i64,
        _ => -1,
    })
}
