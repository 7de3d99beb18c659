// SPDX-License-Identifier: GPL-2.0

//! Tells a difference between the kernels from a difference in timing.
//!
//! The outcomes of the repetitions of a program form a tree for each kernel: what the first step saw,
//! under that what the second saw, and so on to the end. A *fork* is a place that both trees have,
//! that is a history which both kernels have shown. Its branches are what was seen next there. The
//! kernels agree where a fork has the same branches in both trees.
//!
//! Where a branch is missing, either the kernel cannot take it, or it just did not this time. The
//! branches of a step whose outcome does not depend on timing are taken always or never. Those of
//! the others are taken for some of the moments that the repetitions sweep, as many as the window is
//! wide. [`chance`] is the probability that a branch as wide as that has been missed by
//! accident (Fisher's exact test, one-sided). Below [`LEVEL`] the fork is a difference; above it,
//! it takes more repetitions to tell.

use std::collections::{BTreeMap, BTreeSet};

use rseq_slice_debugfs::Implementation;

use crate::intended::{Intended, explain};
use rseq_slice_diff_program::outcome::{End, Outcome, Samples, Seen};
use rseq_slice_diff_program::program::Program;

/// The probability of an accident below which it counts as none: over all forks of a full run
/// there is less than one false difference in some hundred runs.
pub const LEVEL: f64 = 1e-6;

/// What is seen at one place of a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Branch {
    /// The step was completed.
    Step(Seen),
    /// The process had ended before.
    End(End),
}

impl std::fmt::Display for Branch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Step(seen) => seen.fmt(f),
            Self::End(end) => end.fmt(f),
        }
    }
}

/// A fork at which the kernels have not taken the same branches.
#[derive(Clone, Debug, PartialEq)]
pub struct Fork {
    /// The index of the step, or the number of steps for the end.
    pub index: usize,
    /// What both kernels saw before.
    pub history: Vec<Seen>,
    /// The branches that C took, and how often.
    pub c: BTreeMap<Branch, u64>,
    /// The branches that Rust took, and how often.
    pub rust: BTreeMap<Branch, u64>,
    /// The probability that the difference is an accident, for the unexplained branch for which it is
    /// lowest.
    pub chance: f64,
}

impl Fork {
    /// The branches that only this kernel took.
    pub fn only(&self, kernel: Implementation) -> impl Iterator<Item = &Branch> {
        let (these, those) = match kernel {
            Implementation::C => (&self.c, &self.rust),
            Implementation::Rust => (&self.rust, &self.c),
        };
        these.keys().filter(|branch| !those.contains_key(branch))
    }

    /// The probability that it is an accident that only this kernel took `branch`.
    fn accident(&self, kernel: Implementation, branch: &Branch) -> f64 {
        let (these, those) = match kernel {
            Implementation::C => (&self.c, &self.rust),
            Implementation::Rust => (&self.rust, &self.c),
        };
        let taken = these.get(branch).copied().unwrap_or_default();
        chance(taken, these.values().sum(), those.values().sum())
    }

    /// What the fork is about: an operation, or the end.
    pub fn what(&self, program: &Program) -> &'static str {
        let ended = |branch: &Branch| matches!(branch, Branch::End(_));
        if self.c.keys().chain(self.rust.keys()).all(ended) {
            return "end";
        }
        program
            .steps()
            .get(self.index)
            .map_or("end", |step| step.op.name())
    }
}

/// What a comparison comes to.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Differences that nothing explains.
    pub differences: Vec<Fork>,
    /// Forks of which it cannot be told yet.
    pub undecided: Vec<Fork>,
    /// The names of the intended differences that were seen.
    pub intended: BTreeSet<&'static str>,
}

impl Comparison {
    /// Whether more repetitions can tell more.
    pub fn is_open(&self) -> bool {
        self.differences.is_empty() && !self.undecided.is_empty()
    }
}

/// The probability that a branch which one kernel took `taken` times out of `of` is missing in
/// `without` repetitions on the other by accident.
pub fn chance(taken: u64, of: u64, without: u64) -> f64 {
    (0..taken)
        .map(|i| (of - i) as f64 / (of + without - i) as f64)
        .product()
}

/// Compares what both kernels made of `program`.
pub fn compare(
    program: &Program,
    c: &Samples,
    rust: &Samples,
    intended: &[Intended],
) -> Comparison {
    let mut result = Comparison::default();
    let all = |samples: &Samples| -> Vec<(Outcome, u64)> {
        samples.iter().map(|(o, &n)| (o.clone(), n)).collect()
    };
    descend(program, 0, &all(c), &all(rust), intended, &mut result);
    result
}

fn branch(outcome: &Outcome, index: usize) -> Branch {
    match outcome.steps.get(index) {
        Some(seen) => Branch::Step(seen.clone()),
        None => Branch::End(outcome.end.clone()),
    }
}

fn branches(outcomes: &[(Outcome, u64)], index: usize) -> BTreeMap<Branch, u64> {
    let mut counts = BTreeMap::new();
    for (outcome, count) in outcomes {
        *counts.entry(branch(outcome, index)).or_default() += count;
    }
    counts
}

