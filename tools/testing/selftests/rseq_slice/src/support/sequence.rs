// SPDX-License-Identifier: GPL-2.0

//! Restartable sequences that do what a list of steps says, and notice when they are not restarted
//! although another thread had the CPU since their start.

#[cfg(target_arch = "x86_64")]
mod x86_64;

use std::marker::PhantomData;
use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::Result;
use rseq_slice_harness::Area;
use rseq_slice_harness::clock::ticks_in;

#[cfg(target_arch = "x86_64")]
pub(crate) use self::x86_64::probe_addresses;
use super::assembly::SLICE_CTRL;
use super::memory::Page;
use crate::check::fail;

/// The codes of the steps.
const END: u64 = 0;
const STORE: u64 = 1;
const TOUCH: u64 = 2;
const SPIN: u64 = 3;
const WAIT_WHILE: u64 = 4;
const STAMP: u64 = 5;
const UNTIL: u64 = 6;

/// What a sequence does next.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Step<'a> {
    code: u64,
    at: *const u32,
    value: u64,
    ticks: u64,
    lives: PhantomData<&'a AtomicU32>,
}

impl<'a> Step<'a> {
    const SIZE: usize = 32;

    const fn new(code: u64, at: *const u32, value: u64, ticks: u64) -> Self {
        Self {
            code,
            at,
            value,
            ticks,
            lives: PhantomData,
        }
    }

    pub(crate) fn store(at: &'a AtomicU32, value: u32) -> Self {
        Self::new(STORE, at.as_ptr(), value.into(), 0)
    }

    /// Stores to the control word.
    pub(crate) fn store_word(area: &'a Area, value: u32) -> Self {
        Self::new(STORE, word_of(area), value.into(), 0)
    }

    /// Writes to a page.
    pub(crate) fn touch(page: Page) -> Self {
        Self::new(TOUCH, page.area().as_ptr().cast(), 0, 0)
    }

    /// Takes twice as many instructions, with no pause for the other CPU.
    pub(crate) fn spin(turns: u64) -> Self {
        Self::new(SPIN, ptr::null(), turns.max(1), 0)
    }

    /// Waits until there is another value, for at most `nanos`.
    pub(crate) fn wait_while(at: &'a AtomicU32, value: u32, nanos: u64) -> Self {
        Self::new(WAIT_WHILE, at.as_ptr(), value.into(), ticks_in(nanos))
    }

    /// Waits until the control word has another value, for at most `nanos`.
    pub(crate) fn wait_while_word(area: &'a Area, value: u32, nanos: u64) -> Self {
        Self::new(WAIT_WHILE, word_of(area), value.into(), ticks_in(nanos))
    }

    /// Notes the time.
    pub(crate) fn stamp(at: &'a AtomicU64) -> Self {
        Self::new(STAMP, at.as_ptr().cast(), 0, 0)
    }

    /// Waits until `nanos` after the noted time.
    pub(crate) fn until(at: &'a AtomicU64, nanos: u64) -> Self {
        Self::new(UNTIL, at.as_ptr().cast(), ticks_in(nanos), 0)
    }
}

fn word_of(area: &Area) -> *const u32 {
    ptr::from_ref(area).wrapping_byte_add(SLICE_CTRL).cast()
}

/// How often another thread had the CPU of a setup, or its thread handled a signal or was the target of
/// membarrier(2).
static INTERFERENCES: AtomicU64 = AtomicU64::new(0);

/// Notes that a sequence on the CPU of a setup which has begun before has to be restarted.
pub(crate) fn interfere() {
    INTERFERENCES.fetch_add(1, Ordering::Relaxed);
}

/// How often that was noted.
pub(crate) fn interferences() -> u64 {
    INTERFERENCES.load(Ordering::Relaxed)
}

/// How a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// It has done all and committed.
    Done,
    /// The kernel aborted it.
    Aborted,
    /// It was not aborted although it had to be.
    NotRestarted,
    /// It began on another CPU than it was to.
    Elsewhere,
}

/// What came of a sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) how: How,
    /// The step that it was at.
    pub(crate) step: usize,
    /// What the system call behind the last instruction returned.
    pub(crate) called: i64,
}

/// A restartable sequence.
pub(crate) struct Sequence<'a> {
    area: &'a Area,
    steps: Vec<Step<'a>>,
    /// If that has changed, the sequence has to be restarted.
    watched: &'a AtomicU64,
    /// Its last instruction stores there what it has seen of `watched`, plus 1.
    committed: &'a AtomicU64,
    /// The number of the system call that follows the last instruction, or 0.
    call: i64,
}

impl<'a> Sequence<'a> {
    /// A sequence on the CPU of a setup.
    pub(crate) fn new(area: &'a Area, steps: Vec<Step<'a>>) -> Self {
        static COMMITTED: AtomicU64 = AtomicU64::new(0);
        Self::on(area, steps, &INTERFERENCES, &COMMITTED)
    }

    /// A sequence that counts up what all threads that run on the CPU count up in this way.
    pub(crate) fn counting(area: &'a Area, steps: Vec<Step<'a>>, count: &'a AtomicU64) -> Self {
        Self::on(area, steps, count, count)
    }

    fn on(
        area: &'a Area,
        mut steps: Vec<Step<'a>>,
        watched: &'a AtomicU64,
        committed: &'a AtomicU64,
    ) -> Self {
        steps.push(Step::new(END, ptr::null(), 0, 0));
        Self {
            area,
            steps,
            watched,
            committed,
            call: 0,
        }
    }

    /// Makes that system call right behind the last instruction.
    pub(crate) fn then_call(self, call: i64) -> Self {
        Self { call, ..self }
    }

    /// Runs the sequence, which is to begin on `cpu`.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn run(&self, cpu: usize) -> Result<Outcome> {
        use x86_64::{
            ABORTED, Answer, DONE, ELSEWHERE, NOT_RESTARTED, Program, rseq_slice_sequence,
        };

        const { assert!(size_of::<Step<'_>>() == Step::SIZE) };
        let program = Program {
            steps: self.steps.as_ptr().cast(),
            watched: self.watched.as_ptr(),
            committed: self.committed.as_ptr(),
            cpu: cpu as u64,
            call: self.call,
        };
        let mut answer = Answer::default();
        // SAFETY: The area is the thread's own and registered with that signature; what the steps
        // point to lives as long as they do; the function keeps to the calling convention.
        unsafe { rseq_slice_sequence(self.area, &raw const program, &raw mut answer) };
        let how = match answer.how {
            DONE => How::Done,
            ABORTED => How::Aborted,
            NOT_RESTARTED => How::NotRestarted,
            ELSEWHERE => How::Elsewhere,
            other => fail!("a sequence ended with {other}"),
        };
        let begun = (answer.next - program.steps.addr()) / Step::SIZE;
        Ok(Outcome {
            how,
            step: begun.saturating_sub(1),
            called: answer.called,
        })
    }

    /// Runs the sequence, which is to begin on `cpu`.
    #[cfg(not(target_arch = "x86_64"))]
    pub(crate) fn run(&self, _: usize) -> Result<Outcome> {
        Err(crate::case::Skip("knows no instructions of this architecture".into()).into())
    }
}
