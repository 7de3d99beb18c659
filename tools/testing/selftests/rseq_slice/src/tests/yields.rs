// SPDX-License-Identifier: GPL-2.0

//! rseq_slice_yield(2) tells whether the CPU was given up inside a grant, once per grant.

use anyhow::Result;
use nix::errno::Errno;
use rseq_slice_harness::abi::{LEGACY_LEN, NR_RSEQ_SLICE_YIELD};
use rseq_slice_harness::{Counters, Layout, Registration, set_extension_length, sys};

use crate::case::{Needs, Skip, Test, both, once};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::support::{CPU, Competitor, CounterDelta, Page, Setup, grant_word, request_word};

pub(crate) const TESTS: &[Test] = &[
    once(
        "return_0_without_extension",
        Needs::Nothing,
        return_0_without_extension,
    ),
    both("return_0_without_grant", Needs::On, return_0_without_grant),
    both(
        "return_1_once_per_grant",
        Needs::On,
        return_1_once_per_grant,
    ),
    both(
        "return_1_after_page_fault",
        Needs::On,
        return_1_after_page_fault,
    ),
    both("erase_new_request", Needs::On, erase_new_request),
    both("work_from_x32", Needs::On, work_from_x32),
];

fn return_0_without_extension(_: Env) -> Result<()> {
    check!(sys::rseq_slice_yield()? == 0, "without an area");
    let page = Page::new()?;
    // SAFETY: The page is never freed.
    let legacy = unsafe { Registration::at(page.area(), LEGACY_LEN, 0) }?;
    check!(sys::rseq_slice_yield()? == 0, "with a legacy area");
    legacy.unregister()?;
    let registration = Registration::new()?;
    check!(sys::rseq_slice_yield()? == 0, "without the extension");
    drop(registration);
    Ok(())
}

/// A request that nobody answered is not touched.
fn return_0_without_grant(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let delta = CounterDelta::start()?;
    check!(sys::rseq_slice_yield()? == 0);
    setup.request();
    check!(sys::rseq_slice_yield()? == 0);
    check!(setup.word() == request_word(layout));
    setup.set_word(0);
    delta.ensure(Counters::NOTHING)
}

fn return_1_once_per_grant(env: Env, layout: Layout) -> Result<()> {
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    for _ in 0..3 {
        setup.obtain(&competitor)?;
        check!(sys::rseq_slice_yield()? == 1);
        check!(sys::rseq_slice_yield()? == 0);
        check!(sys::rseq_slice_yield()? == 0);
    }
    delta.ensure(Counters::yields(3))
}

/// A request that is made inside of a grant ends with it.
fn erase_new_request(env: Env, layout: Layout) -> Result<()> {
    set_debug(false)?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    setup.set_word(grant_word(layout) | request_word(layout));
    check!(sys::rseq_slice_yield()? == 1);
    check!(setup.word() == 0);
    delta.ensure(Counters::yields(1))
}

/// A page fault is an interrupt that wants no reschedule: the grant outlives it.
fn return_1_after_page_fault(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(50_000)?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let fresh = Page::new()?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    // SAFETY: The page is never freed and holds an area of zeros.
    unsafe { fresh.area().as_ref() }.set_flags(1);
    let live = setup.is_granted();
    let yielded = sys::rseq_slice_yield()?;
    check!(live && yielded == 1, "{live}, {yielded}");
    delta.ensure(Counters::yields(1))
}

/// The calls of x32 have the numbers of the others, and a bit on top.
#[cfg(target_arch = "x86_64")]
fn work_from_x32(env: Env, layout: Layout) -> Result<()> {
    const X32: libc::c_long = 0x4000_0000;
    // SAFETY: The call takes no argument.
    let call = || Errno::result(unsafe { libc::syscall(X32 | NR_RSEQ_SLICE_YIELD) });
    if call() == Err(Errno::ENOSYS) {
        return Err(Skip("needs CONFIG_X86_X32_ABI".into()).into());
    }
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    setup.obtain(&competitor)?;
    let yielded = call()?;
    check!(yielded == 1 && competitor.runs() == 1, "{yielded}");
    check!(call()? == 0);
    delta.ensure(Counters::yields(1))
}

#[cfg(not(target_arch = "x86_64"))]
fn work_from_x32(env: Env, _: Layout) -> Result<()> {
    Err(Skip("is of x86-64".into()).into())
}
