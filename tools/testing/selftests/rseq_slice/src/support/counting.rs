// SPDX-License-Identifier: GPL-2.0

//! Per-CPU numbers, and threads that increment them in restartable sequences: a sequence that is not
//! restarted when it has to be loses a count.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use rseq_slice_harness::{Area, Control, Layout, Registration, Request, set_layout, sys};

use super::call::null_call;
use super::memory::Page;
use super::sequence::{How, Outcome, Sequence, Step};
use super::setup::{BOTH_CPUS, grant_word, request_word};
use crate::check::{check, fail};

/// Nanoseconds for which a sequence waits for a competitor.
const PATIENCE: u64 = 40_000;

/// How a sequence that counts gets to its end.
#[derive(Clone, Copy)]
pub(crate) struct Timing {
    /// What to store in the control word at the start.
    pub(crate) request: u32,
    /// Nanoseconds to wait for an answer.
    pub(crate) patience: u64,
    /// Turns of a loop between the answer and the end.
    pub(crate) work: u64,
}

impl Timing {
    fn steps(self, area: &Area) -> Vec<Step<'_>> {
        vec![
            Step::store_word(area, self.request),
            Step::wait_while_word(area, self.request, self.patience),
            Step::spin(self.work),
        ]
    }
}

/// A number for each CPU.
#[derive(Default)]
pub(crate) struct PerCpu([AtomicU64; BOTH_CPUS.len()]);

impl PerCpu {
    /// Increments the number of the CPU in a sequence that does `steps` first. Returns how it ended.
    pub(crate) fn count(&self, area: &Area, steps: Vec<Step<'_>>) -> Result<Outcome> {
        let cpu = area.cpu_id() as usize;
        check!(cpu < self.0.len(), "on CPU {cpu}");
        let outcome = Sequence::counting(area, steps, &self.0[cpu]).run(cpu)?;
        check!(
            outcome.how != How::NotRestarted,
            "a sequence was not restarted, at step {}",
            outcome.step
        );
        Ok(outcome)
    }

    /// Counts with a request in the sequence. Returns whether it was not aborted.
    ///
    /// The caller has to look at the control word afterwards: the request may be there still, and a
    /// signal aborts the sequence but does not end a grant.
    pub(crate) fn count_requesting(&self, area: &Area, timing: Timing) -> Result<bool> {
        Ok(self.count(area, timing.steps(area))?.how == How::Done)
    }

    /// Expects the sum of the counts to be the number of completed sequences.
    #[track_caller]
    pub(crate) fn ensure(&self, done: u64) -> Result<()> {
        let counts: u64 = self
            .0
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum();
        check!(
            counts == done,
            "{done} sequences counted to {counts}: some were not restarted"
        );
        Ok(())
    }
}

/// Pseudo-random numbers.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// Less than `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// A thread that counts with a request in each of its sequences, and yields the grants.
pub(crate) struct Worker {
    registration: Registration,
    layout: Layout,
    numbers: Numbers,
    outlasting: u64,
    done: u64,
    yields: u64,
}

impl Worker {
    /// The calling thread. Of a hundred sequences `outlasting` last longer than their grants.
    pub(crate) fn new(layout: Layout, seed: u64, outlasting: u64) -> Result<Self> {
        let registration = Registration::new()?;
        set_layout(Some(layout))?;
        Ok(Self {
            registration,
            layout,
            numbers: Numbers(seed),
            outlasting,
            done: 0,
            yields: 0,
        })
    }

    /// How many sequences have counted.
    pub(crate) const fn done(&self) -> u64 {
        self.done
    }

    /// How often a yield returned 1.
    pub(crate) const fn yields(&self) -> u64 {
        self.yields
    }

    /// Counts once, or is restarted. A few grants are ended by another call than the yield. Returns
    /// whether there was a grant afterwards.
    ///
    /// With `page` the sequence takes a page fault.
    pub(crate) fn section(&mut self, counts: &PerCpu, page: Option<Page>) -> Result<bool> {
        let (request, grant) = (request_word(self.layout), grant_word(self.layout));
        let chance = self.numbers.below(100);
        let area = self.registration.area();
        let timing = Timing {
            request,
            patience: PATIENCE,
            work: self.numbers.below(750),
        };
        let mut steps = timing.steps(area);
        steps.extend(page.map(Step::touch));
        if chance < self.outlasting {
            steps.push(Step::wait_while_word(area, grant, PATIENCE));
        }
        match counts.count(area, steps)?.how {
            How::Done => self.done += 1,
            How::Aborted | How::Elsewhere => {}
            How::NotRestarted => fail!("a sequence was not restarted"),
        }
        let seen = area.slice_ctrl() == grant;
        if chance >= 95 && seen {
            null_call();
        }
        let cleared = match self.layout {
            Layout::Bytes => self.registration.bytes().clear_request(),
            Layout::Bits => self.registration.bits().clear_request(),
        };
        if cleared == Request::Granted {
            self.yields += u64::from(sys::rseq_slice_yield()? == 1);
        }
        Ok(seen)
    }
}
