// SPDX-License-Identifier: GPL-2.0

//! A new program starts without the extension, and execve(2) ends a grant as any call does.

use std::ffi::{CStr, CString};

use anyhow::Result;
use nix::errno::Errno;
use nix::unistd::execv;
use rseq_slice_harness::{Counters, Layout, layout, sys};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::support::{CPU, Competitor, CounterDelta, Setup, ensure_fine};

pub(crate) const TESTS: &[Test] = &[
    both("starts_without", Needs::On, starts_without),
    both("ends_grant", Needs::On, ends_grant),
    both("failure_keeps_mode", Needs::On, failure_keeps_mode),
];

const SELF: &CStr = c"/proc/self/exe";

/// The arguments that make this program tell whether it starts afresh.
fn fresh_helper() -> [CString; 3] {
    ["rseq_slice_selftest", "--helper", "fresh"].map(|arg| CString::new(arg).unwrap())
}

fn starts_without(env: Env, wanted: Layout) -> Result<()> {
    let _setup = Setup::new(env, wanted)?;
    ensure_fine(|| match execv(SELF, &fresh_helper())? {})
}

fn ends_grant(env: Env, wanted: Layout) -> Result<()> {
    let delta = CounterDelta::start()?;
    ensure_fine(|| {
        let setup = Setup::new(env, wanted)?;
        let competitor = Competitor::new(env, CPU)?;
        let args = fresh_helper();
        setup.obtain(&competitor)?;
        match execv(SELF, &args)? {}
    })?;
    delta.ensure(Counters::aborts(1))
}

fn failure_keeps_mode(env: Env, wanted: Layout) -> Result<()> {
    let setup = Setup::new(env, wanted)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    let result = execv(c"/nothing/here", &[c"nothing"]);
    check!(result == Err(Errno::ENOENT));
    check!(competitor.runs() == 1);
    check!(layout()? == Some(wanted));
    delta.ensure(Counters::aborts(1))?;
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    Ok(())
}
