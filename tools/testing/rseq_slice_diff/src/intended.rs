// SPDX-License-Identifier: GPL-2.0

//! The differences between the kernels that are meant to be.
//!
//! This is the only place that knows of any. An entry explains a [`Fork`], and only if the program
//! contains what brings the difference about and both kernels show what the entry says they do.

use crate::compare::{Branch, Fork};
use crate::op::Op;
use crate::program::Program;

/// An intended difference.
#[derive(Clone)]
pub struct Intended {
    /// Its name.
    pub name: &'static str,
    /// What each kernel does, and why that is meant to be.
    pub reason: &'static str,
    matches: fn(&Program, &Fork) -> bool,
}

impl Intended {
    /// Whether this is what happened at that place of that program.
    pub fn explains(&self, program: &Program, fork: &Fork) -> bool {
        (self.matches)(program, fork)
    }
}

/// All of them.
pub const ALL: &[Intended] = &[
    Intended {
        name: "bits-layout",
        reason: "PR_RSEQ_SLICE_EXT_BITS is an addition: C answers EINVAL to mode 3, Rust does not",
        matches: bits_layout,
    },
];

const EINVAL: i64 = -(libc::EINVAL as i64);

fn op<'a>(program: &'a Program, fork: &Fork) -> Option<&'a Op> {
    program.steps().get(fork.index).map(|step| &step.op)
}

fn bits_layout(program: &Program, fork: &Fork) -> bool {
    let asked = Op::Prctl {
        op: 2,
        value: 3,
        arg4: 0,
        arg5: 0,
    };
    let refused = |b: &Branch| matches!(b, Branch::Step(seen) if seen.result == EINVAL);
    op(program, fork) == Some(&asked)
        && fork.c.keys().all(refused)
        && !fork.rust.keys().any(refused)
}
