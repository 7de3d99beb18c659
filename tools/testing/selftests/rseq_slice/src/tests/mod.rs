// SPDX-License-Identifier: GPL-2.0

//! The tests. Each group is named like the module that it is in.

mod abort;
mod absent;
mod beside;
mod boot;
mod churn;
mod coarse;
mod consistency;
mod core_sched;
mod died;
mod exec;
mod expiry;
mod fault;
mod fork;
mod futex;
mod grant;
mod hostile;
mod knobs;
mod lazy;
mod lost;
mod migrate;
mod off;
mod overrun;
mod patterns;
mod policy;
mod prctl;
mod prctl_flags;
mod program;
mod race;
mod registration;
mod rest;
mod revoke;
mod seccomp;
mod sequence;
mod stale;
mod trace;
mod userfault;
mod words;
mod yields;

use crate::case::{Group, group};

/// All groups, in the order in which they run.
pub(crate) const ALL: &[Group] = &[
    group!(boot),
    group!(knobs),
    group!(registration),
    group!(off),
    group!(absent),
    group!(coarse),
    group!(core_sched),
    group!(prctl),
    group!(prctl_flags),
    group!(grant),
    group!(lazy),
    group!(yields),
    group!(abort),
    group!(expiry),
    group!(overrun),
    group!(revoke),
    group!(lost),
    group!(race),
    group!(sequence: TESTS, CHANGES, EXPIRY, STORM),
    group!(stale),
    group!(seccomp),
    group!(fork),
    group!(exec),
    group!(died),
    group!(migrate),
    group!(fault: TESTS, HANDLER),
    group!(userfault),
    group!(futex),
    group!(hostile),
    group!(consistency),
    group!(words),
    group!(patterns),
    group!(policy),
    group!(program),
    group!(trace),
    group!(churn),
    group!(beside: GROUPS, CLASSES, TRACING, MEMORY, PROCESSES),
    group!(rest),
];
