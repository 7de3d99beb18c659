// SPDX-License-Identifier: GPL-2.0

//! Differences about grants that expire.

use rseq_slice_diff_program::arg::Event;
use rseq_slice_diff_program::op::Op;
use rseq_slice_diff_program::outcome::{End, Seen};
use rseq_slice_diff_program::program::Program;

use super::{FAULTED, checks_words, delays, one_less, without_competition};
use crate::fork::{Branch, Fork};

/// Before a thread died in its grant, earlier grants may have expired while a call ended them.
pub(super) fn death_is_uncounted(program: &Program, _: &Fork, c: &Branch, rust: &Branch) -> bool {
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

/// Whether there are as many more expiries on C as there may be of threads that died in a grant.
pub(super) fn expired_dead(c: &End, rust: &End) -> bool {
    let more = c.expired.checked_sub(rust.expired).map(i64::try_from);
    matches!(more, Some(Ok(more)) if more <= c.unaccounted)
}

/// A grant ends before user mode only if the extension is short or the thread is delayed. The next call is
/// checked only with `rseq_debug`, and kills only if the control word is not 0.
pub(super) fn early_end_is_unchecked(
    program: &Program,
    _: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
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
    differs && (program.ops()).any(|op| shortens(op) || delays(op))
}

/// Whether some grants that were revoked, or not counted, expired on Rust only.
fn expired_on_rust(c: &End, rust: &End) -> bool {
    let as_rust = End {
        expired: rust.expired,
        ..c.clone()
    };
    let more = rust.expired.checked_sub(c.expired).map(i64::try_from);
    let ended = i64::try_from(rust.revoked).unwrap_or(0) + rust.unaccounted;
    as_rust == *rust && matches!(more, Some(Ok(more)) if more > 0 && more <= ended)
}

/// Each grant expires once. Rust updates user space then, as after a context switch, and may find an
/// invalid value in another field.
pub(super) fn expiry_keeps_sequence(
    program: &Program,
    fork: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
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
    differs && without_competition(program, fork)
}

/// On C the control word still shows the grant, which has no timer, or a later call ends the grant.
pub(super) fn expiry_in_kernel_leaves_grant(
    program: &Program,
    fork: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
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
    differs && without_competition(program, fork)
}
