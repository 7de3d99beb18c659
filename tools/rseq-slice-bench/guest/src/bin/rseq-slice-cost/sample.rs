// SPDX-License-Identifier: MIT OR Apache-2.0

//! Taking samples.

use std::hint::black_box;

use anyhow::{Result, bail, ensure};
use rseq_slice_bench_guest::{mark, report};
use rseq_slice_bench_record::{PathName, PathRecord, Record};
use rseq_slice_harness::clock::ticks;
use rseq_slice_harness::{Bytes, Control, sys};

/// Looks at the counter before an interrupt counts as lost; more than a competitor sleeps.
const PATIENCE: usize = 100_000;

/// A gap between two readings of the counter that only an interrupt can leave.
const INTERRUPTED: u64 = 500;

/// Failures to get a sample for each sample that is wanted.
const FAILURES: usize = 2;

pub(crate) fn null_call() {
    // SAFETY: The call has no arguments and no effect.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

pub(crate) fn yield_call() {
    drop(black_box(sys::rseq_slice_yield()));
}

/// Takes `samples` samples, each of which may fail for a while, and reports them.
pub(crate) fn measure(
    samples: usize,
    path: PathName,
    mut sample: impl FnMut() -> Result<Option<u64>>,
) -> Result<()> {
    let mut taken = Vec::with_capacity(samples);
    let mut failed = 0;
    while taken.len() < samples {
        match sample()? {
            Some(ticks) => taken.push(ticks),
            None => failed += 1,
        }
        if failed > samples * FAILURES {
            bail!("{}: only {} samples", path.title(), taken.len());
        }
    }
    mark::next();
    report(&Record::Path(PathRecord::new(path, taken)))?;
    Ok(())
}

/// The ticks that `path` takes.
pub(crate) fn time(path: impl FnOnce()) -> u64 {
    mark::begin();
    let begin = ticks();
    path();
    let time = ticks() - begin;
    mark::end();
    time
}

/// The gap that the next interrupt leaves in the time of the thread.
///
/// Every look is between two readings of the counter, so that the interrupt is between two readings
/// wherever it comes.
pub(crate) fn next_gap() -> Option<u64> {
    mark::begin();
    let mut last = ticks();
    let mut gap = None;
    for _ in 0..PATIENCE {
        let now = ticks();
        if now - last > INTERRUPTED {
            gap = Some(now - last);
            break;
        }
        last = now;
    }
    mark::end();
    gap
}

/// The gap in which a grant appears.
pub(crate) fn gap_of_grant(control: &Bytes<'_>) -> Option<u64> {
    mark::begin();
    let gap = wait_for_grant(control);
    mark::end();
    gap
}

/// As [`gap_of_grant`], without marks.
pub(crate) fn wait_for_grant(control: &Bytes<'_>) -> Option<u64> {
    let mut last = ticks();
    for _ in 0..PATIENCE {
        let granted = control.is_granted();
        let now = ticks();
        if granted || (now - last > INTERRUPTED && control.is_granted()) {
            return Some(now - last);
        }
        last = now;
    }
    None
}

/// Ends a grant that may be there.
pub(crate) fn finish(control: &Bytes<'_>) {
    if control.clear_request() == rseq_slice_harness::Request::Granted {
        yield_call();
    }
}

/// Fails unless all went as it should in nearly all of `wanted` cases.
pub(crate) fn ensure_nearly(what: &str, count: u64, wanted: usize) -> Result<()> {
    ensure!(
        count >= wanted as u64 * 9 / 10,
        "{what}: the kernel counted {count}, {wanted} were wanted"
    );
    Ok(())
}
