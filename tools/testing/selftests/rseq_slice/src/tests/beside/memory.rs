// SPDX-License-Identifier: GPL-2.0

//! Pages of areas that the kernel moves, shares, swaps and joins.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result};
use nix::errno::Errno;
use rseq_slice_harness::clock::{now, spin_while};
use rseq_slice_harness::{Layout, sys};

use super::GRANTS;
use crate::case::{Needs, Skip, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::ktap::diagnose;
use crate::support::{
    CPU, Competitor, CounterDelta, HolderSetup, Holders, Page, Remote, Setup, Swap, THREADS,
    advise, be_on, ensure_fine, eventfd, move_pages, request_word, vmstat,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "swap_loses_no_restart",
        Needs::OnTwoCpus,
        swap_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "page_migration_loses_no_restart",
        Needs::OnTwoCpus,
        page_migration_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "numa_balancing_loses_no_restart",
        Needs::OnTwoCpus,
        numa_balancing_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "huge_page_collapse_loses_no_restart",
        Needs::OnTwoCpus,
        huge_page_collapse_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "ksm_page_is_copied_by_answer",
        Needs::OnTwoCpus,
        ksm_page_is_copied_by_answer,
    )
    .tolerates(&[]),
];

const PAGE: usize = Page::SIZE as usize;

/// Lets holders run with their areas in `pages`, and calls `act` meanwhile, until the kernel's counter
/// `count` has grown by `times`.
fn beside(
    env: Env,
    layout: Layout,
    pages: &[Page],
    count: &str,
    times: u64,
    mut act: impl FnMut() -> Result<()>,
) -> Result<()> {
    let before = vmstat(count)?;
    let counted = || Ok(vmstat(count)? - before);
    let holders = Holders::start(&HolderSetup {
        pages: pages.to_vec(),
        ..HolderSetup::new(env, layout)
    })?;
    holders.until_granted(GRANTS, &mut act)?;
    let counted = holders.until_counted(times, counted, act)?;
    holders.end()?;
    diagnose(format_args!("{count}: {counted}"));
    check!(counted >= times, "{count}: {counted}");
    Ok(())
}

fn pages() -> Result<Vec<Page>> {
    (0..THREADS).map(|_| Page::new()).collect()
}

/// The areas are swapped out.
fn swap_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    let swap = Swap::on()?;
    let pages = pages()?;
    beside(env, layout, &pages, "pswpin", 20, || {
        for page in &pages {
            advise(*page, PAGE, libc::MADV_PAGEOUT)?;
        }
        Ok(())
    })?;
    drop(swap);
    Ok(())
}

/// The areas move from one node of memory to the other and back.
fn page_migration_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    let pages = pages()?;
    let turn = Cell::new(0);
    beside(env, layout, &pages, "pgmigrate_success", 20, || {
        turn.set(turn.get() + 1);
        move_pages(&pages, turn.get() % 2)
    })
}

/// The kernel makes pages inaccessible for a moment to find out which node uses them.
fn numa_balancing_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    const SETTINGS: [(&str, &str); 3] = [
        ("scan_delay_ms", "1"),
        ("scan_period_min_ms", "1"),
        ("scan_period_max_ms", "2"),
    ];
    let folder = Path::new("/sys/kernel/debug/sched/numa_balancing");
    if !folder.exists() {
        return Err(Skip("needs CONFIG_NUMA_BALANCING".into()).into());
    }
    let mut before = Vec::new();
    for (name, value) in SETTINGS {
        before.push((name, fs::read_to_string(folder.join(name))?));
        fs::write(folder.join(name), value).context(name)?;
    }
    // The settings are for processes that start later.
    let result = ensure_fine(|| {
        let pages = pages()?;
        let turn = Cell::new(0_u64);
        beside(env, layout, &pages, "numa_hint_faults", 20, || {
            turn.set(turn.get() + 1);
            // They would stay with the node that uses them.
            match turn.get() % 16 {
                1 => move_pages(&pages, 1),
                _ => Ok(()),
            }
        })
    });
    for (name, value) in before {
        fs::write(folder.join(name), value.trim()).context(name)?;
    }
    result
}

