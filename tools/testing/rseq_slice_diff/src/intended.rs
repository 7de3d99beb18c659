// SPDX-License-Identifier: GPL-2.0

//! The differences between the kernels that are meant to be.
//!
//! This is the only place that knows of any. An entry explains a [`Fork`], and only if the program
//! contains what brings the difference about and both kernels show what the entry says they do.

use rseq_slice::Implementation;

use crate::arg::{Event, Text};
use crate::compare::{Branch, Fork};
use crate::op::Op;
use crate::outcome::{End, How, Seen};
use crate::program::Program;

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
        pairs: bits_layout,
    },
    Intended {
        name: "expiry-of-the-dead",
        reason: "C leaves the grant of a thread that dies in place, and counts that it expires",
        certain: true,
        pairs: expiry_of_the_dead,
    },
    Intended {
        name: "over-in-the-kernel",
        reason: "C acts on a grant on the way out: one that is over by then neither expires nor has the next call checked",
        certain: false,
        pairs: over_in_the_kernel,
    },
    Intended {
        name: "switch-at-entry",
        reason: "the CPU is taken inside system call entry: C gives it up again, as a yield or an abort; Rust revokes",
        certain: false,
        pairs: switch_at_entry,
    },
    Intended {
        name: "lie-counted",
        reason: "C counts a grant whose thread lies as yielded or aborted, Rust counts it as died",
        certain: true,
        pairs: lie_counted,
    },
    Intended {
        name: "lost-reschedule",
        reason: "membarrier(2) ends a grant: C forgets the postponed reschedule, Rust asks for it again",
        certain: true,
        pairs: lost_reschedule,
    },
    Intended {
        name: "stale-yield",
        reason: "C keeps the result of a yield that a filter skipped for a later grant or a child",
        certain: true,
        pairs: stale_yield,
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
const EINVAL: i64 = -(libc::EINVAL as i64);

/// On Rust the call may also kill, as any other change does where the area is not accessible or its
/// flags are wrong. If a child makes the call, the step of its parent that waits for it shows that first.
fn bits_layout(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
    let asks = |op: &Op| {
        *op == Op::Prctl {
            op: 2,
            value: 3,
            arg4: 0,
            arg5: 0,
        }
    };
    let refused = |branch: &Branch| matches!(branch, Branch::Step(seen) if seen.result == EINVAL);
    let mut ops = program.ops().skip(fork.index);
    match ops.next() {
        Some(Op::Fork | Op::Vfork) => ops.any(asks) && other_result(c, rust),
        Some(op) => asks(op) && refused(c) && !refused(rust),
        None => false,
    }
}

/// Whether two steps returned different things and differ in nothing else.
fn other_result(c: &Branch, rust: &Branch) -> bool {
    let (Branch::Step(c), Branch::Step(rust)) = (c, rust) else {
        return false;
    };
    let as_rust = Seen {
        result: rust.result,
        ..c.clone()
    };
    as_rust == *rust && c != rust
}

/// Whether there are as many more expiries on C as there may be of threads that died in a grant.
fn expired_dead(c: &End, rust: &End) -> bool {
    let more = c.expired.checked_sub(rust.expired).map(i64::try_from);
    matches!(more, Some(Ok(more)) if more <= c.unaccounted)
}

fn expiry_of_the_dead(_: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
    let (Branch::End(c), Branch::End(rust)) = (c, rust) else {
        return false;
    };
    let as_rust = End {
        expired: rust.expired,
        ..c.clone()
    };
    as_rust == *rust && c != rust && expired_dead(c, rust)
}

/// Takes a short extension: others are not over before user mode is reached. A check of the next call
/// takes `rseq_debug` and a control word that is not zero, and kills.
fn over_in_the_kernel(program: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
    let shortens = |op: &Op| match op {
        Op::Length { .. } => true,
        Op::Then { event, .. } => *event == Event::Length,
        _ => false,
    };
    let differs = match (c, rust) {
        (Branch::End(c), Branch::End(rust)) => expired_on_rust(c, rust),
        (Branch::Step(c), Branch::End(rust)) => {
            checks_words(program) && c.word != 0 && rust.how == FAULTED
        }
        _ => false,
    };
    program.ops().any(shortens) && differs
}

/// Whether some grants that were taken back, or lost, expired on Rust alone.
fn expired_on_rust(c: &End, rust: &End) -> bool {
    let as_rust = End {
        expired: rust.expired,
        ..c.clone()
    };
    let more = rust.expired.checked_sub(c.expired).map(i64::try_from);
    let ended = i64::try_from(rust.revoked).unwrap_or(0) + rust.unaccounted;
    as_rust == *rust && matches!(more, Some(Ok(more)) if more > 0 && more <= ended)
}

/// Takes a second reschedule, which something planned brings, or the expiry.
fn switch_at_entry(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
    // Most calls come in time, on Rust as well.
    let both = fork.rust.contains_key(c) || fork.c.contains_key(rust);
    program.has_moments()
        && match (c, rust) {
            (Branch::Step(c), Branch::Step(rust)) => both && one_less(c, rust),
            (Branch::End(c), Branch::End(rust)) => {
                revoked_instead(c, rust) && (both || c.expired > 0) || expired_as_well(c, rust)
            }
            _ => false,
        }
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

/// Whether some grants that C counts as yielded or aborted are revoked on Rust.
fn revoked_instead(c: &End, rust: &End) -> bool {
    let as_rust = End {
        revoked: rust.revoked,
        yielded: rust.yielded,
        aborted: rust.aborted,
        ..c.clone()
    };
    as_rust == *rust
        && rust.revoked > c.revoked
        && c.yielded >= rust.yielded
        && c.aborted >= rust.aborted
        && c.yielded + c.aborted + c.revoked == rust.yielded + rust.aborted + rust.revoked
}

/// Whether some grants that C counts as yielded or aborted are expired there too.
fn expired_as_well(c: &End, rust: &End) -> bool {
    let as_rust = End {
        expired: rust.expired,
        ..c.clone()
    };
    let more = c.expired.checked_sub(rust.expired);
    as_rust == *rust && matches!(more, Some(1..)) && more <= Some(c.yielded + c.aborted)
}

fn lie_counted(program: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
    let (Branch::End(c), Branch::End(rust)) = (c, rust) else {
        return false;
    };
    let yields = c.yielded.checked_sub(rust.yielded);
    let aborts = c.aborted.checked_sub(rust.aborted);
    let (Some(yields), Some(aborts)) = (yields, aborts) else {
        return false;
    };
    let as_rust = End {
        expired: rust.expired,
        yielded: rust.yielded,
        aborted: rust.aborted,
        unaccounted: rust.unaccounted,
        ..c.clone()
    };
    let lies = i64::try_from(yields + aborts);
    checks_words(program)
        && as_rust == *rust
        && (c.expired == rust.expired || expired_dead(c, rust))
        && lies.is_ok_and(|lies| lies > 0 && c.unaccounted + lies == rust.unaccounted)
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

/// The rival runs in a step on Rust, and later on C: in the end if there is no step in which it can.
/// What Rust shows when the call let the rival run, C shows only when the expiry did. A second rival,
/// which is not seen, runs together with the first one on C, and ends another wait on Rust.
fn lost_reschedule(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
    let ends_grants = |op: &Op| match op {
        Op::Membarrier => true,
        Op::Then { event, .. } => *event == Event::Membarrier,
        _ => false,
    };
    let without = |seen: &Seen| Seen {
        rival: 0,
        timeout: 0,
        ..seen.clone()
    };
    let later = match (c, rust) {
        (Branch::Step(c), Branch::Step(rust)) => {
            let earlier = c.rival + 1 == rust.rival;
            let alone = c.rival == rust.rival && c.timeout > rust.timeout;
            (earlier || alone) && without(c) == without(rust)
        }
        (Branch::End(c), Branch::Step(rust)) => c.rival == 1 && rust.rival == 1 && c.revoked >= 1,
        (Branch::End(c), Branch::End(rust)) => {
            let as_rust = End {
                expired: rust.expired,
                ..c.clone()
            };
            as_rust == *rust && c.expired > rust.expired && rust.revoked > rust.expired
        }
        _ => false,
    };
    later && program.ops().take(fork.index + 1).any(ends_grants)
}

fn stale_yield(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
    let (Branch::Step(c), Branch::Step(rust)) = (c, rust) else {
        return false;
    };
    let before = program.ops().take(fork.index);
    let mut filtered = before.skip_while(|op| **op != Op::Filter);
    filtered.any(|op| *op == Op::Skip) && one_less(c, rust)
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
        assert_eq!(explained("prctl 2 3 0 0", c, "signal:11"), ["bits-layout"]);
        assert_eq!(
            explained("prctl 2 3 0 0", "-6/exit:0", "0/exit:0"),
            ["nothing"]
        );
    }

    #[test]
    fn bits_layout_is_seen_by_the_parent() {
        let (c, rust) = ("0,f30/exit:0", "1011,f30/exit:0");
        let of = |program| explained(program, c, rust);
        assert_eq!(of("fork; prctl 2 3 0 0"), ["bits-layout"]);
        assert_eq!(of("vfork; yield; prctl 2 3 0 0"), ["bits-layout"]);
        assert_eq!(of("fork; prctl 2 1 0 0"), ["nothing"]);
        assert_eq!(of("thread; prctl 2 3 0 0"), ["nothing"]);
        let other = "1011,f30,a1/exit:0";
        assert_eq!(explained("fork; prctl 2 3 0 0", c, other), ["nothing"]);
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
    fn over_in_the_kernel_takes_a_short_extension() {
        let (c, rust) = ("5/signal:11,g1,n1", "5/signal:11,g1,e1,n1");
        let of = |c, rust| explained("length \"5000\"", c, rust);
        assert_eq!(of(c, rust), ["over-in-the-kernel"]);
        assert_eq!(explained("yield", c, rust), ["nothing"]);
        assert_eq!(of("5/exit:0,g1,y1", "5/exit:0,g1,e1,y1"), ["nothing"]);
        assert_eq!(of("5/exit:0,g1,v1", "5/exit:0,g1,e1,n1"), ["nothing"]);
        let (c, rust) = ("5/1/0,w1/exit:0,g1,v1", "5/1/signal:11,g1,e1,v1");
        let of = |program| explained(program, c, rust);
        assert_eq!(
            of("length \"5000\"; debug \"1\"; yield"),
            ["over-in-the-kernel"]
        );
        assert_eq!(of("length \"5000\"; debug \"0\"; yield"), ["nothing"]);
        assert_eq!(of("yield; debug \"1\"; yield"), ["nothing"]);
        let (c, rust) = ("5/1/0/exit:0,g1,v1", "5/1/signal:11,g1,e1,v1");
        let program = "length \"5000\"; debug \"1\"; yield";
        assert_eq!(explained(program, c, rust), ["nothing"]);
    }

    #[test]
    fn switch_at_entry_takes_a_moment() {
        let of = |c, rust| explained("spin 500", c, rust);
        assert_eq!(
            of("1/exit:0,g1,e1,y1", "1/exit:0,g1,e1,v1"),
            ["switch-at-entry"]
        );
        assert_eq!(
            of("1/exit:0,g1,e1,x1", "1/exit:0,g1,e1,v1"),
            ["switch-at-entry"]
        );
        assert_eq!(
            of("1/exit:0,g1,e1,y1", "1/exit:0,g1,y1"),
            ["switch-at-entry"]
        );
        assert_eq!(of("1/exit:0,g1,y1", "1/exit:0,g1,v1"), ["nothing"]);
        assert_eq!(of("1/exit:0,g1,e1,v1", "1/exit:0,g1,e1,y1"), ["nothing"]);
        assert_eq!(of("1/exit:0,g1,e1,y1", "1/exit:0,g1,e1,x1"), ["nothing"]);
        // That Rust never yields where C always does is another matter.
        assert_eq!(of("1,a1/exit:0,g1,y1", "0,a1/exit:0,g1,v1"), ["nothing"]);
        let (c, rust) = ("1/exit:0,g1,e1,y1", "1/exit:0,g1,e1,v1");
        assert_eq!(explained("yield", c, rust), ["nothing"]);
    }

    #[test]
    fn an_unlikely_branch_beside_an_intended_one_is_not_decided() {
        let samples = |outcomes: &[(&str, u64)]| -> Samples {
            let parsed = outcomes.iter().map(|&(o, n)| (o.parse().unwrap(), n));
            parsed.collect()
        };
        let program = "prctl 2 3 0 0".parse().unwrap();
        let c = samples(&[("-22,f10/exit:0", 60), ("signal:9", 1)]);
        let rust = samples(&[("0,f30/exit:0", 61)]);
        let result = compare(&program, &c, &rust, ALL);
        assert!(result.is_open());
        assert!(result.intended.contains("bits-layout"));
        let c = samples(&[("-22,f10/exit:0", 30), ("signal:9", 31)]);
        let result = compare(&program, &c, &rust, ALL);
        assert_eq!(result.differences.len(), 1);
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
        let dies = "signal:10,a1,g1,v1";
        assert_eq!(explained("membarrier", dies, rust), ["lost-reschedule"]);
        assert_eq!(explained("yield", dies, rust), ["nothing"]);
        assert_eq!(
            explained("membarrier", "signal:10,g1,v1", rust),
            ["nothing"]
        );
        assert_eq!(
            explained("membarrier", "0,w100/exit:0", "0,a1/exit:0"),
            ["nothing"]
        );
        let (c, rust) = ("0,t1/exit:0,g1,v1", "0/exit:0,g1,v1");
        assert_eq!(explained("membarrier", c, rust), ["lost-reschedule"]);
        assert_eq!(explained("membarrier", rust, c), ["nothing"]);
        assert_eq!(explained("yield", c, rust), ["nothing"]);
        let (c, rust) = ("0,a1/exit:0,g1,e1,v1", "0,a1/exit:0,g1,v1");
        assert_eq!(explained("membarrier", c, rust), ["lost-reschedule"]);
        assert_eq!(explained("membarrier", rust, c), ["nothing"]);
        assert_eq!(explained("yield", c, rust), ["nothing"]);
        let (c, rust) = ("0,a1/exit:0,g1,e1,y1", "0,a1/exit:0,g1,y1");
        assert_eq!(explained("membarrier", c, rust), ["nothing"]);
    }

    #[test]
    fn stale_yield_takes_a_skipped_one() {
        let of = |program| explained(program, "0/-1/1/exit:0", "0/-1/0/exit:0");
        assert_eq!(of("filter; skip; yield"), ["stale-yield"]);
        assert_eq!(of("filter; yield; yield"), ["nothing"]);
        assert_eq!(of("skip; filter; yield"), ["nothing"]);
    }
}
