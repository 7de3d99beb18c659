// SPDX-License-Identifier: GPL-2.0

//! The differences between the kernels that are meant to be.
//!
//! This is the only place that knows of any. An entry explains a [`Fork`], and only if the program
//! contains what brings the difference about and both kernels show what the entry says they do.

use rseq_slice_harness::Implementation;

use crate::arg::{Event, Handler, Text};
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
        name: "restart-at-expiry",
        reason: "a grant expires and the same thread is picked again: Rust restarts its sequence, C does not",
        certain: true,
        pairs: restart_at_expiry,
    },
    Intended {
        name: "expiry-in-the-kernel",
        reason: "a grant expires in the kernel and the same thread is picked again: C lets it last, Rust revokes",
        certain: true,
        pairs: expiry_in_the_kernel,
    },
    Intended {
        name: "request-in-debug-mode",
        reason: "a request without a grant, at the entry of a system call: rseq_debug kills on C, and not on Rust",
        certain: true,
        pairs: request_in_debug_mode,
    },
    Intended {
        name: "switch-before-grant",
        reason: "the CPU is taken between the interrupt and the grant: C grants, Rust does not",
        certain: false,
        pairs: switch_before_grant,
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
        name: "failed-update",
        reason: "the update of user space after a switch fails in a grant: C counts no end of it, Rust revokes it",
        certain: false,
        pairs: failed_update,
    },
    Intended {
        name: "right-after-the-grant",
        reason: "somebody else is due as soon as there is a grant: the device is late on Rust, which is in user mode by then",
        certain: false,
        pairs: right_after_the_grant,
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

/// Before one died, others may have expired as they were yielded or aborted.
fn expiry_of_the_dead(program: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
    let (Branch::End(c), Branch::End(rust)) = (c, rust) else {
        return false;
    };
    let as_rust = End {
        expired: rust.expired,
        ..c.clone()
    };
    let ended = if program.has_moments() {
        c.yielded + c.aborted
    } else {
        0
    };
    let with_dead = End {
        expired: rust.expired + c.expired.saturating_sub(rust.expired + ended),
        ..c.clone()
    };
    as_rust == *rust
        && c.expired > rust.expired
        && c.unaccounted > 0
        && expired_dead(&with_dead, rust)
}

/// Takes a short extension, or a thread that is held up: others are not over before user mode is reached. A check of the next call
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
    differs && (program.ops()).any(|op| shortens(op) || holds_up(op))
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

/// Whether a reschedule for which nobody wants the CPU may have come by that step.
fn without_rival(program: &Program, fork: &Fork) -> bool {
    let reschedules = |op: &Op| match op {
        Op::Reclass { .. } => true,
        Op::Then { event, .. } => *event == Event::Class,
        _ => false,
    };
    program.ops().take(fork.index + 1).any(reschedules)
}

/// Each grant expires once. As after a context switch the kernel may find that the thread wrote to other
/// fields what it must not.
fn restart_at_expiry(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
    let inside = (program.steps().get(fork.index)).is_some_and(|step| step.inside);
    let differs = match (c, rust) {
        (Branch::Step(c), Branch::Step(rust)) => {
            let as_rust = Seen {
                restarts: rust.restarts,
                ..c.clone()
            };
            inside && as_rust == *rust && rust.restarts == c.restarts + 1
        }
        (Branch::Step(_), Branch::End(rust)) => {
            let writes = |op: &Op| match op {
                Op::Cs { .. } => true,
                Op::Ids { .. } => checks_words(program),
                _ => false,
            };
            let mut before = program.ops().take(fork.index + 1);
            rust.how == FAULTED && rust.expired > 0 && before.any(writes)
        }
        _ => false,
    };
    differs && without_rival(program, fork)
}

/// On C the control word still shows the grant, which has no timer any more, or what ends it finds it.
fn expiry_in_the_kernel(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
    let differs = match (c, rust) {
        (Branch::Step(c), Branch::Step(rust)) => {
            let as_rust = Seen {
                word: rust.word,
                restarts: rust.restarts,
                timeout: rust.timeout,
                ..c.clone()
            };
            let lasts = c.word & 0xff00 != 0 && rust.word & 0xff00 == 0 && as_rust == *rust;
            lasts && rust.restarts >= c.restarts || one_less(c, rust)
        }
        (Branch::End(c), Branch::End(rust)) => {
            let as_rust = End {
                revoked: rust.revoked,
                yielded: rust.yielded,
                aborted: rust.aborted,
                unaccounted: rust.unaccounted,
                ..c.clone()
            };
            as_rust == *rust && c.expired > 0 && rust.revoked > c.revoked
        }
        _ => false,
    };
    differs && without_rival(program, fork)
}

/// The thread dies where on Rust it goes on, whatever comes then. If a child dies, the step of its parent
/// that waits for it shows that.
fn request_in_debug_mode(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
    let request_alone = |word: u32| word & 0xff != 0 && word & !0xff == 0;
    let stores = |op: &Op| match *op {
        Op::Word { value } | Op::Ask { word: value } | Op::Reclass { word: value } => {
            request_alone(value.0)
        }
        Op::Byte { index: 0, value } => request_alone(value.0),
        Op::Handle { with, .. } => with == Handler::Request,
        _ => false,
    };
    let died = match (c, rust) {
        (Branch::End(c), Branch::Step(_)) => c.how == FAULTED,
        (Branch::End(c), Branch::End(rust)) => c.how == FAULTED && rust.how != FAULTED,
        (Branch::Step(c), Branch::Step(rust)) => {
            let child = 1000 + i64::from(libc::SIGSEGV);
            c.signals > rust.signals || c.result == child && rust.result != child
        }
        _ => false,
    };
    checks_words(program) && died && program.ops().take(fork.index + 1).any(stores)
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

/// Takes an access that waits for its page, or a reschedule that the other CPU asks for in the same moment
/// as the rival's timer.
fn switch_before_grant(program: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
    let (Branch::End(c), Branch::End(rust)) = (c, rust) else {
        return false;
    };
    let as_rust = End {
        granted: rust.granted,
        expired: rust.expired,
        revoked: rust.revoked,
        yielded: rust.yielded,
        aborted: rust.aborted,
        unaccounted: rust.unaccounted,
        ..c.clone()
    };
    let fewer = c.granted.checked_sub(rust.granted);
    program.ops().any(holds_up)
        && as_rust == *rust
        && matches!(fewer, Some(1..))
        && c.revoked >= rust.revoked
        && c.yielded >= rust.yielded
        && c.aborted >= rust.aborted
        && c.expired >= rust.expired
        && c.expired - rust.expired <= c.granted - rust.granted
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

/// Where a thread survives its lie, the yield says on Rust that it was none.
fn lie_counted(program: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
    let (c, rust) = match (c, rust) {
        (Branch::End(c), Branch::End(rust)) => (c, rust),
        (Branch::Step(c), Branch::Step(rust)) => {
            return checks_words(program) && rust.signals > 0 && one_less(c, rust);
        }
        _ => return false,
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

/// Takes memory that goes away. A grant of a thread that is dead may expire on C.
fn failed_update(program: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
    let (Branch::End(c), Branch::End(rust)) = (c, rust) else {
        return false;
    };
    let as_rust = End {
        expired: rust.expired,
        revoked: rust.revoked,
        unaccounted: rust.unaccounted,
        ..c.clone()
    };
    let removes = |op: &Op| match op {
        Op::Then { event, .. } => {
            matches!(event, Event::Unmap | Event::ReadOnly | Event::NoAccess)
        }
        _ => false,
    };
    let uncounted = c.unaccounted - rust.unaccounted;
    let expired = c.expired.checked_sub(rust.expired).map(i64::try_from);
    c.how == FAULTED
        && as_rust == *rust
        && uncounted > 0
        && rust.revoked.checked_sub(c.revoked).map(i64::try_from) == Some(Ok(uncounted))
        && matches!(expired, Some(Ok(more)) if more <= uncounted)
        && program.ops().any(removes)
}

/// C is still in the kernel, where the sequence that made the request is restarted. On Rust that sequence
/// may have seen the grant and be over.
fn right_after_the_grant(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
    let (Branch::Step(c), Branch::Step(rust)) = (c, rust) else {
        return false;
    };
    let as_rust = Seen {
        restarts: rust.restarts,
        ..c.clone()
    };
    let step = program.steps().get(fork.index);
    let asks = step.is_some_and(|step| step.inside && matches!(step.op, Op::Ask { .. }));
    let sweeps = |op: &Op| matches!(op, Op::Then { event, .. } if *event == Event::Rival);
    asks && as_rust == *rust
        && c.word == 0
        && c.rival > 0
        && c.restarts == rust.restarts + 1
        && program.ops().take(fork.index).any(sweeps)
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
mod tests;
