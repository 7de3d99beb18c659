// SPDX-License-Identifier: MIT OR Apache-2.0

//! Bounds on the figures that matter: against the C implementation of the same run, against one
//! thread or undisturbed threads of it, and on counts. Never on seconds.

mod contests;
mod cycles;
mod latency;
mod paths;
#[cfg(test)]
mod tests;

use self::contests::Kind;
use crate::report::Report;

/// Whether a bound was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) name: String,
    /// What was measured, in words.
    pub(crate) what: String,
    pub(crate) kept: bool,
}

/// Judges a report by all bounds. What a bound needs and the report lacks breaks it.
pub(crate) fn judge(report: &Report) -> Vec<Verdict> {
    let mut verdicts = paths::judge(report);
    verdicts.extend(cycles::judge(report));
    verdicts.extend(latency::judge(report));
    verdicts.extend(contests::judge(report, Kind::AsTheyCome));
    verdicts.extend(contests::judge(report, Kind::Undisturbed));
    verdicts
}

fn missing(name: String) -> Verdict {
    Verdict {
        name,
        what: "not measured".to_owned(),
        kept: false,
    }
}
