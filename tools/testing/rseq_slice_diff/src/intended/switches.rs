// SPDX-License-Identifier: GPL-2.0

//! Differences about who gets the CPU.

use rseq_slice_diff_program::arg::Event;
use rseq_slice_diff_program::op::Op;
use rseq_slice_diff_program::outcome::{End, Seen};
use rseq_slice_diff_program::program::Program;

use super::{FAULTED, delays, one_less};
use crate::fork::{Branch, Fork};

/// The program needs an access that waits for its page, or a reschedule that the other CPU requests while the
/// competitor's timer does.
pub(super) fn grant_follows_switch(program: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
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
    program.ops().any(delays)
        && as_rust == *rust
        && matches!(fewer, Some(1..))
        && c.revoked >= rust.revoked
        && c.yielded >= rust.yielded
        && c.aborted >= rust.aborted
        && c.expired >= rust.expired
        && c.expired - rust.expired <= c.granted - rust.granted
}

/// The program needs a planned second reschedule, or an expiry.
pub(super) fn entry_reschedules_again(
    program: &Program,
    fork: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
    // On Rust, too, most calls come in time.
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

/// Whether Rust revokes some grants that C counts as yielded or aborted.
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

/// Whether some grants that C counts as yielded or aborted also count as expired there.
fn expired_as_well(c: &End, rust: &End) -> bool {
    let as_rust = End {
        expired: rust.expired,
        ..c.clone()
    };
    let more = c.expired.checked_sub(rust.expired);
    as_rust == *rust && matches!(more, Some(1..)) && more <= Some(c.yielded + c.aborted)
}

/// The program needs an area that becomes inaccessible. On C the grant of a dead thread may expire.
pub(super) fn failed_update_is_uncounted(
    program: &Program,
    _: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
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

/// A reschedule is due right after the grant. The clock event device is programmed earlier on C, so the
/// thread is still in the kernel, and the sequence with the request restarts. On Rust the sequence may be
/// over.
pub(super) fn timer_starts_last(program: &Program, fork: &Fork, c: &Branch, rust: &Branch) -> bool {
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

/// The competitor runs in a step on Rust. On C it runs in a later step, after the expiry, or at the end. A
/// second competitor, which has no counter here, runs together with the first on C, and ends another wait
/// on Rust.
pub(super) fn membarrier_loses_reschedule(
    program: &Program,
    fork: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
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
