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
use crate::support::{CPU, Ledger, Rival, Scene, ensure_fine};

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
    let _scene = Scene::new(env, wanted)?;
    ensure_fine(|| match execv(SELF, &fresh_helper())? {})
}

fn ends_grant(env: Env, wanted: Layout) -> Result<()> {
    let ledger = Ledger::open()?;
    ensure_fine(|| {
        let scene = Scene::new(env, wanted)?;
        let rival = Rival::new(env, CPU)?;
        let args = fresh_helper();
        scene.obtain(&rival)?;
        match execv(SELF, &args)? {}
    })?;
    ledger.ensure(Counters::aborts(1))
}

fn failure_keeps_mode(env: Env, wanted: Layout) -> Result<()> {
    let scene = Scene::new(env, wanted)?;
    let rival = Rival::new(env, CPU)?;
    let ledger = Ledger::open()?;
    scene.obtain(&rival)?;
    let result = execv(c"/nothing/here", &[c"nothing"]);
    check!(result == Err(Errno::ENOENT));
    check!(rival.runs() == 1);
    check!(layout()? == Some(wanted));
    ledger.ensure(Counters::aborts(1))?;
    scene.obtain(&rival)?;
    check!(sys::rseq_slice_yield()? == 1);
    Ok(())
}
