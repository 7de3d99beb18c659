// SPDX-License-Identifier: GPL-2.0

//! Makes programs from a seed.
//!
//! A program of independent random steps hardly ever gets a grant. These are made of phrases: one
//! that sets a thread up, and some of those that provoke a decision and react to it, change settings,
//! or take the memory away. Which thread, which order and all arguments are random, valid ones more
//! often than others.

use rand_pcg::Pcg64;
use rand_pcg::rand_core::RngCore;

use crate::arg::{Call, Delay, Event, Fault, Handler, Hex, Place, Protection, Signal, Text};
use crate::op::Op;
use crate::program::{Program, Step, Who};

/// Steps beyond which no phrase is begun.
const LONG: usize = 10;

/// The `count` programs of `seed`. Program number `n` does not depend on `count`.
pub fn programs(seed: u64, count: usize) -> impl Iterator<Item = Program> {
    (0..count as u64).map(move |number| {
        Author {
            rng: Pcg64::new(u128::from(seed), u128::from(number)),
            steps: Vec::new(),
            who: Who::Main,
            in_sequences: false,
        }
        .write()
    })
}

struct Author {
    rng: Pcg64,
    steps: Vec<Step>,
    who: Who,
    /// Whether the thread is one that uses restartable sequences in what it does now.
    in_sequences: bool,
}

