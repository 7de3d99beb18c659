// SPDX-License-Identifier: GPL-2.0

//! A grant ends while its thread is about to yield.
//!
//! Between the look at the control word and the system call the CPU may be taken at every
//! instruction: the yield must not claim then that it gave the CPU up. The same holds after the yield
//! has entered the kernel and before the grant is ended there; furthermore the CPU must not be given
//! up again.

use std::ops::Range;

use anyhow::{Context, Result};
use rseq_slice_harness::timer::Due;
use rseq_slice_harness::{Counters, Layout, set_extension_length};

use crate::case::{Needs, Test, both};
use crate::check::{check, fail};
use crate::env::Env;
use crate::ktap::diagnose;
use crate::support::{CPU, Competitor, CounterDelta, INSTRUCTIONS, Setup, Walk, soon, walk};

pub(crate) const TESTS: &[Test] = &[
    both(
        "expiry_before_entry_is_not_claimed",
        Needs::On,
        |env, layout| window(env, layout, Taker::Timer),
    )
    .tolerates(&[]),
    both(
        "wakeup_before_entry_is_not_claimed",
        Needs::On,
        |env, layout| window(env, layout, Taker::Competitor),
    )
    .tolerates(&[]),
    both(
        "expiry_in_entry_reschedules_once",
        Needs::On,
        |env, layout| entry(env, layout, Taker::Timer),
    )
    .tolerates(&[]),
    both(
        "wakeup_in_entry_reschedules_once",
        Needs::On,
        |env, layout| entry(env, layout, Taker::Competitor),
    )
    .tolerates(&[]),
];

/// Who takes the CPU away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taker {
    /// The timer of the grant.
    Timer,
    /// A second competitor.
    Competitor,
}

/// Nanoseconds from the first competitor's wakeup to the second's.
const APART: u64 = 10_000;
/// The longest delay that a search considers, in instructions.
const LONGEST: u64 = 20_000;

struct Race {
    env: Env,
    setup: Setup,
    layout: Layout,
    competitor: Competitor,
    second: Competitor,
    taker: Taker,
}

/// A walk whose request was granted.
#[derive(Clone, Copy)]
struct Step {
    walk: Walk,
    tally: Counters,
}

impl Step {
    /// The word showed no grant any more.
    fn is_late(&self) -> bool {
        self.walk.yielded.is_none()
    }

    /// The kernel took the CPU away and accepted the yield nevertheless.
    fn is_double(&self) -> bool {
        self.tally.expired == 1 && self.tally.yielded == 1
    }

    /// The CPU was taken between the system call and the end of the grant by it.
    fn is_in_entry(&self) -> bool {
        self.walk.yielded == Some(0) && self.walk.interrupted.is_none()
    }
}

impl Race {
    fn new(env: Env, layout: Layout, taker: Taker) -> Result<Self> {
        set_extension_length(match taker {
            Taker::Timer => 10_000,
            Taker::Competitor => 50_000,
        })?;
        Ok(Self {
            env,
            setup: Setup::new(env, layout)?,
            layout,
            competitor: Competitor::new(env, CPU)?,
            second: Competitor::new(env, CPU)?,
            taker,
        })
    }

    /// Walks through the window once. Other work may refuse a request, which is then made again.
    fn step(&self, delay: u64) -> Result<Step> {
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            if let Some(step) = self.attempt(delay)? {
                return Ok(step);
            }
        }
        fail!("{ATTEMPTS} requests in a row were refused")
    }

    /// `None`: the request was refused.
    fn attempt(&self, delay: u64) -> Result<Option<Step>> {
        let delta = CounterDelta::start()?;
        let runs = (self.competitor.runs(), self.second.runs());
        let due = soon(self.env)?;
        if self.taker == Taker::Competitor {
            self.second.wake(Due::At(due + APART))?;
        }
        self.competitor.wake(Due::At(due))?;
        let walk = walk(&self.setup, self.layout, delay)?;
        self.setup.area().set_rseq_cs(0);
        let word = self.setup.word();
        if self.taker == Taker::Competitor {
            self.second.ensure_runs(runs.1 + 1)?;
        }
        let tally = delta.tally()?;
        check!(
            self.competitor.runs() == runs.0 + 1,
            "the competitor did not run"
        );
        check!(word == 0, "the word is {word:#x}");
        if !walk.obtained && walk.yielded.is_none() && tally == Counters::NOTHING {
            return Ok(None);
        }
        check!(
            walk.obtained && tally.granted == 1,
            "no grant: {walk:?}, {tally:?}"
        );
        Ok(Some(Step { walk, tally }))
    }

    /// How a grant ends that is not yielded.
    fn taken(&self) -> Counters {
        match self.taker {
            Taker::Timer => Counters::expiries(1),
            Taker::Competitor => Counters::revokes(1),
        }
    }

    /// Either the yield ended the grant, or the taker did.
    fn judge(&self, step: &Step) -> Result<()> {
        match step.walk.yielded {
            Some(1) => {
                check!(step.tally == Counters::yields(1) && step.walk.interrupted.is_none())
            }
            Some(0) | None => check!(step.tally == self.taken()),
            Some(other) => fail!("returned {other}"),
        }
        Ok(())
    }

    /// A delay after which the word still showed a grant, and the next one, after which it did not.
    fn find(&self) -> Result<Range<u64>> {
        let (mut early, mut late) = (4, LONGEST);
        let in_time = self.step(early)?;
        check!(in_time.walk.yielded == Some(1), "{:?}", in_time.walk);
        self.judge(&in_time)?;
        check!(
            self.step(late)?.is_late(),
            "in time after {late} instructions"
        );
        while late - early > 1 {
            let middle = early.midpoint(late);
            if self.step(middle)?.is_late() {
                late = middle;
            } else {
                early = middle;
            }
        }
        Ok(early..late)
    }
}

