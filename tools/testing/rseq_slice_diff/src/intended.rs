// SPDX-License-Identifier: GPL-2.0

//! The differences between the kernels that are meant to be.
//!
//! This is the only place that knows of any. An entry explains a [`Fork`], and only if the program
//! contains what brings the difference about and both kernels show what the entry says they do.

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
    /// Its name.
    pub name: &'static str,
    /// What each kernel does, and why that is meant to be.
    pub reason: &'static str,
    /// Whether one of the fixed programs shows it whatever the timing.
    pub certain: bool,
    pairs: Pairs,
}

/// Whether, at that fork of that program, Rust may take the second branch where C takes the first.
type Pairs = fn(&Program, &Fork, &Branch, &Branch) -> bool;

/// All of them.
pub const ALL: &[Intended] = &[
    Intended {
        name: "bits-layout",
        reason: "PR_RSEQ_SLICE_EXT_BITS is an addition: C answers EINVAL to mode 3, Rust does not",
        certain: true,
        pairs: words::bits_layout,
    },
    Intended {
        name: "expiry-of-the-dead",
        reason: "C leaves the grant of a thread that dies in place, and counts that it expires",
        certain: true,
        pairs: expiry::expiry_of_the_dead,
    },
    Intended {
        name: "over-in-the-kernel",
        reason: "C acts on a grant on the way out: one that is over by then neither expires nor has the next call checked",
        certain: false,
        pairs: expiry::over_in_the_kernel,
    },
    Intended {
        name: "restart-at-expiry",
        reason: "a grant expires and the same thread is picked again: Rust restarts its sequence, C does not",
        certain: true,
        pairs: expiry::restart_at_expiry,
    },
    Intended {
        name: "expiry-in-the-kernel",
        reason: "a grant expires in the kernel and the same thread is picked again: C lets it last, Rust revokes",
        certain: true,
        pairs: expiry::expiry_in_the_kernel,
    },
    Intended {
        name: "request-in-debug-mode",
        reason: "a request without a grant, at the entry of a system call: rseq_debug kills on C, and not on Rust",
        certain: true,
        pairs: words::request_in_debug_mode,
    },
    Intended {
        name: "switch-before-grant",
        reason: "the CPU is taken between the interrupt and the grant: C grants, Rust does not",
        certain: false,
        pairs: switches::switch_before_grant,
    },
    Intended {
        name: "switch-at-entry",
        reason: "the CPU is taken inside system call entry: C gives it up again, as a yield or an abort; Rust revokes",
        certain: false,
        pairs: switches::switch_at_entry,
    },
    Intended {
        name: "lie-counted",
        reason: "C counts a grant whose thread lies as yielded or aborted, Rust counts it as died",
        certain: true,
        pairs: words::lie_counted,
    },
    Intended {
        name: "failed-update",
        reason: "the update of user space after a switch fails in a grant: C counts no end of it, Rust revokes it",
        certain: false,
        pairs: switches::failed_update,
    },
    Intended {
        name: "right-after-the-grant",
        reason: "somebody else is due as soon as there is a grant: the device is late on Rust, which is in user mode by then",
        certain: false,
        pairs: switches::right_after_the_grant,
    },
    Intended {
        name: "lost-reschedule",
        reason: "membarrier(2) ends a grant: C forgets the postponed reschedule, Rust asks for it again",
        certain: true,
        pairs: switches::lost_reschedule,
    },
    Intended {
        name: "stale-yield",
        reason: "C keeps the result of a yield that a filter skipped for a later grant or a child",
        certain: true,
        pairs: words::stale_yield,
    },
];

/// The name of the entry that explains why only this kernel took `branch` at the fork.
///
/// The branch has to have a counterpart among those that the other kernel took.
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

/// The end of a process whose area was not accessible, or that lied.
const FAULTED: How = How::Signal(libc::SIGSEGV);

/// Whether a reschedule for which nobody wants the CPU may have come by that step.
fn without_competition(program: &Program, fork: &Fork) -> bool {
    let reschedules = |op: &Op| match op {
        Op::Reclass { .. } => true,
        Op::Then { event, .. } => *event == Event::Class,
        _ => false,
    };
    program.ops().take(fork.index + 1).any(reschedules)
}

/// Whether the operation may let the other CPU hold up a thread that is in the kernel: by a reschedule, or
/// by making the area's page one that is waited for.
fn holds_up(op: &Op) -> bool {
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
