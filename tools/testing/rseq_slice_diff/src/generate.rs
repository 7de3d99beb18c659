// SPDX-License-Identifier: GPL-2.0

//! Makes programs from a seed.
//!
//! A program of independent random steps hardly ever gets a grant. These are made of phrases: one
//! that sets a thread up, and some of those that provoke a decision and react to it, change settings,
//! or take the memory away. Which thread, which order and all arguments are random, valid ones more
//! often than others.

mod arguments;
mod phrases;

use rand_pcg::Pcg64;

use rseq_slice_diff_program::op::Op;
use rseq_slice_diff_program::program::{Program, Step, Who};

/// Steps beyond which no phrase is begun.
const LONG: usize = 10;

/// The `count` programs of `seed`. Program number `n` does not depend on `count`.
pub fn programs(seed: u64, count: usize) -> impl Iterator<Item = Program> {
    (0..count as u64).map(move |number| {
        Generator {
            rng: Pcg64::new(u128::from(seed), u128::from(number)),
            steps: Vec::new(),
            who: Who::Main,
            in_sequences: false,
        }
        .write()
    })
}

struct Generator {
    rng: Pcg64,
    steps: Vec<Step>,
    who: Who,
    /// Whether the thread is one that uses restartable sequences in what it does now.
    in_sequences: bool,
}

impl Generator {
    fn push(&mut self, op: Op) {
        let who = if op.goes_elsewhere() {
            Who::Main
        } else {
            self.who
        };
        // A system call there is a violation.
        let often = match op {
            Op::Yield | Op::Call { .. } | Op::Skip => 8,
            _ => 80,
        };
        let inside = self.in_sequences && op.fits_sequence() && self.chance(often);
        self.steps.push(Step { who, inside, op });
    }

    fn write(mut self) -> Program {
        if self.chance(15) {
            let before = self.phrase_before();
            self.push(before);
        }
        self.set_up();
        let phrases = 1 + self.below(4);
        for _ in 0..phrases {
            if self.steps.len() >= LONG {
                break;
            }
            if self.chance(12) {
                self.who = match self.who {
                    Who::Main => Who::Second,
                    Who::Second => Who::Main,
                };
                if self.chance(80) {
                    self.set_up();
                }
            }
            match self.below(100) {
                0..62 => {
                    self.in_sequences = self.chance(30);
                    self.contention();
                    self.in_sequences = false;
                }
                62..72 => self.settings(),
                72..80 => self.memory(),
                80..86 => self.registration(),
                86..92 => self.elsewhere(),
                _ => self.small_thing(),
            }
        }
        self.steps.truncate(Program::MAX_STEPS);
        Program::new(self.steps).expect("not more than there may be")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rseq_slice_diff_program::arg::{Call, Event, Handler};
    use std::collections::BTreeSet;

    #[test]
    fn a_seed_gives_the_same_programs_always() {
        let five: Vec<_> = programs(7, 5).collect();
        let ten: Vec<_> = programs(7, 10).collect();
        assert_eq!(five[..], ten[..5]);
        assert_ne!(ten, programs(8, 10).collect::<Vec<_>>());
    }

    #[test]
    fn programs_survive_being_written_down() {
        for seed in 1..=5 {
            for program in programs(seed, 500) {
                assert_eq!(program.to_string().parse::<Program>().unwrap(), program);
            }
        }
    }

    #[test]
    fn every_operation_occurs_with_every_word_of_its_arguments() {
        let all: Vec<_> = programs(1, 10_000).collect();
        let ops: BTreeSet<_> = all
            .iter()
            .flat_map(Program::ops)
            .map(Op::to_string)
            .collect();
        for name in Op::NAMES {
            assert!(
                ops.iter().any(|op| op.split(' ').next() == Some(name)),
                "no {name}"
            );
        }
        for event in Event::ALL {
            assert!(ops.contains(&format!("then 8000 {event}")), "no {event}");
        }
        for call in Call::ALL {
            assert!(ops.contains(&format!("call {call}")), "no {call}");
        }
        for with in Handler::ALL {
            assert!(ops.contains(&format!("handle segv {with}")), "no {with}");
        }
        for name in [
            "ask", "reclass", "outlast", "spin", "yield", "call", "fault",
        ] {
            let inside = |step: &Step| step.inside && step.op.name() == name;
            assert!(
                all.iter().any(|p| p.steps().iter().any(inside)),
                "no s.{name}"
            );
        }
        let timed = all.iter().filter(|program| program.is_timed()).count();
        assert!(
            (1_000..5_000).contains(&timed),
            "{timed} of 10000 programs are timed"
        );
        assert!(
            all.iter()
                .any(|p| p.steps().iter().any(|step| step.who == Who::Second))
        );
    }
}
