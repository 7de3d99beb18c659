// SPDX-License-Identifier: GPL-2.0

//! The intended differences between the kernels.
//!
//! The table in `Documentation/userspace-api/rseq_slice.rst` has a row for each name, which says what
//! the kernels do. An entry here recognises that difference at a [`Fork`]. The program has to contain
//! its cause, and both kernels have to show its effect.

mod expiry;
mod switches;
mod words;

use rseq_slice_debugfs::Implementation;

use crate::fork::{Branch, Fork};
use rseq_slice_diff_program::arg::{Event, Text};
use rseq_slice_diff_program::op::Op;
use rseq_slice_diff_program::outcome::{How, Seen};
use rseq_slice_diff_program::program::Program;

/// An intended difference.
#[derive(Clone)]
pub struct Intended {
    /// The name of its row.
    pub name: &'static str,
    /// Whether one of the fixed programs shows it at any timing.
    pub certain: bool,
    pairs: Pairs,
}

/// Whether the difference explains that C takes the first branch at this fork and Rust the second.
type Pairs = fn(&Program, &Fork, &Branch, &Branch) -> bool;

/// All of them.
pub const ALL: &[Intended] = &[
    Intended {
        name: "bits-layout-is-invalid",
        certain: true,
        pairs: words::bits_layout_is_invalid,
    },
    Intended {
        name: "death-is-uncounted",
        certain: true,
        pairs: expiry::death_is_uncounted,
    },
    Intended {
        name: "early-end-is-unchecked",
        certain: false,
        pairs: expiry::early_end_is_unchecked,
    },
    Intended {
        name: "expiry-keeps-sequence",
        certain: true,
        pairs: expiry::expiry_keeps_sequence,
    },
    Intended {
        name: "expiry-in-kernel-leaves-grant",
        certain: true,
        pairs: expiry::expiry_in_kernel_leaves_grant,
    },
    Intended {
        name: "request-is-violation",
        certain: true,
        pairs: words::request_is_violation,
    },
    Intended {
        name: "grant-follows-switch",
        certain: false,
        pairs: switches::grant_follows_switch,
    },
    Intended {
        name: "entry-reschedules-again",
        certain: false,
        pairs: switches::entry_reschedules_again,
    },
    Intended {
        name: "violation-counts-as-end",
        certain: true,
        pairs: words::violation_counts_as_end,
    },
    Intended {
        name: "failed-update-is-uncounted",
        certain: false,
        pairs: switches::failed_update_is_uncounted,
    },
    Intended {
        name: "timer-starts-last",
        certain: false,
        pairs: switches::timer_starts_last,
    },
    Intended {
        name: "membarrier-loses-reschedule",
        certain: true,
        pairs: switches::membarrier_loses_reschedule,
    },
    Intended {
        name: "skipped-yield-is-reported-later",
        certain: true,
        pairs: words::skipped_yield_is_reported_later,
    },
];

/// The name of the entry that explains why only this kernel took `branch` at the fork.
///
/// The other kernel has to have taken a branch that matches it.
pub fn explain(
    list: &[Intended],
    program: &Program,
    fork: &Fork,
    kernel: Implementation,
    branch: &Branch,
) -> Option<&'static str> {
    let entry = list.iter().find(|entry| match kernel {
        Implementation::C => (fork.rust.keys()).any(|r| (entry.pairs)(program, fork, branch, r)),
        Implementation::Rust => (fork.c.keys()).any(|c| (entry.pairs)(program, fork, c, branch)),
    })?;
    Some(entry.name)
}

/// How a process ends whose area was not accessible, or whose control word was a violation.
const FAULTED: How = How::Signal(libc::SIGSEGV);

/// Whether there may have been a reschedule without a competitor by that step.
fn without_competition(program: &Program, fork: &Fork) -> bool {
    let reschedules = |op: &Op| match op {
        Op::Reclass { .. } => true,
        Op::Then { event, .. } => *event == Event::Class,
        _ => false,
    };
    program.ops().take(fork.index + 1).any(reschedules)
}

/// Whether the operation lets the other CPU delay a thread that is in the kernel: by a reschedule, or
/// by a page fault of the area.
fn delays(op: &Op) -> bool {
    match op {
        Op::Reclass { .. } => true,
        Op::Then { event, .. } => {
            let pages = matches!(event, Event::Drop | Event::Fork);
            pages || matches!(event, Event::Class | Event::Migrate)
        }
        _ => false,
    }
}

/// Whether the program turns `rseq_debug` on.
fn checks_words(program: &Program) -> bool {
    let on = |text: &Text| matches!(text.as_str().chars().next(), Some('1' | 'y' | 'o'));
    program.ops().any(|op| match op {
        Op::Debug { text } => on(text),
        Op::Then { event, .. } => *event == Event::Debug,
        _ => false,
    })
}

/// Whether a yield returned 1 on C and 0 on Rust, and nothing else differs.
fn one_less(c: &Seen, rust: &Seen) -> bool {
    let without = |seen: &Seen| Seen {
        result: 0,
        handler_result: 0,
        ..seen.clone()
    };
    let less = (
        c.result - rust.result,
        c.handler_result - rust.handler_result,
    );
    matches!(less, (1, 0) | (0, 1)) && without(c) == without(rust)
}

#[cfg(test)]
mod tests;
