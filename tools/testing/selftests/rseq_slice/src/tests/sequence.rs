// SPDX-License-Identifier: GPL-2.0

//! Restartable sequences at every step of a grant's life: one is restarted exactly if its thread was
//! switched out, moved, or the target of a signal or of membarrier(2) in it. An expiry in the kernel restarts it as well on the
//! Rust implementation, even if the scheduler picks the same thread again.

mod attribute_changes;
mod expiry;
mod storm;

use std::sync::atomic::AtomicU64;

use anyhow::{Context, Result};
use nix::sched::sched_yield;
use rseq_slice_harness::abi::NR_RSEQ_SLICE_YIELD;
use rseq_slice_harness::timer::Due;
use rseq_slice_harness::{Counters, Implementation, Layout, set_extension_length, sys};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::ktap::diagnose;
use crate::support::{
    CPU, CounterDelta, DROP, How, MEMBARRIER, MIGRATE, OrderedSetup, Outcome, PATIENCE, PREEMPT,
    Page, RECLASS, SIGNAL, Sequence, Step, grant_word, hits, interferences, request_word, soon,
    switches,
};

pub(crate) use attribute_changes::TESTS as CHANGES;
pub(crate) use expiry::TESTS as EXPIRY;
pub(crate) use storm::TESTS as STORM;

macro_rules! tests {
    ($($name:literal: $moment:ident,)*) => {
        pub(crate) const TESTS: &[Test] = &[$(
            both($name, Needs::OnTwoCpus, |env, layout| {
                all(env, layout, Moment::$moment)
            })
            .tolerates(&[]),
        )*];
    };
}

tests! {
    "restarts_when_due_before_request": Before,
    "restarts_when_due_with_request": Requested,
    "restarts_when_due_in_fault_of_grant": FaultOfGrant,
    "restarts_when_due_in_grant": Granted,
    "restarts_when_due_after_expiry": Expired,
    "restarts_when_due_after_expiry_in_kernel": ExpiredInKernel,
    "restarts_when_due_after_revocation": Revoked,
    "restarts_when_due_at_yield": AtYield,
}

/// Where in the life of a grant something happens to the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    Before,
    /// Nothing else requests a reschedule: the event itself may cause the grant.
    Requested,
    /// While the decision waits for the page of the area.
    FaultOfGrant,
    Granted,
    Expired,
    /// The expiry comes about when the thread has a page fault of its own.
    ExpiredInKernel,
    /// A second reschedule has revoked the grant.
    Revoked,
    /// About the last instruction of the sequence, behind which is the yield.
    AtYield,
}

/// What requests the reschedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Competitor,
    /// Nobody wants the CPU.
    Reclass,
}

/// One way through a sequence.
#[derive(Clone, Copy, Debug)]
struct Trial {
    layout: Layout,
    moment: Moment,
    source: Source,
    /// What happens then, or 0.
    event: u32,
    /// The page of the area is dropped before.
    drop: bool,
    turn: u64,
}

const EVENTS: [u32; 5] = [0, PREEMPT, MIGRATE, SIGNAL, MEMBARRIER];
/// Nanoseconds within which what has happened restarts a sequence, that of an expiry included.
const EFFECT: u64 = 300_000;

impl Moment {
    const fn length(self) -> u32 {
        match self {
            Self::Before | Self::Requested | Self::Expired | Self::ExpiredInKernel => 10_000,
            Self::FaultOfGrant | Self::Granted | Self::Revoked | Self::AtYield => 50_000,
        }
    }

    /// So often each trial is made, with something a bit later each time.
    const fn turns(self) -> u64 {
        match self {
            Self::FaultOfGrant | Self::ExpiredInKernel | Self::AtYield => 4,
            _ => 1,
        }
    }

    /// Whether there is such a trial.
    fn has(self, source: Source, event: u32, drop: bool) -> bool {
        match self {
            Self::FaultOfGrant => drop && (source == Source::Reclass || event == 0),
            _ => true,
        }
    }
}

