// SPDX-License-Identifier: GPL-2.0

//! The phrases of which programs are made.

use rseq_slice_diff_program::arg::{Call, Event, Fault, Handler, Hex, Place, Protection, Signal};
use rseq_slice_diff_program::op::Op;
use rseq_slice_diff_program::program::Who;

use super::Generator;
use super::arguments::{prctl, written};

impl Generator {
    /// Something global.
    pub(super) fn phrase_before(&mut self) -> Op {
        let text = self.pick(&["1", "1", "y", "0"]);
        match self.below(3) {
            0 => self.length(),
            _ => Op::Debug {
                text: written(text),
            },
        }
    }

    /// Registers, mostly in a way that works, and enables the extension.
    pub(super) fn set_up(&mut self) {
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

    pub(super) fn registration(&mut self) {
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

    /// A request, and what follows.
    pub(super) fn contention(&mut self) {
        let plans = [0, 0, 0, 0, 0, 0, 1, 1, 1, 2];
        for _ in 0..self.pick(&plans) {
            let event = match self.below(20) {
                0..6 => Event::Competitor,
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
    pub(super) fn inside(&mut self) {
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

    pub(super) fn settings(&mut self) {
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

    pub(super) fn memory(&mut self) {
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

    pub(super) fn elsewhere(&mut self) {
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

    pub(super) fn handler(&mut self) {
        let signal = self.pick(&[Signal::User, Signal::User, Signal::Segv]);
        let with = self.pick(Handler::ALL);
        self.push(Op::Handle { signal, with });
    }

    pub(super) fn small_thing(&mut self) {
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
