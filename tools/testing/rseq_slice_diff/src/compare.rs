// SPDX-License-Identifier: GPL-2.0

//! Tells a difference between the kernels from a difference in timing.
//!
//! The outcomes of the repetitions of a program form a tree for each kernel. This module walks down
//! both trees together, as far as both have shown the same history. The kernels agree where each
//! [`Fork`] has the same branches in both trees.
//!
//! A branch that is missing in one tree is an intended difference, or a difference if
//! [`chance`](crate::fork::chance) is below [`LEVEL`]. Otherwise more repetitions are needed.

use std::collections::BTreeSet;

use rseq_slice_debugfs::Implementation;

use crate::fork::{Branch, Fork, LEVEL};
use crate::intended::{Intended, explain};
use rseq_slice_diff_program::outcome::{Outcome, Samples};
use rseq_slice_diff_program::program::Program;

/// The result of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    /// Differences that nothing explains.
    pub differences: Vec<Fork>,
    /// Forks that need more repetitions to tell.
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

/// Compares the outcomes of `program` on both kernels.
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

fn descend(
    program: &Program,
    index: usize,
    c: &[(Outcome, u64)],
    rust: &[(Outcome, u64)],
    intended: &[Intended],
    result: &mut Comparison,
) {
    let mut fork = Fork::new(index, c, rust);
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
                let taken = |(o, _): &&(Outcome, u64)| Branch::of(o, index) == *common;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(outcomes: &[(&str, u64)]) -> Samples {
        outcomes
            .iter()
            .map(|&(text, count)| (text.parse().unwrap(), count))
            .collect()
    }

    fn result_of(c: &[(&str, u64)], rust: &[(&str, u64)]) -> Comparison {
        let program = "ask 0x1; yield".parse().unwrap();
        compare(&program, &samples(c), &samples(rust), &[])
    }

    #[test]
    fn equal_sets_agree_whatever_the_counts() {
        let c = [("0/1/exit:0", 60), ("0/0/exit:0", 4)];
        let rust = [("0/1/exit:0", 2), ("0/0/exit:0", 62)];
        let result = result_of(&c, &rust);
        assert!(result.differences.is_empty() && result.undecided.is_empty());
    }

    #[test]
    fn one_run_each_is_not_enough() {
        let result = result_of(&[("0/1/exit:0", 1)], &[("0/0/exit:0", 1)]);
        assert!(result.is_open());
    }

    #[test]
    fn what_always_differs_is_a_difference() {
        let result = result_of(&[("0/1/exit:0", 12)], &[("0/0/exit:0", 12)]);
        assert_eq!(result.differences.len(), 1);
        let fork = &result.differences[0];
        assert_eq!((fork.index, fork.history.len()), (1, 1));
        assert_eq!(fork.what(&"ask 0x1; yield".parse().unwrap()), "yield");
    }

    #[test]
    fn a_death_in_place_of_a_step_is_a_difference() {
        let result = result_of(&[("0/0/exit:0", 12)], &[("0/signal:11", 12)]);
        assert_eq!(result.differences.len(), 1);
    }

    #[test]
    fn counters_that_differ_are_a_difference() {
        let result = result_of(&[("0/0/exit:0,g1,y1", 12)], &[("0/0/exit:0,g1,n1", 12)]);
        assert_eq!(result.differences[0].index, 2);
        assert_eq!(
            result.differences[0].what(&"ask 0x1; yield".parse().unwrap()),
            "end"
        );
    }

    #[test]
    fn a_rare_outcome_is_no_difference() {
        let result = result_of(
            &[("0/1/exit:0", 255), ("0/0/exit:0", 1)],
            &[("0/1/exit:0", 256)],
        );
        assert!(result.is_open());
    }

    #[test]
    fn an_outcome_that_is_not_rare_is_a_difference() {
        let result = result_of(
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
        assert_eq!(result_of(&c, &swapped).differences.len(), 2);
        let result = result_of(&c, &[("0,w100/1/exit:0", 40)]);
        assert_eq!(result.differences.len(), 1);
        assert_eq!(result.differences[0].index, 0);
    }
}