impl Author {
    /// A number below `bound`.
    fn below(&mut self, bound: u32) -> u32 {
        // The bias is of no importance, and the stream does not depend on anybody's algorithm.
        ((u64::from(self.rng.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// Whether something happens that does in `percent` of all cases.
    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize].clone()
    }

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

    /// Something global.
    fn phrase_before(&mut self) -> Op {
        let text = self.pick(&["1", "1", "y", "0"]);
        match self.below(3) {
            0 => self.length(),
            _ => Op::Debug {
                text: written(text),
            },
        }
    }

    /// Registers, mostly in a way that works, and enables the extension.
    fn set_up(&mut self) {
        if self.chance(8) {
            self.push(Op::MapShared);
        }
        if self.chance(85) {
            let flags = if self.chance(25) { 2 } else { 0 };
            let len = self.pick(&[33, 64, 64, 64, 96]);
            let at = Place::Page(self.pick(&[0, 0, 0, 64, 192]));
            self.push(Op::Rseq {
                len,
                at,
                flags: Hex(flags),
                sig: 0,
            });
        } else {
            self.registration();
        }
        if self.chance(85) {
            let value = if self.chance(6) { 3 } else { 1 };
            self.push(prctl(2, value));
        }
        if self.chance(15) {
            self.handler();
        }
    }

    fn registration(&mut self) {
        let len = self.pick(&[0, 31, 32, 32, 33, 34, 63, 64, 64, 65, 128, 4096, u32::MAX]);
        let at = match self.below(12) {
            0 => Place::Null,
            1 => Place::Kernel,
            2 => Place::Other,
            3 => Place::Page(self.below(64)),
            4 => Place::Page(self.pick(&[4032, 4064, 4095])),
            _ => Place::Page(self.pick(&[0, 0, 0, 32, 64, 96, 192])),
        };
        let flags = match self.below(10) {
            0..3 => 1,
            3..6 => 0,
            6..8 => 2,
            8 => 3,
            _ => 1 << self.below(32),
        };
        let sig = u32::from(self.chance(10));
        self.push(Op::Rseq {
            len,
            at,
            flags: Hex(flags),
            sig,
        });
    }

    /// A control word: mostly a request, sometimes a lie.
    fn control_word(&mut self) -> Hex {
        Hex(match self.below(20) {
            0..10 => 1,
            10..12 => 0,
            12 => 0x100,
            13 => 0x101,
            14 => self.pick(&[2, 3, 0xff, 0x80]),
            15 => self.pick(&[0x1_0001, 0x100_0001, 0xffff_ff01, 0xff00]),
            16 => u32::MAX,
            17 => 1 << self.below(32),
            18 => self.rng.next_u32(),
            _ => 1,
        })
    }

    /// A moment after a reschedule. An extension lasts 50 microseconds unless the program changes that.
    fn delay(&mut self) -> Delay {
        match self.below(10) {
            0 => Delay::exactly(0),
            1 | 2 => Delay::exactly(8_000),
            3 | 4 => Delay::exactly(20_000),
            5 | 6 => Delay::exactly(120_000),
            7 => self.pick(&[Delay::range(0, 20_000), Delay::range(0, 80_000)]),
            8 => Delay::range(44_000, 56_000),
            _ => Delay::exactly(30_000),
        }
    }

    /// A request, and what follows.
    fn contention(&mut self) {
        let plans = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2];
        for _ in 0..self.pick(&plans) {
            let event = match self.below(20) {
                0..6 => Event::Rival,
                6..11 => Event::Signal,
                _ => self.pick(Event::ALL),
            };
            if event == Event::Signal && self.chance(70) {
                self.handler();
            }
            let delay = self.delay();
            self.push(Op::Then { delay, event });
        }
        let word = if self.chance(80) {
            Hex(1)
        } else {
            self.control_word()
        };
        let op = if self.chance(88) {
            Op::Ask { word }
        } else {
            Op::Reclass { word }
        };
        self.push(op);
        while self.chance(30) {
            self.inside();
        }
        match self.below(20) {
            0..8 => self.push(Op::Yield),
            8..11 => {
                let call = self.pick(Call::ALL);
                self.push(Op::Call { call });
            }
            11..13 => self.push(Op::Outlast),
            13 => self.settings(),
            14 => self.memory(),
            15 => self.registration(),
            16 => self.elsewhere(),
            17 => self.small_thing(),
            18 => self.push(Op::Skip),
            _ => {}
        }
        if self.chance(25) {
            self.push(Op::Yield);
        }
    }

    /// Something that is not a system call, to be done inside of a grant.
    fn inside(&mut self) {
        let op = match self.below(10) {
            0 | 1 => Op::Word {
                value: self.control_word(),
            },
            2 => Op::Byte {
                index: self.below(4),
                value: Hex(self.pick(&[0, 1, 0xff])),
            },
            3..5 => Op::Spin { time: self.delay() },
            5 => Op::Touch { time: self.delay() },
            6 => Op::Outlast,
            7 => Op::Fault {
                what: self.pick(Fault::ALL),
            },
            8 => Op::Fault { what: Fault::Touch },
            _ => self.other_field(),
        };
        self.push(op);
    }

    fn other_field(&mut self) -> Op {
        match self.below(3) {
            0 => Op::Flags {
                value: Hex(self.pick(&[0, 0x10, 0x20, 0x30, 0x8000_0000, u32::MAX])),
            },
            1 => Op::Ids {
                value: Hex(self.pick(&[0, 1, 7, u32::MAX])),
            },
            _ => Op::Cs {
                value: Hex(self.pick(&[0, 1, 0x1000, u32::MAX])),
            },
        }
    }

    fn settings(&mut self) {
        match self.below(20) {
            0..4 => self.push(prctl(1, 0)),
            4..7 => self.push(prctl(2, 0)),
            7..10 => self.push(prctl(2, 1)),
            10 => self.push(prctl(2, 3)),
            11 => {
                let value = self.pick(&[2, 4, 5, 0x101, -1, 1 << 32, (1 << 32) | 1]);
                self.push(prctl(2, value));
            }
            12 => {
                let (op, value) = (
                    self.pick(&[0, 1, 2, 3, -1, (1 << 32) | 1]),
                    self.pick(&[0, 1, 2, 3]),
                );
                let (arg4, arg5) = (i64::from(self.chance(30)), i64::from(self.chance(30)) << 32);
                self.push(Op::Prctl {
                    op,
                    value,
                    arg4,
                    arg5,
                });
            }
            13..16 => {
                let op = self.length();
                self.push(op);
            }
            16..19 => {
                let text = self.pick(&["0", "1", "y", "n", "on", "off", "2", "", "x", "1\n"]);
                self.push(Op::Debug {
                    text: written(text),
                });
            }
            _ => {
                let op = self.other_field();
                self.push(op);
                let value = self.pick(&[0, 1]);
                self.push(prctl(2, value));
            }
        }
    }

    fn length(&mut self) -> Op {
        let text = self.pick(&[
            "5000",
            "5000",
            "20000",
            "50000",
            "50000\n",
            "4999",
            "50001",
            "0",
            "-1",
            "+7000",
            "0x2000",
            "",
            "abc",
            "5000x",
            "4294967296",
            "99999999999999999999",
            "007000",
        ]);
        Op::Length {
            text: written(text),
        }
    }

    fn memory(&mut self) {
        let op = match self.below(5) {
            0 => Op::Unmap,
            1 | 2 => Op::Protect {
                to: self.pick(Protection::ALL),
            },
            _ => Op::Protect {
                to: Protection::Read,
            },
        };
        self.push(op);
        while self.chance(50) {
            self.small_thing();
        }
        if self.chance(60) {
            let op = match self.below(4) {
                0 => Op::Map,
                1 => Op::MapShared,
                _ => Op::Protect {
                    to: Protection::ReadWrite,
                },
            };
            self.push(op);
        }
    }

    fn elsewhere(&mut self) {
        let op = self.pick(&[Op::Fork, Op::Fork, Op::Thread, Op::Vfork, Op::Exec]);
        self.push(op);
        self.who = Who::Main;
        self.push(prctl(1, 0));
        if self.chance(40) {
            self.push(Op::Yield);
        }
        if self.chance(50) {
            self.set_up();
        }
    }

    fn handler(&mut self) {
        let signal = self.pick(&[Signal::User, Signal::User, Signal::Segv]);
        let with = self.pick(Handler::ALL);
        self.push(Op::Handle { signal, with });
    }

    fn small_thing(&mut self) {
        let op = match self.below(20) {
            0..4 => Op::See,
            4..6 => Op::Yield,
            6..9 => Op::Call {
                call: self.pick(Call::ALL),
            },
            9 => Op::Raise {
                signal: Signal::User,
            },
            10 => Op::Raise {
                signal: self.pick(Signal::ALL),
            },
            11 => Op::Membarrier,
            12 => Op::Filter,
            13 => Op::Skip,
            14 => Op::Bounce,
            15 => Op::Fault {
                what: self.pick(Fault::ALL),
            },
            16 => prctl(1, 0),
            17 => Op::Word {
                value: self.control_word(),
            },
            18 => self.other_field(),
            _ => Op::Spin { time: self.delay() },
        };
        self.push(op);
    }
}

fn prctl(op: i64, value: i64) -> Op {
    Op::Prctl {
        op,
        value,
        arg4: 0,
        arg5: 0,
    }
}

fn written(text: &str) -> Text {
    Text::new(text).expect("all texts of this file can be written down")
}

#[cfg(test)]
mod tests {
    use super::*;
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
