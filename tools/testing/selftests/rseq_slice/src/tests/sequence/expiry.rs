// SPDX-License-Identifier: GPL-2.0

//! Preemptions of a sequence on the exit path after an expiry, while the update of user space waits for
//! the page of the area.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::Result;
use nix::unistd::gettid;
use rseq_slice_harness::clock::{moment_of, now, spin_while};
use rseq_slice_harness::timer::{Due, monotonic};
use rseq_slice_harness::{Layout, set_extension_length, sys};

use crate::case::{Needs, Test, both};
use crate::check::{check, fail};
use crate::env::Env;
use crate::kernel::set_debug;
use crate::ktap::diagnose;
use crate::support::{
    CPU, CounterDelta, DROP, How, OrderedSetup, PATIENCE, Page, RECLASS, RemoteWorker, Sequence,
    Setup, Step, Userfault, be_on, grant_word, interferences, reclass, request_word, soon, wake,
    woken_by_event,
};

pub(crate) const TESTS: &[Test] = &[
    both(
        "restarts_when_due_while_expiry_awaits_page",
        Needs::OnTwoCpus,
        restarts_when_due_while_expiry_awaits_page,
    )
    .tolerates(&[]),
    both(
        "restarts_when_due_while_expiry_reads_page",
        Needs::OnTwoCpus,
        restarts_when_due_while_expiry_reads_page,
    )
    .tolerates(&[]),
];

/// How sequences ended.
#[derive(Debug, Default)]
struct Endings {
    done: u32,
    aborted: u32,
    not_restarted: u32,
}

impl Endings {
    fn count(&mut self, how: How) -> Result<()> {
        match how {
            How::Done => self.done += 1,
            How::Aborted => self.aborted += 1,
            How::NotRestarted => self.not_restarted += 1,
            How::Elsewhere => fail!("the thread left its CPU"),
        }
        Ok(())
    }

    fn judge(&self) -> Result<()> {
        diagnose(format_args!("{self:?}"));
        check!(
            self.not_restarted == 0,
            "{} sequences of {} were not restarted",
            self.not_restarted,
            self.done + self.aborted + self.not_restarted
        );
        Ok(())
    }
}

/// Ends what the sequence has left of the grant.
fn finish(setup: &Setup, layout: Layout) -> Result<()> {
    if setup.word() == grant_word(layout) {
        sys::rseq_slice_yield()?;
    }
    setup.set_word(0);
    Ok(())
}

/// When a sequence took the time, if it got there.
fn since(start: u64, at: &AtomicU64) -> Option<u64> {
    let ticks = at.load(Ordering::Relaxed);
    (ticks != 0).then(|| moment_of(ticks).saturating_sub(start))
}

