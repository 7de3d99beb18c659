// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the thread does: sections inside sections, in signal handlers, and left by `longjmp`.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rseq_slice::word::ControlWord;

use crate::kernel::{LongJump, Thread, Violation, Word, World};

/// A `begin` and an `end`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Library {
    pub(crate) name: &'static str,
    pub(crate) begin: fn(Word<'_>) -> bool,
    pub(crate) end: fn(Word<'_>),
    /// Whether `end` is called only where `begin` has returned true.
    pub(crate) tokens: bool,
}

/// Whose section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The library under test, or another with the same rule.
    Ours,
    /// A library that counts how deep its sections nest, and does not look whether others have one.
    Counting,
}

/// What the innermost section does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inside {
    Computes,
    CallsTheKernel,
    Jumps,
}

/// In which order sections end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The last that began is the first that ends.
    Nested,
    /// The first that began is the first that ends, as locks are handed over.
    HandOver,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Handler {
    Section(Kind),
    /// Three, each in the next.
    Nest,
    /// Leaves by `longjmp` inside a section.
    Jumps,
}

impl Handler {
    pub(crate) fn jumps(self) -> bool {
        self == Self::Jumps
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Program {
    /// From the outermost section to the innermost.
    pub(crate) sections: Vec<Kind>,
    pub(crate) inside: Inside,
    pub(crate) order: Order,
    pub(crate) handlers: Vec<Handler>,
}

/// What [`begin`] leaves for [`end`].
struct Open {
    kind: Kind,
    id: u32,
    around: u32,
    requested: bool,
}

fn begin(thread: Thread<'_>, kind: Kind) -> Open {
    let id = thread.sections.get() + 1;
    thread.sections.set(id);
    let around = thread.section.replace(id);
    let requested = match kind {
        Kind::Ours => (thread.library.begin)(Word(thread)),
        Kind::Counting => {
            thread.foreign.set(true);
            let depth = thread.depth_of_counting.get();
            thread.depth_of_counting.set(depth + 1);
            if depth == 0 {
                Word(thread).set_request(1);
            }
            depth == 0
        }
    };
    Open {
        kind,
        id,
        around,
        requested,
    }
}

fn end(thread: Thread<'_>, open: Open) {
    thread.section.set(open.id);
    match open.kind {
        Kind::Ours => {
            if open.requested || !thread.library.tokens {
                (thread.library.end)(Word(thread));
            }
        }
        Kind::Counting => {
            thread
                .depth_of_counting
                .set(thread.depth_of_counting.get() - 1);
            if open.requested {
                Word(thread).set_request(0);
                if Word(thread).granted() != 0 {
                    Word(thread).leave();
                }
            }
        }
    }
    thread.section.set(open.around);
}

/// What a section does is covered, if not by itself, then by the section around it. A section that counts
/// does not fail for the moment between the count and the request.
fn body(thread: Thread<'_>, kind: Kind) {
    thread.step();
    if kind == Kind::Ours {
        thread.is_covered();
    }
}

/// Sections of these kinds, each in the one before.
fn nest(thread: Thread<'_>, kinds: &[Kind], inside: Inside) {
    let Some((&kind, inner)) = kinds.split_first() else {
        match inside {
            Inside::Computes => {}
            Inside::CallsTheKernel => thread.system_call(),
            Inside::Jumps => resume_unwind(Box::new(LongJump)),
        }
        return;
    };
    let open = begin(thread, kind);
    body(thread, kind);
    nest(thread, inner, inside);
    if !inner.is_empty() {
        body(thread, kind);
    }
    end(thread, open);
}

/// Two sections of which the first ends first.
fn hand_over(thread: Thread<'_>) {
    // Whose request it is that is cleared is not asked here.
    thread.foreign.set(true);
    let first = begin(thread, Kind::Ours);
    body(thread, Kind::Ours);
    let second = begin(thread, Kind::Ours);
    body(thread, Kind::Ours);
    end(thread, first);
    thread.step();
    end(thread, second);
}

/// What a signal handler does.
pub(crate) fn handle(thread: Thread<'_>, handler: Handler) {
    match handler {
        Handler::Section(kind) => nest(thread, &[kind], Inside::Computes),
        Handler::Nest => nest(thread, &[Kind::Ours; 3], Inside::Computes),
        Handler::Jumps => nest(thread, &[Kind::Ours], Inside::Jumps),
    }
}

impl Program {
    fn run(&self, thread: Thread<'_>) {
        let run = || match self.order {
            Order::Nested => nest(thread, &self.sections, self.inside),
            Order::HandOver => hand_over(thread),
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(()) => thread.at_rest(),
            Err(jump) if jump.is::<LongJump>() => heal(thread),
            Err(other) => resume_unwind(other),
        }
    }
}

/// Sections are as ever after a `longjmp` out of others, once the kernel has decided about the request
/// that was left.
fn heal(thread: Thread<'_>) {
    thread.jumped();
    thread.no_jumps.set(true);
    thread.events.set(1);
    nest(thread, &[Kind::Ours], Inside::Computes);
    thread.decides();
    thread.at_rest();
    thread.events.set(1);
    nest(thread, &[Kind::Ours; 2], Inside::Computes);
    thread.at_rest();
}

/// The results of all runs of a program.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) runs: u64,
    pub(crate) grants: u64,
    pub(crate) left: u64,
}

/// A run that went wrong.
#[derive(Debug)]
#[expect(dead_code, reason = "printed if the test fails")]
pub(crate) struct Failure {
    pub(crate) violation: Violation,
    library: &'static str,
    program: Program,
    history: Vec<crate::kernel::Event>,
}

/// Runs a program with all that can happen to it, `events` things at most in one run.
pub(crate) fn explore(
    library: Library,
    program: &Program,
    events: u32,
) -> Result<Outcome, Failure> {
    let world = World::new(library, &program.handlers);
    let mut runs = 0;
    loop {
        world.restart(events);
        runs += 1;
        if let Err(thrown) = catch_unwind(AssertUnwindSafe(|| program.run(&world))) {
            let violation = *thrown
                .downcast()
                .unwrap_or_else(|other| resume_unwind(other));
            return Err(Failure {
                violation,
                library: library.name,
                program: program.clone(),
                history: world.history.take(),
            });
        }
        if !world.choices.borrow_mut().next() {
            break;
        }
    }
    Ok(Outcome {
        runs,
        grants: world.grants.get(),
        left: world.left.get(),
    })
}