fn descend(
    program: &Program,
    index: usize,
    c: &[(Outcome, u64)],
    rust: &[(Outcome, u64)],
    intended: &[Intended],
    result: &mut Comparison,
) {
    let mut fork = fork(index, c, rust);
    let mut unexplained = false;
    for kernel in [Implementation::C, Implementation::Rust] {
        let odd: Vec<_> = fork.only(kernel).cloned().collect();
        for branch in odd {
            match explain(intended, program, &fork, kernel, &branch) {
                Some(name) => drop(result.intended.insert(name)),
                None => {
                    unexplained = true;
                    fork.chance = fork.chance.min(fork.accident(kernel, &branch));
                }
            }
        }
    }
    match unexplained {
        true if fork.chance < LEVEL => result.differences.push(fork.clone()),
        true => result.undecided.push(fork.clone()),
        false => {}
    }
    for common in fork.c.keys().filter(|b| fork.rust.contains_key(b)) {
        if matches!(common, Branch::Step(_)) {
            let under = |outcomes: &[(Outcome, u64)]| -> Vec<_> {
                let taken = |(o, _): &&(Outcome, u64)| branch(o, index) == *common;
                outcomes.iter().filter(taken).cloned().collect()
            };
            descend(
                program,
                index + 1,
                &under(c),
                &under(rust),
                intended,
                result,
            );
        }
    }
}

fn fork(index: usize, c: &[(Outcome, u64)], rust: &[(Outcome, u64)]) -> Fork {
    let history = c.first().or(rust.first());
    Fork {
        index,
        history: history.map_or(Vec::new(), |(o, _)| o.steps[..index].to_vec()),
        c: branches(c, index),
        rust: branches(rust, index),
        chance: 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(outcomes: &[(&str, u64)]) -> Samples {
        outcomes
            .iter()
            .map(|&(text, count)| (text.parse().unwrap(), count))
            .collect()
    }

    fn compared(c: &[(&str, u64)], rust: &[(&str, u64)]) -> Comparison {
        let program = "ask 0x1; yield".parse().unwrap();
        compare(&program, &samples(c), &samples(rust), &[])
    }

    #[test]
    fn equal_sets_agree_whatever_the_counts() {
        let c = [("0/1/exit:0", 60), ("0/0/exit:0", 4)];
        let rust = [("0/1/exit:0", 2), ("0/0/exit:0", 62)];
        let result = compared(&c, &rust);
        assert!(result.differences.is_empty() && result.undecided.is_empty());
    }

    #[test]
    fn one_run_each_is_not_enough() {
        let result = compared(&[("0/1/exit:0", 1)], &[("0/0/exit:0", 1)]);
        assert!(result.is_open());
    }

    #[test]
    fn what_always_differs_is_a_difference() {
        let result = compared(&[("0/1/exit:0", 12)], &[("0/0/exit:0", 12)]);
        assert_eq!(result.differences.len(), 1);
        let fork = &result.differences[0];
        assert_eq!((fork.index, fork.history.len()), (1, 1));
        assert_eq!(fork.what(&"ask 0x1; yield".parse().unwrap()), "yield");
    }

    #[test]
    fn a_death_in_place_of_a_step_is_a_difference() {
        let result = compared(&[("0/0/exit:0", 12)], &[("0/signal:11", 12)]);
        assert_eq!(result.differences.len(), 1);
    }

    #[test]
    fn counters_that_differ_are_a_difference() {
        let result = compared(&[("0/0/exit:0,g1,y1", 12)], &[("0/0/exit:0,g1,n1", 12)]);
        assert_eq!(result.differences[0].index, 2);
        assert_eq!(
            result.differences[0].what(&"ask 0x1; yield".parse().unwrap()),
            "end"
        );
    }

    #[test]
    fn a_rare_outcome_is_no_difference() {
        let result = compared(
            &[("0/1/exit:0", 255), ("0/0/exit:0", 1)],
            &[("0/1/exit:0", 256)],
        );
        assert!(result.is_open());
    }

    #[test]
    fn an_outcome_that_is_not_rare_is_a_difference() {
        let result = compared(
            &[("0/1/exit:0", 226), ("0/0/exit:0", 30)],
            &[("0/1/exit:0", 256)],
        );
        assert_eq!(result.differences.len(), 1);
    }

    #[test]
    fn what_follows_is_compared_under_the_same_history_only() {
        // The word after the first step decides what the second returns.
        let c = [("0,w100/1/exit:0", 20), ("0/0/exit:0", 20)];
        let swapped = [("0,w100/0/exit:0", 20), ("0/1/exit:0", 20)];
        assert_eq!(compared(&c, &swapped).differences.len(), 2);
        let result = compared(&c, &[("0,w100/1/exit:0", 40)]);
        assert_eq!(result.differences.len(), 1);
        assert_eq!(result.differences[0].index, 0);
    }

    #[test]
    fn chances() {
        assert_eq!(chance(0, 5, 5), 1.0);
        assert_eq!(chance(1, 1, 1), 0.5);
        assert!(chance(12, 12, 12) < LEVEL);
        assert!(chance(11, 11, 11) > LEVEL);
        assert_eq!(chance(1, 10, 0), 1.0);
    }
}
