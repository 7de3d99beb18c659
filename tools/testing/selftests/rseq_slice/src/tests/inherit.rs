// SPDX-License-Identifier: GPL-2.0

//! What children, threads and new programs get of the extension, and what is left of a thread that
//! dies inside of a grant.

use std::ffi::{CStr, CString};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::execv;
use rseq_slice_harness::abi::{PR_RSEQ_SLICE_EXTENSION_GET, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON};
use rseq_slice_harness::clock::spin;
use rseq_slice_harness::timer::{Due, SignalTimer};
use rseq_slice_harness::{
    Counters, Layout, Registration, SliceError, layout, set_extension_length, set_layout, sys,
};

use crate::case::{Needs, Test, both};
use crate::kernel::Kernel;
use crate::support::{CPU, Child, Ledger, PATIENCE, Rival, Scene, ensure_fine, flags, soon};

pub(crate) const TESTS: &[Test] = &[
    both("inherit.fork", Needs::On, fork),
    both("inherit.fork_in_grant", Needs::On, fork_in_grant),
    both("inherit.thread", Needs::On, thread_starts_fresh),
    both(
        "inherit.shared_memory_child",
        Needs::On,
        shared_memory_child,
    ),
    both("inherit.exec", Needs::On, exec),
    both("inherit.exec_in_grant", Needs::On, exec_in_grant),
    both("inherit.failed_exec", Needs::On, failed_exec),
    both("inherit.unregister", Needs::On, unregister),
    both("died.killed_in_grant", Needs::On, killed_in_grant).undisturbed(),
    both("died.fault_in_grant", Needs::On, fault_in_grant),
];

const SELF: &CStr = c"/proc/self/exe";

/// A forked child has the same setting on its copy of the area, and its own grants.
fn fork(_: &Kernel, wanted: Layout) -> Result<()> {
    let scene = Scene::new(wanted)?;
    let rival = Rival::new(CPU)?;
    let ledger = Ledger::open()?;
    ensure_fine(|| {
        ensure!(layout()? == Some(wanted));
        ensure!(scene.area().flags() == flags(true) && scene.word() == 0);
        let rival = Rival::new(CPU)?;
        scene.obtain(&rival)?;
        ensure!(sys::rseq_slice_yield()? == 1);
        set_layout(None)?;
        Ok(())
    })?;
    ledger.ensure(Counters::yields(1))?;
    ensure!(
        layout()? == Some(wanted),
        "the child's choice became the parent's"
    );
    scene.obtain(&rival)?;
    ensure!(sys::rseq_slice_yield()? == 1);
    ledger.ensure(Counters::yields(2))
}

/// The grant ends with the entry into fork; the child has none, and nothing to report.
fn fork_in_grant(_: &Kernel, layout: Layout) -> Result<()> {
    let scene = Scene::new(layout)?;
    let rival = Rival::new(CPU)?;
    let ledger = Ledger::open()?;
    scene.obtain(&rival)?;
    // SAFETY: The child makes two system calls and touches its own copy of the area only.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if pid == 0 {
        let word = scene.word();
        let yielded = sys::rseq_slice_yield().unwrap_or(-1);
        // SAFETY: Ends the child.
        unsafe { libc::_exit(i32::from(word != 0) | i32::from(yielded != 0) << 1) }
    }
    let pid = Errno::result(pid)?;
    ensure!(rival.runs() == 1 && scene.word() == 0);
    let mut status = 0;
    // SAFETY: The status lives through the call.
    Errno::result(unsafe { libc::waitpid(i32::try_from(pid)?, &raw mut status, 0) })?;
    ensure!(status == 0, "the child ended with {status:#x}");
    ledger.ensure(Counters::aborts(1))
}

fn is_fresh() -> Result<()> {
    ensure!(layout()?.is_none(), "the setting was inherited");
    let result = set_layout(Some(Layout::Bytes));
    ensure!(
        matches!(result, Err(SliceError::NotRegistered)),
        "{result:?}"
    );
    ensure!(sys::rseq_slice_yield()? == 0);
    Ok(())
}

fn thread_starts_fresh(_: &Kernel, wanted: Layout) -> Result<()> {
    let scene = Scene::new(wanted)?;
    let rival = Rival::new(CPU)?;
    thread::spawn(move || {
        is_fresh()?;
        let own = Scene::new(wanted)?;
        own.obtain(&rival)?;
        ensure!(sys::rseq_slice_yield()? == 1);
        Ok(())
    })
    .join()
    .unwrap_or_else(|_| Err(anyhow!("panic")))?;
    ensure!(layout()? == Some(wanted));
    ensure!(scene.area().flags() == flags(true));
    Ok(())
}