/// The interrupt comes in front of every instruction of the window, and what follows is right.
fn window(env: Env, layout: Layout, taker: Taker) -> Result<()> {
    /// How far the moments of two walks with the same delay are apart at most, in instructions.
    const AROUND: u64 = 60;
    const ROUNDS: usize = 12;
    /// So much earlier the yield is in time, in instructions.
    const EARLIER: u64 = 600;
    let race = Race::new(env, layout, taker)?;
    let edge = race.find()?;
    let (mut hits, mut yields, mut late, mut entered) = ([0; INSTRUCTIONS.len()], 0, 0, 0);
    for _ in 0..ROUNDS {
        let in_time = (edge.start - EARLIER..edge.start - EARLIER / 2).step_by(30);
        for delay in in_time.chain(edge.start - AROUND..edge.end + AROUND / 2) {
            let step = race.step(delay)?;
            if let Some(hit) = step.walk.interrupted {
                hits[hit] += 1;
                // In front of the read: it finds no grant. Later: the yield finds none.
                let seen = step.walk.yielded.is_some();
                check!(seen == (hit > 0), "{hit}: {:?}", step.walk);
                race.judge(&step).with_context(|| {
                    format!(
                        "taken at {}: {:?}, {:?}",
                        INSTRUCTIONS[hit], step.walk, step.tally
                    )
                })?;
            } else if step.is_late() {
                late += 1;
            } else if step.walk.yielded == Some(1) {
                yields += 1;
            } else {
                entered += 1;
            }
        }
    }
    let at: Vec<_> = INSTRUCTIONS
        .iter()
        .zip(hits)
        .map(|(instruction, hits)| format!("{instruction} {hits}"))
        .collect();
    diagnose(format_args!(
        "yielded {yields}, taken in the kernel {entered}, taken before {late}, taken in front of: {}",
        at.join(", ")
    ));
    check!(yields > 0 && late > 0, "missed the moment");
    check!(
        hits.iter().all(|&hits| hits > 0),
        "missed an instruction: {at:?}"
    );
    Ok(())
}

/// The interrupt comes at any moment of system call entry, and the CPU is given up once.
fn entry(env: Env, layout: Layout, taker: Taker) -> Result<()> {
    const BEFORE: u64 = 1_500;
    const AFTER: u64 = 100;
    const STEP: usize = 4;
    let race = Race::new(env, layout, taker)?;
    let edge = race.find()?;
    let delays = (edge.start - BEFORE..edge.end + AFTER).step_by(STEP);
    let (mut grants, mut yields, mut late, mut entered) = (0, 0, 0, 0);
    let (mut double, mut first_wrong) = (0, None);
    for delay in delays {
        let step = race.step(delay)?;
        grants += 1;
        yields += u32::from(step.walk.yielded == Some(1));
        late += u32::from(step.is_late());
        entered += u32::from(step.is_in_entry());
        double += u32::from(step.is_double());
        if let (Err(error), None) = (race.judge(&step), &first_wrong) {
            first_wrong = Some(format!("{error}: {:?}, {:?}", step.walk, step.tally));
        }
    }
    diagnose(format_args!(
        "of {grants} grants yielded {yields}, taken in the kernel {entered}, taken before {late}, \
         expired and yielded {double}"
    ));
    if let Some(wrong) = first_wrong {
        fail!("{double} grants of {grants} expired and yielded; first: {wrong}");
    }
    check!(
        yields > 10 && late > 10 && entered > 0,
        "missed the moment: {yields}, {late}, {entered}"
    );
    Ok(())
}
