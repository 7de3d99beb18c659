// SPDX-License-Identifier: GPL-2.0

//! Under a seccomp filter that refuses one of the calls that sections and their set-up make.

use std::thread;

use anyhow::{Result, anyhow, ensure};
use rseq_slice::abi::NR_RSEQ_SLICE_YIELD;
use rseq_slice::{Area, Exit, Policy, Why, set_policy, support};

use super::{start, start_bare};
use crate::allocator;
use crate::competitor::{Competitor, grants};
use crate::filter::{ACTIONS, Action, refuse};
use crate::runner::{Case, Expect};
use crate::situation::Situation;

const YIELD: libc::c_long = NR_RSEQ_SLICE_YIELD as libc::c_long;

/// Name and number of a call, whether set-up needs it in a situation, and what becomes of a process that is killed
/// for it.
type Call = (
    &'static str,
    libc::c_long,
    fn(Situation) -> bool,
    fn(Situation) -> Option<Expect>,
);

const CALLS: [Call; 7] = [
    // The exit is another call then.
    ("yield", YIELD, |_| false, |_| Some(Expect::Passes)),
    ("rseq", libc::SYS_rseq, needs_rseq, |situation| {
        killed_if(needs_rseq(situation))
    }),
    ("prctl", libc::SYS_prctl, needs_prctl, |situation| {
        killed_if(needs_prctl(situation))
    }),
    (
        "getpid",
        libc::SYS_getpid,
        |_| false,
        |_| Some(Expect::Killed),
    ),
    // The look for the filter, at the first grant. If it fails, a filter is assumed.
    (
        "openat",
        libc::SYS_openat,
        |_| false,
        |_| Some(Expect::Killed),
    ),
    ("read", libc::SYS_read, |_| false, |_| Some(Expect::Killed)),
    (
        "close",
        libc::SYS_close,
        |_| false,
        |_| Some(Expect::Killed),
    ),
];

fn needs_rseq(situation: Situation) -> bool {
    situation.area != Area::Libc
}

/// An own area is registered with the extension on.
fn needs_prctl(situation: Situation) -> bool {
    situation.area != Area::Own
}

fn killed_if(needed: bool) -> Option<Expect> {
    Some(if needed {
        Expect::Killed
    } else {
        Expect::Passes
    })
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, call, needed, killed) in CALLS {
        for (answer, action) in ACTIONS {
            let run = move |situation| {
                filtered_from_the_start(situation, call, action, needed(situation))
            };
            cases.push(Case {
                name: format!("seccomp_{name}_{answer}"),
                expect: if action == Action::Kill {
                    killed
                } else {
                    |_| Some(Expect::Passes)
                },
                run: Box::new(run),
                preload: None,
            });
        }
    }
    cases.extend([
        Case::new("seccomp_openat_kill_getpid", |situation| {
            by_getpid(situation, libc::SYS_openat, false)
        }),
        Case::new("seccomp_late_getpid", |situation| {
            by_getpid(situation, YIELD, true)
        }),
        Case::new("seccomp_late", late).only(|_| Some(Expect::Killed)),
        // A glibc that has registered an area before aborts if it cannot for a new thread.
        Case::new("seccomp_thread", a_thread_under_a_filter)
            .only(|situation| situation.tunable_off.then_some(Expect::Passes)),
    ]);
    cases
}

/// A filter from before the first section on.
fn filtered_from_the_start(
    situation: Situation,
    call: libc::c_long,
    action: Action,
    needed: bool,
) -> Result<()> {
    start_bare(situation)?;
    let _competitor = Competitor::start()?;
    if !needed {
        // Shows that the exit is another call, whatever becomes of the look for the filter.
        refuse(YIELD, Action::Kill)?;
    }
    refuse(call, action)?;
    allocator::begin_sections();
    if needed && action != Action::Kill {
        ensure!(
            support() == Err(Why::Refused(libc::EPERM)),
            "{:?}",
            support()
        );
        return Ok(());
    }
    ensure!(support() == Ok(situation.area), "{:?}", support());
    grants(5)
}

/// The policy that such filters want.
fn by_getpid(situation: Situation, call: libc::c_long, late: bool) -> Result<()> {
    set_policy(Policy {
        take_over: situation.take_over,
        exit: Exit::Getpid,
        ..Policy::DEFAULT
    })?;
    allocator::begin_sections();
    let _competitor = Competitor::start()?;
    if late {
        grants(2)?;
    }
    refuse(call, Action::Kill)?;
    grants(3)
}

/// A filter that comes after the first grant, and kills for how the others are ended.
fn late(situation: Situation) -> Result<()> {
    start(situation)?;
    let _competitor = Competitor::start()?;
    grants(2)?;
    refuse(YIELD, Action::Kill)?;
    grants(3)
}

/// A filter that a thread inherits.
fn a_thread_under_a_filter(situation: Situation) -> Result<()> {
    start(situation)?;
    refuse(libc::SYS_rseq, Action::Errno)?;
    let thread = thread::spawn(support);
    let support = thread.join().map_err(|_| anyhow!("the thread panicked"))?;
    ensure!(support == Err(Why::Refused(libc::EPERM)), "{support:?}");
    Ok(())
}