/// The areas get into a huge page, and out of it again.
fn huge_page_collapse_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    const HUGE: usize = 2 << 20;
    const MADV_COLLAPSE: libc::c_int = 25;
    let region = Page::huge()?;
    let pages: Vec<_> = (0..THREADS)
        .map(|number| region.plus(number * PAGE))
        .collect();
    let rest = region.plus(HUGE / 2);
    let turn = Cell::new(0_u64);
    beside(env, layout, &pages, "thp_collapse_alloc", 10, || {
        turn.set(turn.get() + 1);
        let done = match turn.get() % 2 {
            0 => advise(region, HUGE, MADV_COLLAPSE),
            _ => advise(rest, PAGE, libc::MADV_DONTNEED),
        };
        match done {
            Err(Errno::EINVAL) => Err(Skip("needs CONFIG_TRANSPARENT_HUGEPAGE".into()).into()),
            // A page was in use.
            Ok(()) | Err(Errno::EAGAIN | Errno::EBUSY | Errno::ENOMEM) => Ok(()),
            Err(error) => Err(error.into()),
        }
    })
}

/// Whether the kernel shares the page of this address with others that look the same.
fn is_shared(address: usize) -> Result<bool> {
    const KSM: u64 = 1 << 21;
    let word = |file: &str, number: u64| -> Result<u64> {
        let mut word = [0; 8];
        let file = fs::File::open(file).context(file.to_owned())?;
        file.read_exact_at(&mut word, 8 * number)?;
        Ok(u64::from_ne_bytes(word))
    };
    let entry = word("/proc/self/pagemap", u64::try_from(address / PAGE)?)?;
    let present = entry >> 63 != 0;
    let frame = entry & ((1 << 55) - 1);
    Ok(present && word("/proc/kpageflags", frame)? & KSM != 0)
}

/// The page of an area with a request in it becomes a shared one, which the answer has to copy.
///
/// A kernel that preempts itself switches the thread out after the copy, and refuses then.
fn ksm_page_is_copied_by_answer(env: Env, layout: Layout) -> Result<()> {
    const ROUNDS: u64 = 12;
    /// Nanoseconds to wait for the pages to be merged, and for the answer.
    const MERGE: u64 = 400_000_000;
    let folder = Path::new("/sys/kernel/mm/ksm");
    if !folder.exists() {
        return Err(Skip("needs CONFIG_KSM".into()).into());
    }
    let set = |name: &str, value| fs::write(folder.join(name), value).context(name.to_owned());
    set("sleep_millisecs", "1")?;
    set("pages_to_scan", "500")?;
    set("run", "1")?;
    let (page, twin, unrelated) = (Page::new()?, Page::new()?, Page::new()?);
    for page in [page, twin] {
        advise(page, PAGE, libc::MADV_MERGEABLE)?;
    }
    be_on(env, CPU)?;
    let setup = Setup::with(env, page.register()?, layout)?;
    let event = eventfd()?;
    let competitor = Competitor::awaiting(env, event.try_clone()?, CPU)?;
    let delta = CounterDelta::start()?;
    let (mut granted, mut yielded) = (0, 0);
    for round in 0..ROUNDS {
        let runs = competitor.runs();
        let address = page.area().as_ptr() as usize;
        let mut event = event.try_clone()?;
        let shared = Remote::ready(move || {
            let end = now() + MERGE;
            while !is_shared(address)? {
                check!(now() < end, "not merged in the {round}th round");
                thread::sleep(Duration::from_micros(200));
            }
            Ok(event.write_all(&1_u64.to_ne_bytes())?)
        })?;
        setup.request();
        // SAFETY: Both pages are mapped, and nobody else writes to them.
        unsafe { std::ptr::copy_nonoverlapping(page.area().as_ptr(), twin.area().as_ptr(), 1) };
        // Puts the pages on the kernel's lists; it would wait for a thread on this CPU to do that.
        advise(unrelated, PAGE, libc::MADV_COLD)?;
        shared.go();
        let word = request_word(layout);
        let answered = spin_while(MERGE, || setup.word() == word);
        let seen = setup.word();
        let result = sys::rseq_slice_yield()?;
        setup.set_word(0);
        shared.join()?;
        check!(answered, "no answer in the {round}th round");
        // SAFETY: The page is mapped.
        let other = unsafe { twin.area().as_ref() }.slice_ctrl();
        check!(other == word, "{other:#x} in the other page");
        granted += u64::from(seen != 0);
        yielded += u64::from(result == 1);
        competitor.ensure_runs(runs + 1)?;
    }
    set("run", "0")?;
    let tally = delta.tally()?;
    diagnose(format_args!("{granted} seen, {yielded} yields, {tally:?}"));
    check!(
        tally.yielded == yielded && tally.granted == granted && tally.adds_up(),
        "{yielded} yields, {tally:?}"
    );
    Ok(())
}
