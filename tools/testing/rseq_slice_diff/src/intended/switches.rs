// SPDX-License-Identifier: GPL-2.0

//! Where somebody else gets the CPU.

use rseq_slice_diff_program::arg::Event;
use rseq_slice_diff_program::op::Op;
use rseq_slice_diff_program::outcome::{End, Seen};
use rseq_slice_diff_program::program::Program;

use super::{FAULTED, holds_up, one_less};
use crate::fork::{Branch, Fork};

/// Takes an access that waits for its page, or a reschedule that the other CPU asks for in the same moment
/// as the competitor's timer.
pub(super) fn switch_before_grant(program: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
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
pub(super) fn switch_at_entry(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
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

/// Takes memory that goes away. A grant of a thread that is dead may expire on C.
pub(super) fn failed_update(program: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
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
pub(super) fn right_after_the_grant(
    program: &Program,
    fork: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
    let (Branch::Step(c), Branch::Step(rust)) = (c, rust) else {
        return false;
    };
    let as_rust = Seen {
        restarts: rust.restarts,
        ..c.clone()
    };
    let step = program.steps().get(fork.index);
    let asks = step.is_some_and(|step| step.inside && matches!(step.op, Op::Ask { .. }));
    let sweeps = |op: &Op| matches!(op, Op::Then { event, .. } if *event == Event::Competitor);
    asks && as_rust == *rust
        && c.word == 0
        && c.competitor > 0
        && c.restarts == rust.restarts + 1
        && program.ops().take(fork.index).any(sweeps)
}

/// The competitor runs in a step on Rust, and later on C: in the end if there is no step in which it can.
/// What Rust shows when the call let the competitor run, C shows only when the expiry did. A second competitor,
/// which is not seen, runs together with the first one on C, and ends another wait on Rust.
pub(super) fn lost_reschedule(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
    let ends_grants = |op: &Op| match op {
        Op::Membarrier => true,
        Op::Then { event, .. } => *event == Event::Membarrier,
        _ => false,
    };
    let without = |seen: &Seen| Seen {
        competitor: 0,
        timeout: 0,
        ..seen.clone()
    };
    let later = match (c, rust) {
        (Branch::Step(c), Branch::Step(rust)) => {
            let earlier = c.competitor + 1 == rust.competitor;
            let alone = c.competitor == rust.competitor && c.timeout > rust.timeout;
            (earlier || alone) && without(c) == without(rust)
        }
        (Branch::End(c), Branch::Step(rust)) => {
            c.competitor == 1 && rust.competitor == 1 && c.revoked >= 1
        }
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
