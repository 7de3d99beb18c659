// SPDX-License-Identifier: GPL-2.0

//! The differences between the kernels that are meant to be.
//!
//! This is the only place that knows of any. An entry explains a [`Fork`], and only if the program
//! contains what brings the difference about and both kernels show what the entry says they do.

use rseq_slice::Implementation;

use crate::arg::{Event, Text};
use crate::compare::{Branch, Fork};
use crate::op::Op;
use crate::outcome::{End, Seen};
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
    Intended {
        name: "expiry-of-the-dead",
        reason: "C leaves the grant of a thread that dies in place, and counts that it expires",
        matches: |_, fork| ends(fork, expiry_of_the_dead),
    },
    Intended {
        name: "lie-counted",
        reason: "C counts a grant whose thread lies as yielded or aborted, Rust counts it as died",
        matches: |program, fork| checks_words(program) && ends(fork, lie_counted),
    },
    Intended {
        name: "lost-reschedule",
        reason: "membarrier(2) ends a grant: C forgets the postponed reschedule, Rust asks for it again",
        matches: |program, fork| has_membarrier(program, fork) && steps(fork, lost_reschedule),
    },
    Intended {
        name: "stale-yield",
        reason: "C keeps the result of a yield that a filter skipped for a later grant or a child",
        matches: |program, fork| skips(program, fork) && steps(fork, stale_yield),
    },
];

const EINVAL: i64 = -(libc::EINVAL as i64);

/// Whether each branch that one kernel took and the other did not has a counterpart there.
fn paired(fork: &Fork, counterparts: impl Fn(&Branch, &Branch) -> bool) -> bool {
    fork.only(Implementation::C)
        .all(|c| fork.rust.keys().any(|rust| counterparts(c, rust)))
        && fork
            .only(Implementation::Rust)
            .all(|rust| fork.c.keys().any(|c| counterparts(c, rust)))
}

/// As [`paired`], for the end of a program.
fn ends(fork: &Fork, counterparts: fn(&End, &End) -> bool) -> bool {
    paired(fork, |c, rust| match (c, rust) {
        (Branch::End(c), Branch::End(rust)) => counterparts(c, rust),
        _ => false,
    })
}

/// As [`paired`], for a step.
fn steps(fork: &Fork, counterparts: fn(&Seen, &Seen) -> bool) -> bool {
    paired(fork, |c, rust| match (c, rust) {
        (Branch::Step(c), Branch::Step(rust)) => counterparts(c, rust),
        _ => false,
    })
}

fn bits_layout(program: &Program, fork: &Fork) -> bool {
    let asked = Op::Prctl {
        op: 2,
        value: 3,
        arg4: 0,
        arg5: 0,
    };
    let here = program.steps().get(fork.index).map(|step| &step.op);
    let refused = |b: &Branch| matches!(b, Branch::Step(seen) if seen.result == EINVAL);
    here == Some(&asked) && fork.c.keys().all(refused) && !fork.rust.keys().any(refused)
}

fn expiry_of_the_dead(c: &End, rust: &End) -> bool {
    let more = c.expired.wrapping_sub(rust.expired);
    let as_rust = End {
        expired: rust.expired,
        ..c.clone()
    };
    as_rust == *rust && more >= 1 && i64::try_from(more).is_ok_and(|more| more <= c.unaccounted)
}

