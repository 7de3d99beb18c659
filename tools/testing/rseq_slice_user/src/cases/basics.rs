// SPDX-License-Identifier: GPL-2.0

//! One thread.

use std::arch::asm;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rseq_slice::{Area, Policy, TooLate, Why, begin, control_word, end, set_policy, support};
use rseq_slice_harness::counters;

use super::{start, start_bare};
use crate::allocator;
use crate::competitor::{Competitor, at_rest, compute, grants};
use crate::runner::{Case, Expect};
use crate::situation::Situation;

pub(super) fn cases() -> Vec<Case> {
    let tcmalloc = Case {
        preload: Some("libtcmalloc-mock.so"),
        ..Case::new("tcmalloc", tcmalloc)
    };
    vec![
        Case::new("support", the_area_is_named),
        Case::new("yields", grants_are_ended_by_yield),
        Case::new("errno", errno_is_kept),
        Case::new("allocator", nothing_is_allocated),
        Case::new("nested", |situation| sections_nest(situation, false)),
        Case::new("debug_mode", debug_mode),
        Case::new("foreign", somebody_elses_area)
            .only(|situation| situation.tunable_off.then_some(Expect::Passes)),
        Case::new("unregistered", the_libcs_area_is_gone)
            .only(|situation| (situation.area == Area::Libc).then_some(Expect::Passes)),
        tcmalloc.only(|situation| (!situation.is_static()).then_some(Expect::Passes)),
    ]
}

fn the_area_is_named(situation: Situation) -> Result<()> {
    start(situation)?;
    for _ in 0..2 {
        ensure!(support() == Ok(situation.area), "{:?}", support());
    }
    ensure!(
        set_policy(Policy::DEFAULT) == Err(TooLate),
        "the policy can be changed still"
    );
    Ok(())
}

fn grants_are_ended_by_yield(situation: Situation) -> Result<()> {
    start(situation)?;
    let _competitor = Competitor::start()?;
    grants(1)?;
    let before = counters()?;
    grants(20)?;
    let after = counters()? - before;
    let (yielded, aborted) = (after.yielded, after.aborted);
    // Reading the counters makes system calls, with allocations around them.
    ensure!(
        yielded >= 15 && aborted <= 5,
        "{yielded} yields, {aborted} aborts"
    );
    Ok(())
}

fn errno_is_kept(situation: Situation) -> Result<()> {
    const MARK: i32 = 4711;
    start_bare(situation)?;
    let _competitor = Competitor::start()?;
    let thread = thread::spawn(|| {
        // SAFETY: The C library has the variable in each thread.
        let errno = unsafe { libc::__errno_location() };
        // SAFETY: `errno` of this thread, which lives as long as the thread.
        let read = || unsafe { errno.read_volatile() };
        // SAFETY: `errno` of this thread, which lives as long as the thread.
        unsafe { errno.write_volatile(MARK) };
        end(begin());
        let after_set_up = read();
        let result = grants(5);
        (after_set_up, read(), result)
    });
    let (set_up, grants, result) = thread.join().map_err(|_| anyhow!("the thread panicked"))?;
    result?;
    ensure!(
        (set_up, grants) == (MARK, MARK),
        "{set_up} after set-up, {grants} after grants"
    );
    Ok(())
}

fn nothing_is_allocated(situation: Situation) -> Result<()> {
    start_bare(situation)?;
    let _competitor = Competitor::start()?;
    let thread = thread::spawn(|| {
        let before = allocator::calls();
        end(begin());
        let set_up = allocator::calls() - before;
        let result = grants(5);
        (set_up, allocator::calls() - before, result)
    });
    let (set_up, all, result) = thread.join().map_err(|_| anyhow!("the thread panicked"))?;
    result?;
    ensure!(
        (set_up, all) == (0, 0),
        "{set_up} allocations in set-up, {all} with grants"
    );
    // Many sections, each of an allocation.
    allocator::begin_sections();
    let mut strings = Vec::new();
    for i in 0..10_000 {
        strings.push(format!("{i}"));
    }
    ensure!(strings.iter().map(String::len).sum::<usize>() == 38_890);
    at_rest()
}

