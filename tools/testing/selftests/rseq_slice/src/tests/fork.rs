// SPDX-License-Identifier: GPL-2.0

//! What a child, or a thread, gets of the extension.

use std::thread;

use anyhow::{Result, anyhow};
use nix::errno::Errno;
use rseq_slice_harness::abi::PR_RSEQ_SLICE_EXTENSION_GET;
use rseq_slice_harness::{Counters, Layout, layout, set_layout, sys};

use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::support::{CPU, Competitor, CounterDelta, Setup, ensure_fine, ensure_fresh, flags};

pub(crate) const TESTS: &[Test] = &[
    both("copies_mode", Needs::On, copies_mode),
    both("copies_no_grant", Needs::On, copies_no_grant),
    both("thread_starts_without", Needs::On, thread_starts_without),
    both(
        "shared_memory_child_starts_without",
        Needs::On,
        shared_memory_child_starts_without,
    ),
];

/// A forked child has the same mode on its copy of the area, and its own grants.
fn copies_mode(env: Env, wanted: Layout) -> Result<()> {
    let setup = Setup::new(env, wanted)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    ensure_fine(|| {
        check!(layout()? == Some(wanted));
        check!(setup.area().flags() == flags(true));
        check!(setup.word() == 0);
        let competitor = Competitor::new(env, CPU)?;
        setup.obtain(&competitor)?;
        check!(sys::rseq_slice_yield()? == 1);
        set_layout(None)?;
        Ok(())
    })?;
    delta.ensure(Counters::yields(1))?;
    check!(
        layout()? == Some(wanted),
        "the child's mode became the parent's"
    );
    setup.obtain(&competitor)?;
    check!(sys::rseq_slice_yield()? == 1);
    delta.ensure(Counters::yields(2))
}

/// The grant ends with the entry into fork; the child has none, and its yield returns 0.
fn copies_no_grant(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    // SAFETY: The child makes two system calls and touches its own copy of the area only.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if pid == 0 {
        let word = setup.word();
        let yielded = sys::rseq_slice_yield().unwrap_or(-1);
        // SAFETY: Ends the child.
        unsafe { libc::_exit(i32::from(word != 0) | i32::from(yielded != 0) << 1) }
    }
    let pid = Errno::result(pid)?;
    check!(competitor.runs() == 1);
    check!(setup.word() == 0);
    let mut status = 0;
    // SAFETY: The status lives through the call.
    Errno::result(unsafe { libc::waitpid(i32::try_from(pid)?, &raw mut status, 0) })?;
    check!(status == 0, "the child ended with {status:#x}");
    delta.ensure(Counters::aborts(1))
}

fn thread_starts_without(env: Env, wanted: Layout) -> Result<()> {
    let setup = Setup::new(env, wanted)?;
    let competitor = Competitor::new(env, CPU)?;
    thread::spawn(move || {
        ensure_fresh()?;
        let own = Setup::new(env, wanted)?;
        own.obtain(&competitor)?;
        check!(sys::rseq_slice_yield()? == 1);
        Ok(())
    })
    .join()
    .unwrap_or_else(|_| Err(anyhow!("panic")))?;
    check!(layout()? == Some(wanted));
    check!(setup.area().flags() == flags(true));
    Ok(())
}

extern "C" fn report_setting(_: *mut libc::c_void) -> i32 {
    sys::prctl_slice_extension([PR_RSEQ_SLICE_EXTENSION_GET, 0, 0, 0])
        .map_or(-1, |value| value as i32)
}

/// A child that shares the memory of its parent, as of vfork, starts without.
fn shared_memory_child_starts_without(env: Env, wanted: Layout) -> Result<()> {
    let setup = Setup::new(env, wanted)?;
    let mut stack = vec![0_u64; 8192];
    let shared = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: The parent waits until the child, which needs little stack, has exited.
    let pid = unsafe { libc::clone(report_setting, top.cast(), shared, std::ptr::null_mut()) };
    Errno::result(pid)?;
    let mut status = -1;
    // SAFETY: The status lives through the call.
    Errno::result(unsafe { libc::waitpid(pid, &raw mut status, 0) })?;
    check!(
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        "{status:#x}"
    );
    check!(layout()? == Some(wanted));
    check!(setup.area().flags() == flags(true));
    Ok(())
}
