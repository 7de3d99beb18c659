// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bounds on how often the clock event device is programmed in cycles of a grant.

use rseq_slice_bench_record::{Cause, Competitor};

use super::{Verdict, missing};
use crate::kernels::Kernel;
use crate::report::{CycleRow, Report};

/// Clock event device programmings less than in C, in a cycle of a grant that a timer interrupt
/// causes (difference `timer-starts-last`): one programming serves the interrupt and the timer of the
/// grant. In a few cycles a tick shares one on one of the two kernels.
const SAVED: f64 = 0.98;

/// If chance may have changed the programmings for each grant by more than this, the run says nothing.
const CHANCE: f64 = 0.5;

/// Judges all kinds of cycles.
pub(super) fn judge(report: &Report) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for cause in [Cause::Timer, Cause::Ipi] {
        for competitor in [Competitor::Sleeps, Competitor::Computes] {
            verdicts.push(programmings(report, cause, competitor));
        }
    }
    verdicts
}

fn programmings(report: &Report, cause: Cause, competitor: Competitor) -> Verdict {
    let saved = match cause {
        Cause::Timer => SAVED,
        Cause::Ipi => 0.0,
    };
    let name = format!(
        "clock event programmings, {cause:?}, competitor {competitor:?}: at least {saved} below C"
    );
    let count = |kernel| {
        let row = report.cycle(kernel, cause, competitor)?;
        Some((row.per_grant()?, row.less_ticks()?, by_chance(row)?))
    };
    let Some(((c, c_less, c_chance), (rust, rust_less, rust_chance))) =
        count(Kernel::C).zip(count(Kernel::Rust))
    else {
        return missing(name);
    };
    let chance = c_chance + rust_chance;
    Verdict {
        name,
        what: format!(
            "C {:.3} with {:.3} timer interrupts, Rust {:.3} with {:.3}, for each grant; {chance:.3} \
             by chance",
            c.0, c.1, rust.0, rust.1
        ),
        kept: chance <= CHANCE && rust_less <= c_less - saved + chance,
    }
}

/// By how much chance may have changed the programmings for each grant. A cycle that did not end in a yield was not
/// granted in time, or disturbed, and may have had none of them or twice as many. A timer interrupt
/// that does not cause a grant is taken out with one programming: it may have had two, as a competitor's
/// wakeup without a grant has, or a grant none of its own, as when a tick is due before its end.
fn by_chance(row: &CycleRow) -> Option<f64> {
    let record = &row.record;
    let (programmings, interrupts) = row.per_grant()?;
    let grants = record.counters.granted as f64;
    let other = record.cycles.abs_diff(record.counters.yielded) as f64;
    Some(other * programmings / grants + 2.0 * (interrupts - row.causes()).abs())
}