fn sections_nest(situation: Situation, with_call: bool) -> Result<()> {
    start(situation)?;
    let _competitor = Competitor::start()?;
    grants(1)?;
    let word = control_word().context("the extension is off")?;
    // SAFETY: A control word is two bytes long.
    let granted = unsafe { word.add(1) };
    // SAFETY: The second byte of this thread's control word.
    let is_granted = || unsafe { granted.read_volatile() } != 0;
    // SAFETY: The first byte of this thread's control word.
    let is_requested = || unsafe { word.read_volatile() } != 0;
    let start = Instant::now();
    let mut inside = 0;
    while inside < 5 {
        ensure!(
            start.elapsed() < Duration::from_secs(2),
            "inner sections began in {inside} grants within 2 s"
        );
        let outer = begin();
        compute(300);
        let middle = begin();
        compute(300);
        let there = is_granted();
        let inner = begin();
        ensure!(
            !(there && is_requested()),
            "a section requests during a grant"
        );
        if with_call && there {
            // SAFETY: The call takes no arguments.
            unsafe { libc::getppid() };
        }
        compute(300);
        end(inner);
        end(middle);
        end(outer);
        at_rest()?;
        inside += u32::from(there);
    }
    Ok(())
}

/// The kernel kills a thread that has a request and a grant at a system call.
fn debug_mode(situation: Situation) -> Result<()> {
    const SWITCH: &str = "/sys/kernel/debug/rseq/debug";
    let before = fs::read_to_string(SWITCH)?;
    fs::write(SWITCH, "1")?;
    let result = sections_nest(situation, true);
    fs::write(SWITCH, before.trim_end())?;
    result
}

/// The C library says still how long its areas are, but somebody has unregistered that of this
/// thread, and threads that it creates get none.
fn the_libcs_area_is_gone(situation: Situation) -> Result<()> {
    unsafe extern "C" {
        #[link_name = "__rseq_offset"]
        static OFFSET: libc::ptrdiff_t;
    }
    start_bare(situation)?;
    let thread_pointer: *mut u8;
    // SAFETY: The ABI has the thread pointer there.
    unsafe { asm!("mov {}, fs:[0]", out(reg) thread_pointer) };
    // SAFETY: The C library has set the variable before it ran this program.
    let area = thread_pointer.wrapping_offset(unsafe { OFFSET });
    let gone = (32..=64).any(|len| {
        // SAFETY: The area of this thread, which the program needs for nothing else.
        unsafe { libc::syscall(libc::SYS_rseq, area, len, 1, rseq_slice::abi::SIGNATURE) == 0 }
    });
    ensure!(
        gone,
        "the area is not registered: {}",
        std::io::Error::last_os_error()
    );
    let check = || {
        ensure!(support() == Ok(Area::Own), "{:?}", support());
        grants(3)
    };
    let _competitor = Competitor::start()?;
    thread::spawn(check)
        .join()
        .map_err(|_| anyhow!("the thread panicked"))??;
    check()
}

fn somebody_elses_area(situation: Situation) -> Result<()> {
    #[repr(align(64))]
    struct Foreign([u8; 64]);
    let mut area = Foreign([0; 64]);
    // SAFETY: The area stays until the end of the function, which unregisters it.
    let rseq = |area: &mut Foreign, flags: i32| unsafe {
        libc::syscall(
            libc::SYS_rseq,
            area.0.as_mut_ptr(),
            64,
            flags,
            rseq_slice::abi::SIGNATURE,
        )
    };
    ensure!(
        rseq(&mut area, 0) == 0,
        "rseq: {}",
        std::io::Error::last_os_error()
    );
    start(situation)?;
    let why = support();
    ensure!(
        rseq(&mut area, 1) == 0,
        "rseq: {}",
        std::io::Error::last_os_error()
    );
    ensure!(why == Err(Why::ForeignArea), "{why:?}");
    Ok(())
}

fn tcmalloc(situation: Situation) -> Result<()> {
    start(situation)?;
    let expected = if situation.take_over {
        Err(Why::Tcmalloc)
    } else {
        Ok(situation.area)
    };
    ensure!(support() == expected, "{:?}", support());
    Ok(())
}