impl Trial {
    fn steps<'a>(&self, ordered: &'a OrderedSetup, at: &'a AtomicU64, page: Page) -> Vec<Step<'a>> {
        let area = ordered.setup.area();
        let orders = ordered.worker.orders();
        let (request, grant) = (request_word(self.layout), grant_word(self.layout));
        let order = |order| {
            [
                Step::store(orders, order),
                Step::wait_while(orders, order, PATIENCE),
            ]
        };
        let drop = if self.drop { DROP } else { 0 };
        let ask = Step::store_word(area, request);
        let reclass = (self.source == Source::Reclass).then_some(Step::store(orders, RECLASS));
        let get = Step::wait_while_word(area, request, PATIENCE);
        let outlast = Step::wait_while_word(area, grant, PATIENCE);

        let mut steps = Vec::new();
        // What comes before the event.
        match self.moment {
            Moment::Before => {}
            Moment::Requested => steps.push(ask),
            Moment::FaultOfGrant => {
                steps.push(ask);
                steps.extend(order(DROP));
                let source = if self.source == Source::Reclass {
                    RECLASS
                } else {
                    0
                };
                if self.event == 0 {
                    // The word is not looked at before the kernel has done so.
                    steps.extend([Step::store(orders, source), Step::stamp(at)]);
                    steps.extend([Step::until(at, 140_000 - self.lead_over_competitor()), get]);
                    return steps;
                }
                steps.extend([Step::store(orders, source | self.event), Step::stamp(at)]);
                steps.push(Step::until(at, EFFECT));
                return steps;
            }
            Moment::Granted | Moment::AtYield => {
                steps.push(ask);
                steps.extend(reclass);
                steps.push(get);
            }
            Moment::Expired => {
                steps.push(ask);
                steps.extend(reclass);
                steps.extend([get, outlast]);
            }
            Moment::ExpiredInKernel => {
                steps.push(ask);
                steps.extend(reclass);
                steps.extend([get, Step::stamp(at)]);
                if self.drop {
                    steps.extend(order(DROP));
                }
                let before = 4_500 - 800 * self.turn;
                steps.push(Step::until(at, u64::from(self.moment.length()) - before));
                steps.extend([Step::touch(page), outlast]);
            }
            Moment::Revoked => {
                steps.push(ask);
                steps.extend(reclass);
                steps.extend([get, Step::store(orders, RECLASS), outlast]);
            }
        }
        if self.moment == Moment::AtYield {
            if drop | self.event != 0 {
                steps.push(Step::store(orders, drop | self.event));
                steps.push(Step::stamp(at));
                steps.push(Step::until(at, 2_500 * self.turn));
            }
            return steps;
        }
        if drop | self.event != 0 {
            steps.extend(order(drop | self.event));
        }
        if self.event != 0 {
            steps.extend([Step::stamp(at), Step::until(at, EFFECT)]);
        }
        if self.moment == Moment::Before && self.event == 0 {
            steps.push(ask);
            steps.extend(reclass);
            steps.push(get);
        }
        steps
    }

    /// How much earlier than a competitor wakes up the other CPU reschedules, in nanoseconds.
    fn lead_over_competitor(&self) -> u64 {
        if self.source == Source::Competitor {
            0
        } else {
            100_000
        }
    }

    /// Runs the sequence. Returns what came of it and of the grant.
    fn run(&self, env: Env, ordered: &OrderedSetup) -> Result<(Outcome, Counters)> {
        let (at, page) = (AtomicU64::new(0), Page::new()?);
        let steps = self.steps(ordered, &at, page);
        let sequence = match self.moment {
            Moment::AtYield => {
                Sequence::new(ordered.setup.area(), steps).then_call(NR_RSEQ_SLICE_YIELD)
            }
            _ => Sequence::new(ordered.setup.area(), steps),
        };
        ordered.worker.wait_before_last(match self.moment {
            Moment::FaultOfGrant => 1_000 + 1_500 * self.turn,
            _ => 0,
        });
        let runs = ordered.competitor.runs();
        let delta = CounterDelta::start()?;
        let (told, due, switched) = (interferences(), soon(env)?, switches()?);
        if self.source == Source::Competitor {
            ordered.competitor.wake(Due::At(due))?;
        }

        let outcome = sequence.run(CPU)?;

        let live = ordered.setup.word() == grant_word(self.layout);
        let away = ordered.setup.area().cpu_id() != CPU as u32;
        if live {
            check!(outcome.how != How::Aborted, "restarted in a live grant");
            sys::rseq_slice_yield()?;
        }
        ordered.setup.set_word(0);
        let switched = switches()? - switched;
        ordered.settle()?;
        if self.source == Source::Competitor {
            if self.event == MEMBARRIER {
                // C may have lost the reschedule, which is not what this test is about.
                sched_yield()?;
            }
            ordered.competitor.ensure_runs(runs + 1)?;
        }
        let tally = delta.tally()?;
        let told = interferences() - told;
        check!(
            outcome.how != How::NotRestarted,
            "not restarted at step {}: {told} interferences, {switched} switches, {tally:?}",
            outcome.step
        );
        check!(
            outcome.how != How::Aborted
                || away
                || switched > 0
                || self.event & (SIGNAL | MEMBARRIER) != 0
                || self.moment == Moment::ExpiredInKernel,
            "restarted for nothing at step {}: {tally:?}",
            outcome.step
        );
        Ok((outcome, tally))
    }

