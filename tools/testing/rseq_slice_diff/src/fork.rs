// SPDX-License-Identifier: GPL-2.0

//! Where the outcomes of the kernels part.
//!
//! The outcomes of the repetitions of a program form a tree for each kernel: the results of the first
//! step, under each of them the results of the second, and so on to the end. A *fork* is a place that
//! both trees have: a history that both kernels have shown. Its *branches* are the results of the
//! next step.
//!
//! If a branch is missing in one tree, that kernel cannot take it, or has not taken it yet. If the
//! result of a step does not depend on timing, a branch is taken always or never. Otherwise it is taken
//! for some of the moments that the repetitions sweep. [`chance`] is the probability that such a
//! branch is missing by accident (Fisher's exact test, one-sided).

use std::collections::BTreeMap;

use rseq_slice_debugfs::Implementation;
use rseq_slice_diff_program::outcome::{End, Outcome, Seen};
use rseq_slice_diff_program::program::Program;

/// Below this probability of an accident a fork is a difference. A full run has so many forks that there is
/// less than one false difference in some hundred runs.
pub const LEVEL: f64 = 1e-6;

/// The result at one place of a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Branch {
    /// The step was completed.
    Step(Seen),
    /// The process had ended before.
    End(End),
}

impl Branch {
    /// The branch that `outcome` takes at step `index`.
    pub(crate) fn of(outcome: &Outcome, index: usize) -> Self {
        match outcome.steps.get(index) {
            Some(seen) => Self::Step(seen.clone()),
            None => Self::End(outcome.end.clone()),
        }
    }
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
    /// The results of the steps before, on both kernels.
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
    /// The fork at step `index` of outcomes that agree up to there.
    pub(crate) fn new(index: usize, c: &[(Outcome, u64)], rust: &[(Outcome, u64)]) -> Self {
        let history = c.first().or(rust.first());
        Self {
            index,
            history: history.map_or(Vec::new(), |(o, _)| o.steps[..index].to_vec()),
            c: branches(c, index),
            rust: branches(rust, index),
            chance: 1.0,
        }
    }

    /// The branches that only this kernel took.
    pub fn only(&self, kernel: Implementation) -> impl Iterator<Item = &Branch> {
        let (these, those) = match kernel {
            Implementation::C => (&self.c, &self.rust),
            Implementation::Rust => (&self.rust, &self.c),
        };
        these.keys().filter(|branch| !those.contains_key(branch))
    }

    /// The probability that it is an accident that only this kernel took `branch`.
    pub(crate) fn accident(&self, kernel: Implementation, branch: &Branch) -> f64 {
        let (these, those) = match kernel {
            Implementation::C => (&self.c, &self.rust),
            Implementation::Rust => (&self.rust, &self.c),
        };
        let taken = these.get(branch).copied().unwrap_or_default();
        chance(taken, these.values().sum(), those.values().sum())
    }

    /// The operation at the fork, or "end".
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

/// The probability that a branch which one kernel took `taken` times out of `of` is missing in
/// `without` repetitions on the other by accident.
pub fn chance(taken: u64, of: u64, without: u64) -> f64 {
    (0..taken)
        .map(|i| (of - i) as f64 / (of + without - i) as f64)
        .product()
}

fn branches(outcomes: &[(Outcome, u64)], index: usize) -> BTreeMap<Branch, u64> {
    let mut counts = BTreeMap::new();
    for (outcome, count) in outcomes {
        *counts.entry(Branch::of(outcome, index)).or_default() += count;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_falls_with_each_repetition() {
        assert_eq!(chance(0, 5, 5), 1.0);
        assert_eq!(chance(1, 1, 1), 0.5);
        assert!(chance(12, 12, 12) < LEVEL);
        assert!(chance(11, 11, 11) > LEVEL);
        assert_eq!(chance(1, 10, 0), 1.0);
    }
}
