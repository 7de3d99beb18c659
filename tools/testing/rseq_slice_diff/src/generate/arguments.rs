// SPDX-License-Identifier: GPL-2.0

//! Random arguments of operations.

use rand_pcg::rand_core::RngCore;
use rseq_slice_diff_program::arg::{Delay, Hex, Text};
use rseq_slice_diff_program::op::Op;

use super::Generator;

impl Generator {
    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        // The bias is of no importance, and the stream does not depend on anybody's algorithm.
        ((u64::from(self.rng.next_u32()) * u64::from(bound)) >> 32) as u32
    }

    /// Whether something happens that does in `percent` of all cases.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u32) as usize].clone()
    }

    /// A control word: mostly a request, sometimes a violation.
    pub(super) fn control_word(&mut self) -> Hex {
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
    pub(super) fn delay(&mut self) -> Delay {
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

    pub(super) fn other_field(&mut self) -> Op {
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

    pub(super) fn length(&mut self) -> Op {
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
}

pub(super) fn prctl(op: i64, value: i64) -> Op {
    Op::Prctl {
        op,
        value,
        arg4: 0,
        arg5: 0,
    }
}

pub(super) fn written(text: &str) -> Text {
    Text::new(text).expect("all texts of this file can be written down")
}