    /// What has to come of the sequence. `None`: either may.
    fn expected(&self, env: Env, tally: &Counters) -> Option<How> {
        match (self.moment, self.event) {
            (Moment::AtYield, 0) => Some(How::Done),
            (Moment::AtYield, _) => None,
            // The fault is a place where the competitor may have the CPU.
            (Moment::FaultOfGrant, 0) if self.source == Source::Competitor => Some(How::Aborted),
            (_, event) if event != 0 => Some(How::Aborted),
            (Moment::Expired | Moment::ExpiredInKernel, _) if self.source == Source::Competitor => {
                Some(How::Aborted)
            }
            // It may have expired on either side of the fault.
            (Moment::ExpiredInKernel, _) if env.kernel.implementation() == Implementation::Rust => {
                None
            }
            (Moment::Revoked, _) if self.source == Source::Competitor || tally.expired > 0 => {
                Some(How::Aborted)
            }
            _ => Some(How::Done),
        }
    }

    /// Whether the kernel granted the extension and, where that matters, the grant expired.
    fn happened(&self, tally: &Counters) -> bool {
        match self.moment {
            Moment::Before | Moment::Requested | Moment::FaultOfGrant if self.event != 0 => true,
            Moment::Requested => true,
            Moment::FaultOfGrant => self.source == Source::Competitor || tally.granted > 0,
            Moment::Expired | Moment::ExpiredInKernel => tally.expired > 0,
            _ => tally.granted > 0,
        }
    }
}

/// All trials of a moment, with and without `rseq_debug`.
fn all(env: Env, layout: Layout, moment: Moment) -> Result<()> {
    const ATTEMPTS: usize = 3;
    // What happened is told by the counters.
    CounterDelta::start()?.tally()?;
    set_extension_length(moment.length())?;
    let ordered = OrderedSetup::new(env, layout)?;
    let (mut done, mut aborted, mut missed) = (0, 0, 0);
    for debug in [false, true] {
        set_debug(debug)?;
        for (source, event, drop, turn) in trials(moment) {
            let trial = Trial {
                layout,
                moment,
                source,
                event,
                drop,
                turn,
            };
            let mut happened = false;
            for _ in 0..ATTEMPTS {
                let (outcome, tally) = trial
                    .run(env, &ordered)
                    .with_context(|| format!("debug {debug}, {trial:?}"))?;
                happened = trial.happened(&tally);
                if !happened {
                    missed += 1;
                    continue;
                }
                let expected = trial.expected(env, &tally);
                check!(
                    expected.is_none_or(|how| how == outcome.how),
                    "{outcome:?}, not {expected:?}: debug {debug}, {trial:?}, {tally:?}"
                );
                check!(
                    (moment, outcome.how, event) != (Moment::AtYield, How::Done, 0)
                        || outcome.called == 1,
                    "the yield returned {}: debug {debug}, {trial:?}",
                    outcome.called
                );
                match outcome.how {
                    How::Aborted => aborted += 1,
                    _ => done += 1,
                }
                break;
            }
            check!(happened, "no grant: debug {debug}, {trial:?}");
        }
    }
    check!(
        done + aborted > 0 && (moment != Moment::AtYield || aborted > 0),
        "nothing happened in time"
    );
    diagnose(format_args!(
        "done {done}, restarted {aborted}; made again {missed}, {} signals",
        hits()
    ));
    Ok(())
}

fn trials(moment: Moment) -> impl Iterator<Item = (Source, u32, bool, u64)> {
    let sources = [Source::Competitor, Source::Reclass].into_iter();
    sources
        .flat_map(|source| EVENTS.map(|event| (source, event)))
        .flat_map(|(source, event)| [false, true].map(|drop| (source, event, drop)))
        .filter(move |&(source, event, drop)| moment.has(source, event, drop))
        .flat_map(move |(source, event, drop)| {
            (0..moment.turns()).map(move |turn| (source, event, drop, turn))
        })
}