extern "C" fn report_setting(_: *mut libc::c_void) -> i32 {
    sys::prctl_slice_extension([PR_RSEQ_SLICE_EXTENSION_GET, 0, 0, 0])
        .map_or(-1, |value| value as i32)
}

/// A child that shares the memory of its parent, as of vfork, starts without.
fn shared_memory_child(_: &Kernel, wanted: Layout) -> Result<()> {
    let scene = Scene::new(wanted)?;
    let mut stack = vec![0_u64; 8192];
    let shared = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let top = stack.as_mut_ptr_range().end;
    // SAFETY: The parent waits until the child, which needs little stack, has exited.
    let pid = unsafe { libc::clone(report_setting, top.cast(), shared, std::ptr::null_mut()) };
    Errno::result(pid)?;
    let mut status = -1;
    // SAFETY: The status lives through the call.
    Errno::result(unsafe { libc::waitpid(pid, &raw mut status, 0) })?;
    ensure!(
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
        "{status:#x}"
    );
    ensure!(layout()? == Some(wanted) && scene.area().flags() == flags(true));
    Ok(())
}

/// The arguments that make this program tell whether it starts afresh.
fn fresh_helper() -> [CString; 3] {
    ["rseq_slice_selftest", "--helper", "fresh"].map(|arg| CString::new(arg).unwrap())
}

fn exec(_: &Kernel, wanted: Layout) -> Result<()> {
    let _scene = Scene::new(wanted)?;
    ensure_fine(|| match execv(SELF, &fresh_helper())? {})
}

fn exec_in_grant(_: &Kernel, wanted: Layout) -> Result<()> {
    let ledger = Ledger::open()?;
    ensure_fine(|| {
        let scene = Scene::new(wanted)?;
        let rival = Rival::new(CPU)?;
        let args = fresh_helper();
        scene.obtain(&rival)?;
        match execv(SELF, &args)? {}
    })?;
    ledger.ensure(Counters::aborts(1))
}

fn failed_exec(_: &Kernel, wanted: Layout) -> Result<()> {
    let scene = Scene::new(wanted)?;
    let rival = Rival::new(CPU)?;
    let ledger = Ledger::open()?;
    scene.obtain(&rival)?;
    let result = execv(c"/nothing/here", &[c"nothing"]);
    ensure!(result == Err(Errno::ENOENT));
    ensure!(rival.runs() == 1);
    ensure!(layout()? == Some(wanted));
    ledger.ensure(Counters::aborts(1))?;
    scene.obtain(&rival)?;
    ensure!(sys::rseq_slice_yield()? == 1);
    Ok(())
}

fn unregister(_: &Kernel, wanted: Layout) -> Result<()> {
    for flag in [0, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON] {
        let registration = Registration::with_flags(flag)?;
        set_layout(Some(wanted))?;
        registration.unregister()?;
        is_fresh()?;
        let registration = Registration::new()?;
        ensure!(layout()?.is_none());
        ensure!(registration.area().flags() == flags(false));
    }
    Ok(())
}

/// The grant ended with the thread. That may have taken longer than the extension.
fn ensure_died(ledger: &Ledger) -> Result<()> {
    let died = Counters {
        expired: ledger.counted()?.map_or(0, |tally| tally.expired),
        ..Counters::deaths(1)
    };
    ledger.ensure(died)
}

fn killed_in_grant(_: &Kernel, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let ledger = Ledger::open()?;
    let child = Child::start(|| {
        let scene = Scene::new(layout)?;
        let rival = Rival::new(CPU)?;
        let timer = SignalTimer::new(Signal::SIGKILL as i32)?;
        let due = soon()?;
        timer.fire(Due::At(due + 20_000))?;
        scene.obtain_at(due, &rival)?;
        spin(PATIENCE);
        Ok(())
    })?;
    child.ensure_killed(Signal::SIGKILL)?;
    ensure_died(&ledger)
}

fn fault_in_grant(_: &Kernel, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let ledger = Ledger::open()?;
    let child = Child::start(|| {
        let scene = Scene::new(layout)?;
        let rival = Rival::new(CPU)?;
        let nowhere = std::ptr::without_provenance::<u8>(8);
        scene.obtain(&rival)?;
        // SAFETY: There is none: the fault is what is wanted.
        unsafe { nowhere.read_volatile() };
        Ok(())
    })?;
    child.ensure_killed(Signal::SIGSEGV)?;
    ensure_died(&ledger)
}