fn lie_counted(c: &End, rust: &End) -> bool {
    let (yields, aborts) = (
        c.yielded.checked_sub(rust.yielded),
        c.aborted.checked_sub(rust.aborted),
    );
    let (Some(yields), Some(aborts)) = (yields, aborts) else {
        return false;
    };
    let as_rust = End {
        yielded: rust.yielded,
        aborted: rust.aborted,
        unaccounted: rust.unaccounted,
        ..c.clone()
    };
    let lies = i64::try_from(yields + aborts);
    as_rust == *rust && lies.is_ok_and(|lies| lies > 0 && c.unaccounted + lies == rust.unaccounted)
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

/// Whether `membarrier(2)` is called before the fork is over.
fn has_membarrier(program: &Program, fork: &Fork) -> bool {
    program.ops().take(fork.index + 1).any(|op| match op {
        Op::Membarrier => true,
        Op::Then { event, .. } => *event == Event::Membarrier,
        _ => false,
    })
}

fn lost_reschedule(c: &Seen, rust: &Seen) -> bool {
    let without = |seen: &Seen| Seen {
        rival: 0,
        timeout: 0,
        ..seen.clone()
    };
    c.rival + 1 == rust.rival && without(c) == without(rust)
}

/// Whether a yield is skipped before the fork.
fn skips(program: &Program, fork: &Fork) -> bool {
    let before: Vec<_> = program.ops().take(fork.index).collect();
    let filter = before.iter().position(|op| **op == Op::Filter);
    filter.is_some_and(|filter| before[filter..].contains(&&Op::Skip))
}

fn stale_yield(c: &Seen, rust: &Seen) -> bool {
    let without = |seen: &Seen| Seen {
        result: 0,
        handler_result: 0,
        ..seen.clone()
    };
    let more = (
        c.result - rust.result,
        c.handler_result - rust.handler_result,
    );
    matches!(more, (1, 0) | (0, 1)) && without(c) == without(rust)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare;
    use crate::outcome::Samples;

    /// Compares one outcome of each kernel; returns the names of what explains the differences,
    /// and "nothing" if one is not explained.
    fn explained(program: &str, c: &str, rust: &str) -> Vec<&'static str> {
        let samples = |text: &str| Samples::from([(text.parse().unwrap(), 12)]);
        let program = program.parse().unwrap();
        let result = compare(&program, &samples(c), &samples(rust), ALL);
        let nothing = result.differences.iter().map(|_| "nothing");
        result.intended.iter().copied().chain(nothing).collect()
    }

    #[test]
    fn names_are_unique() {
        for (index, entry) in ALL.iter().enumerate() {
            assert!(ALL[..index].iter().all(|other| other.name != entry.name));
        }
    }

    #[test]
    fn bits_layout_is_mode_3_alone() {
        let (c, rust) = ("-22,f10/exit:0", "0,f30/exit:0");
        assert_eq!(explained("prctl 2 3 0 0", c, rust), ["bits-layout"]);
        assert_eq!(explained("prctl 2 2 0 0", c, rust), ["nothing"]);
        assert_eq!(explained("prctl 2 3 1 0", c, rust), ["nothing"]);
        assert_eq!(explained("prctl 2 3 0 0", rust, c), ["nothing"]);
        assert_eq!(
            explained("prctl 2 3 0 0", "-6/exit:0", "0/exit:0"),
            ["nothing"]
        );
    }

    #[test]
    fn expiry_of_the_dead_takes_a_dead_thread() {
        let of = |c, rust| explained("ask 0x1", c, rust);
        assert_eq!(
            of("signal:9,g1,e1,n1", "signal:9,g1,n1"),
            ["expiry-of-the-dead"]
        );
        assert_eq!(of("signal:9,g1,n1", "signal:9,g1,e1,n1"), ["nothing"]);
        assert_eq!(of("exit:0,g1,e1,y1", "exit:0,g1,y1"), ["nothing"]);
        assert_eq!(of("signal:9,g1,e1,n1", "signal:11,g1,n1"), ["nothing"]);
        assert_eq!(of("signal:9,g2,e1,n1,y1", "signal:9,g1,n1"), ["nothing"]);
    }

    #[test]
    fn lie_counted_takes_a_check() {
        let (c, rust) = ("signal:11,q1,g1,y1", "signal:11,q1,g1,n1");
        assert_eq!(explained("debug \"1\"", c, rust), ["lie-counted"]);
        assert_eq!(explained("debug \"0\"", c, rust), ["nothing"]);
        assert_eq!(explained("debug \"1\"", rust, c), ["nothing"]);
        assert_eq!(
            explained("debug \"1\"", "exit:0,g1,y1", "exit:0,g1,v1"),
            ["nothing"]
        );
    }

    #[test]
    fn lost_reschedule_takes_membarrier() {
        let (c, rust) = ("0,f30/exit:0", "0,f30,a1/exit:0");
        assert_eq!(explained("membarrier", c, rust), ["lost-reschedule"]);
        assert_eq!(explained("yield", c, rust), ["nothing"]);
        assert_eq!(explained("membarrier", rust, c), ["nothing"]);
        assert_eq!(
            explained("membarrier", "0,w100/exit:0", "0,a1/exit:0"),
            ["nothing"]
        );
    }

    #[test]
    fn stale_yield_takes_a_skipped_one() {
        let of = |program| explained(program, "0/-1/1/exit:0", "0/-1/0/exit:0");
        assert_eq!(of("filter; skip; yield"), ["stale-yield"]);
        assert_eq!(of("filter; yield; yield"), ["nothing"]);
        assert_eq!(of("skip; filter; yield"), ["nothing"]);
    }
}
