// SPDX-License-Identifier: GPL-2.0

//! Differences about control words, modes and results.

use rseq_slice_diff_program::arg::Handler;
use rseq_slice_diff_program::op::Op;
use rseq_slice_diff_program::outcome::{End, Seen};
use rseq_slice_diff_program::program::Program;

use super::{FAULTED, checks_words, expiry::expired_dead, one_less};
use crate::fork::{Branch, Fork};

const EINVAL: i64 = -(libc::EINVAL as i64);

/// On Rust the call may also kill: the area may be inaccessible, or its flags wrong. If a child makes the
/// call, the step in which the parent waits for the child shows the difference first.
pub(super) fn bits_layout_is_invalid(
    program: &Program,
    fork: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
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

/// Whether two steps differ in their result only.
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

/// The thread dies on C and goes on on Rust. If a child dies, the step in which the parent waits for it
/// shows that.
pub(super) fn request_is_violation(
    program: &Program,
    fork: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
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

/// If the thread handles the `SIGSEGV`, the yield returns 1 on C and 0 on Rust.
pub(super) fn violation_counts_as_end(
    program: &Program,
    _: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
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
    let violations = i64::try_from(yields + aborts);
    checks_words(program)
        && as_rust == *rust
        && (c.expired == rust.expired || expired_dead(c, rust))
        && violations.is_ok_and(|n| n > 0 && c.unaccounted + n == rust.unaccounted)
}

pub(super) fn skipped_yield_is_reported_later(
    program: &Program,
    fork: &Fork,
    c: &Branch,
    rust: &Branch,
) -> bool {
    let (Branch::Step(c), Branch::Step(rust)) = (c, rust) else {
        return false;
    };
    let before = program.ops().take(fork.index);
    let mut filtered = before.skip_while(|op| **op != Op::Filter);
    filtered.any(|op| *op == Op::Skip) && one_less(c, rust)
}
