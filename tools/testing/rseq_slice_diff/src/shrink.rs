// SPDX-License-Identifier: GPL-2.0

//! Finds the shortest program that still shows a difference.
//!
//! Asking whether a program shows it costs a boot of each kernel, but one boot answers for many
//! programs. So each round asks about everything that is one change smaller, and goes on with the
//! smallest that still shows the difference; when nothing smaller does, that is the result.

use std::collections::BTreeSet;

use rseq_slice_diff_program::arg::{Delay, Hex, Place};
use rseq_slice_diff_program::op::Op;
use rseq_slice_diff_program::program::{Program, Step, Who};

/// A search that is under way.
#[derive(Clone, Debug)]
pub struct Shrinker {
    best: Program,
    candidates: Vec<Program>,
}

impl Shrinker {
    /// Starts from a program that shows the difference.
    pub fn new(program: Program) -> Self {
        let candidates = smaller(&program);
        Self {
            best: program,
            candidates,
        }
    }

    /// The smallest program so far.
    pub fn best(&self) -> &Program {
        &self.best
    }

    /// The programs to be asked about in this round, smallest first. None: the search is over.
    pub fn candidates(&self) -> &[Program] {
        &self.candidates
    }

    /// Ends the round with the answers: whether each candidate shows the difference.
    pub fn answer(&mut self, answers: &[bool]) {
        assert_eq!(answers.len(), self.candidates.len());
        let first = answers.iter().position(|&shows| shows);
        self.candidates = match first {
            Some(index) => {
                self.best = self.candidates.swap_remove(index);
                smaller(&self.best)
            }
            None => Vec::new(),
        };
    }
}

/// How large a program is: steps first, then how far its arguments are from the simplest.
fn size(program: &Program) -> (usize, usize) {
    let far = |step: &Step| {
        let width = match step.op {
            Op::Then { delay, .. } | Op::Spin { time: delay } | Op::Touch { time: delay } => {
                delay.to() - delay.from()
            }
            _ => 0,
        };
        let other = simpler(step)
            .iter()
            .filter(|simpler| *simpler != step)
            .count();
        usize::from(step.who == Who::Second)
            + usize::from(step.inside)
            + other
            + (u32::BITS - width.leading_zeros()) as usize
    };
    (program.steps().len(), program.steps().iter().map(far).sum())
}

/// All that is one change smaller, smallest first.
fn smaller(program: &Program) -> Vec<Program> {
    let steps = program.steps();
    let mut found = BTreeSet::new();
    let mut add = |steps: Vec<Step>| {
        if let Some(candidate) = Program::new(steps) {
            if size(&candidate) < size(program) {
                found.insert((size(&candidate), candidate.to_string()));
            }
        }
    };
    // Each step, each half, quarter and so on, and all that follows a step.
    let mut length = steps.len();
    while length > 0 {
        for from in (0..steps.len()).step_by(length) {
            let to = (from + length).min(steps.len());
            add([&steps[..from], &steps[to..]].concat());
        }
        length /= 2;
    }
    for (index, step) in steps.iter().enumerate() {
        add(steps[..index].to_vec());
        for step in simpler(step) {
            let mut changed = steps.to_vec();
            changed[index] = step;
            add(changed);
        }
        let mut changed = steps.to_vec();
        changed[index].inside = false;
        add(changed);
    }
    add(steps
        .iter()
        .map(|step| Step {
            who: Who::Main,
            ..step.clone()
        })
        .collect());
    add(steps
        .iter()
        .map(|step| Step {
            inside: false,
            ..step.clone()
        })
        .collect());
    found
        .into_iter()
        .map(|(_, text)| text.parse().expect("written by us"))
        .collect()
}