/// The page of the area is fetched by a program, and another thread has the CPU meanwhile. What the
/// thread does in the kernel when the grant expires is a page fault of its own.
fn restarts_when_due_while_expiry_awaits_page(env: Env, layout: Layout) -> Result<()> {
    const LENGTH: u32 = 30_000;
    /// Nanoseconds from the fault to the end of the grant.
    const FIRST: u64 = 8_000;
    const STEP: usize = 125;
    /// Orders.
    const ASK: u32 = 1;
    const FETCH: u32 = 2;
    set_debug(false)?;
    set_extension_length(LENGTH)?;
    be_on(env, CPU)?;
    let page = Page::new()?;
    let setup = Setup::with(env, page.register()?, layout)?;
    let mut faults = Userfault::new(page)?;
    let (mut event, competitor) = woken_by_event(env)?;
    let thread = gettid();
    let gone = Arc::new(AtomicU32::new(0));
    let is_gone = Arc::clone(&gone);
    let worker = RemoteWorker::new(
        env,
        vec![
            Box::new(move || reclass(env, thread)),
            Box::new(move || {
                let content = faults.drop_page()?;
                is_gone.store(1, Ordering::Release);
                faults.wait()?;
                let before = interferences();
                wake(&mut event)?;
                spin_while(PATIENCE, || interferences() == before);
                faults.answer(&content)
            }),
        ],
    )?;

    let mut endings = Endings::default();
    let mut in_kernel = 0;
    for before in (0..FIRST).step_by(STEP) {
        let (at, touched) = (AtomicU64::new(0), Page::new()?);
        gone.store(0, Ordering::Relaxed);
        let area = setup.area();
        let steps = vec![
            Step::store_word(area, request_word(layout)),
            Step::store(worker.orders(), ASK),
            Step::wait_while_word(area, request_word(layout), PATIENCE),
            Step::stamp(&at),
            Step::wait_while(worker.orders(), ASK, PATIENCE),
            Step::store(worker.orders(), FETCH),
            Step::wait_while(&gone, 0, PATIENCE),
            Step::until(&at, u64::from(LENGTH) - before),
            Step::touch(touched),
            Step::spin(15_000),
        ];
        let touches = steps.len() - 2;
        soon(env)?;
        let delta = CounterDelta::start()?;
        let runs = competitor.runs();
        let outcome = Sequence::new(area, steps).run(CPU)?;
        finish(&setup, layout)?;
        worker.ensure_idle()?;
        competitor.ensure_runs(runs + 1)?;
        let tally = delta.tally()?;
        check!(tally.granted == 1, "{outcome:?}, {tally:?}");
        in_kernel += u32::from(tally.expired == 1 && outcome.step >= touches);
        endings.count(outcome.how)?;
    }
    diagnose(format_args!(
        "{in_kernel} expired at the fault or behind it"
    ));
    check!(in_kernel > 10, "missed the moment: {in_kernel}");
    endings.judge()
}

/// The page of the area is in memory but not mapped. A competitor wakes while the update of user space
/// handles that.
fn restarts_when_due_while_expiry_reads_page(env: Env, layout: Layout) -> Result<()> {
    const LENGTH: u32 = 30_000;
    const TURNS: u64 = 200;
    set_debug(false)?;
    set_extension_length(LENGTH)?;
    let ordered = OrderedSetup::new(env, layout)?;
    let mut endings = Endings::default();
    let (mut expired, mut beyond) = (0, 0);
    // The moment at which the grant is seen, after the start of the sequence.
    let mut seen = 10_000;
    for turn in 0..TURNS {
        let (at, touched) = (AtomicU64::new(0), Page::new()?);
        let area = ordered.setup.area();
        let orders = ordered.worker.orders();
        let length = u64::from(LENGTH);
        let steps = vec![
            Step::store_word(area, request_word(layout)),
            Step::store(orders, RECLASS),
            Step::wait_while_word(area, request_word(layout), PATIENCE),
            Step::stamp(&at),
            Step::wait_while(orders, RECLASS, PATIENCE),
            Step::store(orders, DROP),
            Step::wait_while(orders, DROP, PATIENCE),
            Step::until(&at, length - 5_000 + turn % 10 * 300),
            Step::touch(touched),
            Step::spin(8_000),
        ];
        let runs = ordered.competitor.runs();
        let delta = CounterDelta::start()?;
        soon(env)?;
        let (moment, start) = (monotonic()?, now());
        let late = turn / 10 * 200;
        ordered
            .competitor
            .wake(Due::At(moment + seen + length + late))?;
        let outcome = Sequence::new(area, steps).run(CPU)?;
        finish(&ordered.setup, layout)?;
        ordered.settle()?;
        ordered.competitor.ensure_runs(runs + 1)?;
        let tally = delta.tally()?;
        expired += u32::from(tally.expired == 1);
        beyond += u32::from(outcome.how == How::Done);
        endings.count(outcome.how)?;
        seen = since(start, &at).map_or(seen, |nanos| (seen * 7 + nanos) / 8);
    }
    diagnose(format_args!(
        "{expired} expired, {beyond} ended before the competitor ran"
    ));
    check!(
        u64::from(expired) > TURNS / 2,
        "missed the moment: {expired}"
    );
    endings.judge()
}
