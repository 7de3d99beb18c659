// SPDX-License-Identifier: GPL-2.0

//! Core scheduling keeps threads of different cookies from running on one core at a time: none of
//! them may stay in user mode for longer than the scheduler wants.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use nix::errno::Errno;
use rseq_slice_harness::{Counters, Layout, sys};

use crate::case::{Needs, Skip, Test, both};
use crate::check::{check, fail};
use crate::env::Env;
use crate::support::{CPU, Competitor, CounterDelta, Seen, Setup};

pub(crate) const TESTS: &[Test] = &[both("grants_nothing", Needs::On, grants_nothing)];

const CREATE: libc::c_long = 1;
const SHARE_FROM: libc::c_long = 3;

fn core_scheduling(operation: libc::c_long, thread: libc::c_long) -> Result<(), Errno> {
    const PR_SCHED_CORE: libc::c_long = 62;
    /// Of one thread.
    const THREAD: libc::c_long = 0;
    const NOTHING: libc::c_long = 0;
    // SAFETY: These operations take no pointer.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_prctl,
            PR_SCHED_CORE,
            operation,
            thread,
            THREAD,
            NOTHING,
        )
    };
    Errno::result(ret).map(drop)
}

fn grants_nothing(env: Env, layout: Layout) -> Result<()> {
    const REQUESTS: u32 = 20;
    /// Milliseconds, for the kernel switches core scheduling off later.
    const LATER: u32 = 1_000;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    match core_scheduling(CREATE, 0) {
        Err(Errno::EINVAL) => return Err(Skip("needs CONFIG_SCHED_CORE".into()).into()),
        Err(Errno::ENODEV) => return Err(Skip("needs a CPU with SMT".into()).into()),
        result => result?,
    }
    let delta = CounterDelta::start()?;
    for _ in 0..REQUESTS {
        let seen = setup.ask(&competitor)?;
        setup.set_word(0);
        check!(
            seen == Seen::Erased,
            "with a cookie the request is {seen:?}"
        );
    }
    delta.ensure(Counters::NOTHING)?;
    // The first process has no cookie.
    core_scheduling(SHARE_FROM, 1)?;
    for _ in 0..LATER {
        if setup.ask(&competitor)? == Seen::Granted {
            check!(sys::rseq_slice_yield()? == 1);
            return Ok(());
        }
        setup.set_word(0);
        thread::sleep(Duration::from_millis(1));
    }
    fail!("nothing is granted without a cookie either")
}
