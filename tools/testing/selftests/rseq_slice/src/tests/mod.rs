// SPDX-License-Identifier: GPL-2.0

//! The tests, by topic.

mod abort;
mod absent;
mod beside;
mod boot;
pub(crate) mod churn;
mod coarse;
mod consistency;
mod core_sched;
mod expiry;
mod fault;
mod futex;
mod grant;
mod hostile;
mod inherit;
mod knobs;
mod lazy;
mod lost;
mod migrate;
mod off;
mod overrun;
mod patterns;
mod prctl;
mod prctl_flags;
mod proposal;
mod race;
mod registration;
mod resched;
mod rest;
mod revoke;
mod seccomp;
mod segv;
mod sequence;
mod stale;
mod storm;
mod torn;
mod userfault;
mod words;
mod yields;

use crate::case::Test;

/// All tables, in the order in which they run.
pub(crate) const ALL: &[&[Test]] = &[
    boot::TESTS,
    knobs::TESTS,
    registration::TESTS,
    off::TESTS,
    absent::TESTS,
    coarse::TESTS,
    core_sched::TESTS,
    prctl::TESTS,
    prctl_flags::TESTS,
    grant::TESTS,
    lazy::TESTS,
    yields::TESTS,
    abort::TESTS,
    expiry::TESTS,
    overrun::TESTS,
    revoke::TESTS,
    lost::TESTS,
    race::TESTS,
    sequence::TESTS,
    resched::TESTS,
    torn::TESTS,
    storm::TESTS,
    stale::TESTS,
    seccomp::TESTS,
    inherit::TESTS,
    migrate::TESTS,
    fault::TESTS,
    segv::TESTS,
    userfault::TESTS,
    futex::TESTS,
    hostile::TESTS,
    consistency::TESTS,
    words::TESTS,
    patterns::TESTS,
    proposal::TESTS,
    churn::TESTS,
    beside::GROUPS,
    beside::CLASSES,
    beside::TRACING,
    beside::MEMORY,
    beside::PROCESSES,
    rest::TESTS,
];