/// Steps that do a simpler thing of the same kind.
fn simpler(step: &Step) -> Vec<Step> {
    let op = match step.op.clone() {
        Op::Rseq {
            len,
            at,
            flags,
            sig,
        } => vec![
            Op::Rseq {
                len: 64,
                at,
                flags,
                sig,
            },
            Op::Rseq {
                len,
                at: Place::Page(0),
                flags,
                sig,
            },
            Op::Rseq {
                len,
                at,
                flags: Hex(0),
                sig,
            },
            Op::Rseq {
                len,
                at,
                flags,
                sig: 0,
            },
        ],
        Op::Prctl {
            op,
            value,
            arg4,
            arg5,
        } => vec![
            Op::Prctl {
                op,
                value,
                arg4: 0,
                arg5: 0,
            },
            Op::Prctl {
                op,
                value: 0,
                arg4,
                arg5,
            },
        ],
        Op::Word { .. } => vec![Op::Word { value: Hex(0) }, Op::Word { value: Hex(1) }],
        Op::Ask { .. } => vec![Op::Ask { word: Hex(0) }, Op::Ask { word: Hex(1) }],
        Op::Reclass { .. } => vec![Op::Reclass { word: Hex(0) }, Op::Reclass { word: Hex(1) }],
        Op::Then { delay, event } => delays(delay)
            .into_iter()
            .map(|delay| Op::Then { delay, event })
            .collect(),
        Op::Spin { time } => delays(time)
            .into_iter()
            .map(|time| Op::Spin { time })
            .collect(),
        Op::Touch { time } => delays(time)
            .into_iter()
            .map(|time| Op::Touch { time })
            .collect(),
        _ => Vec::new(),
    };
    op.into_iter()
        .map(|op| Step { op, ..step.clone() })
        .collect()
}

/// Fixed moments, and the halves of a range.
fn delays(delay: Delay) -> Vec<Delay> {
    let mut simpler: Vec<_> = [0, 8_000, 20_000, 120_000].map(Delay::exactly).to_vec();
    let (from, to) = (delay.from(), delay.to());
    if to.saturating_sub(from) > 1_000 {
        let middle = from.midpoint(to);
        simpler.extend([Delay::range(from, middle), Delay::range(middle, to)]);
    }
    simpler
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::programs;

    /// Shrinks a program with a made-up difference; returns the result and the number of rounds.
    fn shrink(text: &str, shows: impl Fn(&Program) -> bool) -> (String, usize) {
        let mut shrinker = Shrinker::new(text.parse().unwrap());
        let mut rounds = 0;
        while !shrinker.candidates().is_empty() {
            let answers: Vec<_> = shrinker.candidates().iter().map(&shows).collect();
            shrinker.answer(&answers);
            rounds += 1;
        }
        (shrinker.best().to_string(), rounds)
    }

    fn has(program: &Program, texts: &[&str]) -> bool {
        let mut ops = program.ops().map(Op::to_string);
        texts.iter().all(|text| ops.any(|op| op.starts_with(text)))
    }

    #[test]
    fn one_step_is_left_of_a_difference_in_one_step() {
        let text = "debug \"1\"; rseq 33 @64 0x2 0; prctl 2 3 0 0; ask 0x1; yield";
        let (best, rounds) = shrink(text, |p| has(p, &["prctl 2 3"]));
        assert_eq!(best, "prctl 2 3 0 0");
        assert!(rounds <= 3, "{rounds} rounds");
    }

    #[test]
    fn steps_that_need_each_other_stay_in_order() {
        let text =
            "see; rseq 33 @64 0x2 0; yield; b.prctl 2 1 0 0; see; ask 0xffff; spin 0..9000; yield";
        let needs = ["rseq", "prctl 2 1", "ask", "yield"];
        let (best, rounds) = shrink(text, |p| has(p, &needs));
        assert_eq!(best, "rseq 64 @0 0x0 0; prctl 2 1 0 0; ask 0x0; yield");
        assert!(rounds <= 10, "{rounds} rounds");
    }

    #[test]
    fn arguments_that_matter_stay() {
        let text = "then 0..50000 competitor; b.word 0x5; ask 0x100";
        let (best, _) = shrink(text, |p| has(p, &["then", "ask 0x100"]));
        assert_eq!(best, "then 0 competitor; ask 0x100");
        let timed = |p: &Program| p.is_timed();
        let (best, _) = shrink("see; spin 0..64000", timed);
        assert!(best.starts_with("spin ") && best.contains(".."), "{best}");
    }

    #[test]
    fn a_sequence_stays_where_it_matters_and_nowhere_else() {
        let text = "s.ask 0x1; s.spin 8000; b.s.yield; s.fault touch";
        let needs = ["ask", "spin", "yield"];
        let inside = |p: &Program| p.steps().iter().any(|s| s.inside && s.op.name() == "spin");
        let (best, _) = shrink(text, |p| has(p, &needs) && inside(p));
        assert_eq!(best, "ask 0x1; s.spin 8000; yield");
    }

    #[test]
    fn candidates_are_smaller_and_smallest_first() {
        for program in programs(3, 300) {
            let all = smaller(&program);
            assert!(all.is_sorted_by_key(size));
            assert!(all.iter().all(|candidate| size(candidate) < size(&program)));
            assert!(program.steps().is_empty() || all[0].steps().is_empty());
        }
    }
}
