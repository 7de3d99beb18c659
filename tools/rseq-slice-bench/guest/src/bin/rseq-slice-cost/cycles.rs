// SPDX-License-Identifier: MIT OR Apache-2.0

//! Many cycles of a grant, for the plugin to count what happens to the timer.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use rseq_slice_bench_guest::periodic::{Periodic, Wake, beside, compute};
use rseq_slice_bench_guest::{mark, report};
use rseq_slice_bench_record::{Cause, Competitor, CycleRecord, Record};
use rseq_slice_harness::scheduler::{Policy, set_policy};
use rseq_slice_harness::{Bytes, Control, ExtensionLength, counters, pin_to, sys};

use crate::sample::{finish, wait_for_grant};

/// Ticks for which a competitor computes, if it does.
const COMPUTE: u64 = 100_000;

/// The extension in nanoseconds.
const LENGTH: u32 = 5_000;
/// With several CPUs, of which each sees the others' instructions pass as time.
const LENGTH_OF_TWO: u32 = 10_000;

/// All causes and competitors that the CPUs allow.
pub(crate) fn all(cycles: usize, control: &Bytes<'_>) -> Result<()> {
    for competitor in [Competitor::Sleeps, Competitor::Computes] {
        by_timer(cycles, control, competitor)?;
    }
    // The calling thread is pinned: count the machine's CPUs.
    if nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN)? < Some(2) {
        return Ok(());
    }
    for competitor in [Competitor::Sleeps, Competitor::Computes] {
        by_ipi(cycles, control, competitor)?;
    }
    Ok(())
}

fn computation(competitor: Competitor) -> u64 {
    match competitor {
        Competitor::Sleeps => 0,
        Competitor::Computes => COMPUTE,
    }
}

/// Runs the cycles in one window, each caused by `wake`.
fn window(
    cycles: usize,
    control: &Bytes<'_>,
    (cause, competitor): (Cause, Competitor),
    wake: impl Fn(),
) -> Result<()> {
    let before = counters()?;
    mark::begin();
    for _ in 0..cycles {
        control.request();
        wake();
        wait_for_grant(control);
        finish(control);
    }
    mark::end();
    let counters = counters()? - before;
    mark::next();
    ensure!(
        counters.yielded >= cycles as u64 * 9 / 10,
        "of {cycles} cycles only {} ended with a yield",
        counters.yielded
    );
    report(&Record::Cycle(CycleRecord {
        cause,
        competitor,
        cycles: cycles as u64,
        counters,
    }))?;
    Ok(())
}

fn by_timer(cycles: usize, control: &Bytes<'_>, competitor: Competitor) -> Result<()> {
    let _length = ExtensionLength::set(LENGTH)?;
    let thread = Periodic {
        wake: Wake::After(Duration::from_micros(50)),
        compute: computation(competitor),
    };
    beside(&[thread], |_| {
        window(cycles, control, (Cause::Timer, competitor), || ())
    })
}

/// A thread on the other CPU, told by `asked`, wakes the competitor, which sleeps on `woken`.
fn by_ipi(cycles: usize, control: &Bytes<'_>, competitor: Competitor) -> Result<()> {
    let _length = ExtensionLength::set(LENGTH_OF_TWO)?;
    let (asked, woken) = (AtomicBool::new(false), AtomicU32::new(0));
    let (stop_waking, stop) = (AtomicBool::new(false), AtomicBool::new(false));
    let wake = || {
        woken.store(1, Ordering::Release);
        sys::futex_wake(&woken, 1);
    };
    thread::scope(|scope| {
        let waker = scope.spawn(|| -> Result<()> {
            pin_to(&[1])?;
            while !stop_waking.load(Ordering::Relaxed) {
                if asked.swap(false, Ordering::Relaxed) {
                    wake();
                }
                spin_loop();
            }
            Ok(())
        });
        let sleeper = scope.spawn(|| -> Result<()> {
            set_policy(Policy::Fifo(1))?;
            while !stop.load(Ordering::Relaxed) {
                while woken.swap(0, Ordering::Acquire) == 0 {
                    sys::futex_wait(&woken, 0);
                }
                compute(computation(competitor));
            }
            Ok(())
        });
        // Both get ready.
        thread::sleep(Duration::from_millis(1));
        let result = window(cycles, control, (Cause::Ipi, competitor), || {
            asked.store(true, Ordering::Relaxed);
            spin_loop();
        });
        stop_waking.store(true, Ordering::Relaxed);
        let waker = waker.join();
        stop.store(true, Ordering::Relaxed);
        wake();
        let panicked = |_| anyhow!("a thread panicked");
        sleeper.join().map_err(panicked)??;
        waker.map_err(panicked)??;
        result
    })
}
