// SPDX-License-Identifier: GPL-2.0

//! Any system call but the yield ends a grant, gives the CPU up, and then does its work.

use std::fs::File;
use std::io::{Read, Write};
use std::process;

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::pipe;
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::timer::{Due, SignalTimer};
use rseq_slice_harness::{Counters, Layout, layout, set_extension_length, set_layout, sys};

use crate::case::Disturbance::{Checks, Load};
use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::support::{CPU, Child, Competitor, CounterDelta, Setup, handle, hits, soon};

pub(crate) const TESTS: &[Test] = &[
    both("getpid_ends_grant", Needs::On, getpid_ends_grant),
    both("write_ends_grant", Needs::On, write_ends_grant),
    both("sleep_ends_grant", Needs::On, sleep_ends_grant),
    both(
        "unknown_call_ends_grant",
        Needs::On,
        unknown_call_ends_grant,
    ),
    both("disable_ends_grant", Needs::On, disable_ends_grant),
    both("unregister_ends_grant", Needs::On, unregister_ends_grant),
    both("exit_ends_grant", Needs::On, exit_ends_grant),
    both(
        "handler_return_ends_grant",
        Needs::On,
        handler_return_ends_grant,
    )
    .tolerates(&[Load, Checks]),
];

/// Makes a system call inside of a grant and checks all that is the same for all of them.
fn abort<T>(env: Env, layout: Layout, call: impl FnOnce() -> T) -> Result<(Setup, T)> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    let result = call();
    let ran = competitor.runs();
    let word = setup.word();
    let yielded = sys::rseq_slice_yield()?;
    check!(
        ran == 1,
        "the competitor had not run when the call returned"
    );
    check!(word == 0, "the word is {word:#x}");
    check!(yielded == 0, "a yield after the grant returned {yielded}");
    delta.ensure(Counters::aborts(1))?;
    Ok((setup, result))
}

fn getpid_ends_grant(env: Env, layout: Layout) -> Result<()> {
    // SAFETY: The call takes no pointer.
    let (_, pid) = abort(env, layout, || unsafe { libc::syscall(libc::SYS_getpid) })?;
    check!(pid == i64::from(process::id()));
    Ok(())
}

fn write_ends_grant(env: Env, layout: Layout) -> Result<()> {
    let (reader, writer) = pipe()?;
    let (mut reader, mut writer) = (File::from(reader), File::from(writer));
    let (_, result) = abort(env, layout, || writer.write(b"text"))?;
    let mut text = [0; 8];
    check!(result? == 4);
    check!(reader.read(&mut text)? == 4);
    check!(text.starts_with(b"text"), "{text:?}");
    Ok(())
}

fn sleep_ends_grant(env: Env, layout: Layout) -> Result<()> {
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 100_000,
    };
    // SAFETY: The structure lives through the call, and no rest is asked for.
    let sleep = || unsafe { libc::nanosleep(&raw const time, std::ptr::null_mut()) };
    let (_, result) = abort(env, layout, sleep)?;
    check!(result == 0);
    Ok(())
}

fn unknown_call_ends_grant(env: Env, layout: Layout) -> Result<()> {
    // SAFETY: There is no such call.
    let call = || Errno::result(unsafe { libc::syscall(9999) });
    let (_, result) = abort(env, layout, call)?;
    check!(result == Err(Errno::ENOSYS));
    Ok(())
}

fn disable_ends_grant(env: Env, wanted: Layout) -> Result<()> {
    let (_setup, result) = abort(env, wanted, || set_layout(None))?;
    result?;
    check!(layout()?.is_none());
    Ok(())
}

fn unregister_ends_grant(env: Env, wanted: Layout) -> Result<()> {
    let setup = Setup::new(env, wanted)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    setup.into_registration().unregister()?;
    check!(competitor.runs() == 1);
    check!(layout()?.is_none());
    check!(sys::rseq_slice_yield()? == 0);
    delta.ensure(Counters::aborts(1))
}

fn exit_ends_grant(env: Env, layout: Layout) -> Result<()> {
    let delta = CounterDelta::start()?;
    let child = Child::start(|| {
        let setup = Setup::new(env, layout)?;
        let competitor = Competitor::new(env, CPU)?;
        setup.obtain(&competitor)?;
        // SAFETY: Ends the process with no system call before.
        unsafe { libc::_exit(0) }
    })?;
    child.ensure_fine()?;
    delta.ensure(Counters::aborts(1))
}

/// A signal does not end a grant, but the return from its handler is a system call.
fn handler_return_ends_grant(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let timer = SignalTimer::new(Signal::SIGUSR1 as i32)?;
    handle(Signal::SIGUSR1)?;
    let delta = CounterDelta::start()?;
    let due = soon(env)?;
    timer.fire(Due::At(due + 20_000))?;
    setup.obtain_at(due, &competitor)?;
    let came = spin_while(1_000_000, || hits() == 0);
    let word = setup.word();
    let ran = competitor.runs();
    check!(came, "the signal never came");
    check!(word == 0, "the word is {word:#x}");
    check!(
        ran == 1,
        "the competitor had not run when the handler returned"
    );
    delta.ensure(Counters::aborts(1))
}
