// SPDX-License-Identifier: GPL-2.0

//! Reschedules in favor of threads of the normal class, which are lazy. With `CONFIG_PREEMPT_RT` they
//! are the only ones that are postponed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use rseq_slice_harness::clock::{now, spin_while};
use rseq_slice_harness::scheduler::has_feature;
use rseq_slice_harness::timer::{Due, monotonic};
use rseq_slice_harness::{Layout, set_extension_length, sys};

use crate::case::Disturbance::{Checks, KernelThreads};
use crate::case::{Needs, Skip, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_policy;
use crate::ktap::diagnose;
use crate::support::{
    CPU, Class, CounterDelta, PATIENCE, SHORT_SLICE, Seen, Setup, Sleeper, Ticker, request_word,
    set_class, soon, take_short_slices,
};

pub(crate) const TESTS: &[Test] = &[
    both("is_postponed", Needs::On, is_postponed).tolerates(&[KernelThreads, Checks]),
    both("grant_expires", Needs::On, grant_expires).tolerates(&[KernelThreads, Checks]),
    both("second_wakeup_keeps_grant", Needs::OnLazy, second_keeps)
        .tolerates(&[KernelThreads, Checks]),
    both("kept_grant_expires_in_time", Needs::OnLazy, kept_expires)
        .tolerates(&[KernelThreads, Checks]),
    both("realtime_wakeup_revokes", Needs::On, realtime_revokes)
        .tolerates(&[KernelThreads, Checks]),
    both("slice_end_keeps_grant", Needs::On, slice_end_keeps).tolerates(&[Checks]),
    both(
        "realtime_wakeup_is_not_postponed",
        Needs::OnRealtime,
        realtime_is_not_postponed,
    )
    .tolerates(&[KernelThreads, Checks]),
];

const TURNS: u64 = 20;
/// Nanoseconds within which the scheduler lets every thread of the normal class run.
const SCHEDULING_PERIOD: u64 = 50_000_000;

/// A thread that every thread of the normal class precedes.
fn idle_setup(env: Env, layout: Layout) -> Result<Setup> {
    let setup = Setup::new(env, layout)?;
    set_class(env, Class::Idle)?;
    Ok(setup)
}

/// A thread that wakes up in a given class, and how often it ran.
struct Competitor {
    sleeper: Sleeper,
    runs: Arc<AtomicU64>,
}

impl Competitor {
    fn new(env: Env) -> Result<Self> {
        let runs = Arc::<AtomicU64>::default();
        let counts = Arc::clone(&runs);
        let sleeper = Sleeper::new(env, CPU, move || {
            counts.fetch_add(1, Ordering::Relaxed);
        })?;
        Ok(Self { sleeper, runs })
    }

    fn wake_at(&self, moment: u64, class: Class) -> Result<()> {
        self.sleeper.wake(Due::At(moment), class)
    }

    fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Waits in user mode until it has run so often. The scheduler may let the setup go on for a while
    /// first: see [`features`](crate::features).
    #[track_caller]
    fn ensure_runs(&self, times: u64) -> Result<()> {
        let ran = spin_while(SCHEDULING_PERIOD, || self.runs() < times);
        check!(ran, "the competitor ran {} times, not {times}", self.runs());
        Ok(())
    }
}

/// Requests, and says what became of it when `competitor` wanted the CPU.
fn ask(
    env: Env,
    setup: &Setup,
    layout: Layout,
    competitor: &Competitor,
    class: Class,
) -> Result<Seen> {
    competitor.wake_at(soon(env)?, class)?;
    let seen = setup.offer(request_word(layout), env.lead() + PATIENCE);
    if !matches!(seen, Seen::Granted) {
        setup.set_word(0);
    }
    Ok(seen)
}

/// The kernel's own threads take part, so that not every request has to be granted, and not every
/// grant for the competitor: but most.
fn is_postponed(env: Env, layout: Layout) -> Result<()> {
    let setup = idle_setup(env, layout)?;
    let competitor = Competitor::new(env)?;
    let delta = CounterDelta::start()?;
    let (mut waited, mut yields) = (0, 0);
    for _ in 0..TURNS {
        let runs = competitor.runs();
        let seen = ask(env, &setup, layout, &competitor, Class::Fair)?;
        if seen == Seen::Granted {
            waited += u64::from(competitor.runs() == runs);
            yields += sys::rseq_slice_yield()?;
            check!(setup.word() == 0);
        }
        competitor.ensure_runs(runs + 1)?;
    }
    let tally = delta.counted()?;
    check!(
        waited > TURNS / 2
            && yields > TURNS as i64 / 2
            && tally.is_none_or(|tally| tally.adds_up()),
        "the competitor waited {waited} times, {yields} yields: {tally:?}"
    );
    Ok(())
}

fn grant_expires(env: Env, layout: Layout) -> Result<()> {
    let setup = idle_setup(env, layout)?;
    let competitor = Competitor::new(env)?;
    let delta = CounterDelta::start()?;
    let mut expired = 0;
    for _ in 0..TURNS {
        let runs = competitor.runs();
        if ask(env, &setup, layout, &competitor, Class::Fair)? == Seen::Granted {
            let waited = competitor.runs() == runs;
            let over = setup.outlast().is_some();
            check!(sys::rseq_slice_yield()? == 0);
            expired += u64::from(waited && over);
        }
        competitor.ensure_runs(runs + 1)?;
    }
    let tally = delta.counted()?;
    check!(
        expired > TURNS / 2
            && tally.is_none_or(|tally| tally.expired >= expired && tally.adds_up()),
        "expired {expired} times: {tally:?}"
    );
    Ok(())
}

/// Two competitors of the normal class, of whom the second wants the CPU in the grant that postponed
/// the first one's reschedule.
struct Pair {
    competitors: [Competitor; 2],
    /// Nanoseconds from the grant to the second one.
    after: u64,
}

impl Pair {
    fn new(env: Env, after: u64) -> Result<Self> {
        let competitors = [Competitor::new(env)?, Competitor::new(env)?];
        Ok(Self { competitors, after })
    }

    fn runs(&self) -> [u64; 2] {
        [self.competitors[0].runs(), self.competitors[1].runs()]
    }

    /// Requests; the reschedule is in favor of the first one.
    fn offer(&self, env: Env, setup: &Setup, layout: Layout, second: Class) -> Result<Seen> {
        let due = soon(env)? + env.lead();
        self.competitors[1].wake_at(due + self.after, second)?;
        self.competitors[0].wake_at(due, Class::Fair)?;
        Ok(setup.offer(request_word(layout), env.lead() + PATIENCE))
    }

    /// As [`Competitor::ensure_runs`], for both.
    #[track_caller]
    fn ensure_ran_since(&self, runs: [u64; 2]) -> Result<()> {
        self.competitors[1].ensure_runs(runs[1] + 1)?;
        self.competitors[0].ensure_runs(runs[0] + 1)
    }
}

const LENGTH: u32 = 50_000;
const AFTER: u64 = 20_000;

/// The second wake-up is lazy as well, and waits until the yield.
fn second_keeps(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let setup = idle_setup(env, layout)?;
    let pair = Pair::new(env, AFTER)?;
    let delta = CounterDelta::start()?;
    let mut kept = 0;
    for _ in 0..TURNS {
        let runs = pair.runs();
        let seen = pair.offer(env, &setup, layout, Class::Fair)?;
        if seen == Seen::Granted {
            // Well after the second one.
            spin_while(AFTER + AFTER / 2, || true);
            let waited = pair.runs() == runs;
            kept += i64::from(waited && sys::rseq_slice_yield()? == 1);
        }
        setup.set_word(0);
        pair.ensure_ran_since(runs)?;
    }
    let tally = delta.counted()?;
    check!(
        kept > TURNS as i64 / 2 && tally.is_none_or(|tally| tally.adds_up()),
        "kept {kept} times: {tally:?}"
    );
    Ok(())
}

/// The second wake-up does not move the end of the grant.
fn kept_expires(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let setup = idle_setup(env, layout)?;
    let pair = Pair::new(env, AFTER)?;
    let delta = CounterDelta::start()?;
    let mut in_time = 0;
    for _ in 0..TURNS {
        let runs = pair.runs();
        let seen = pair.offer(env, &setup, layout, Class::Fair)?;
        let from = now();
        if seen == Seen::Granted
            && let Some(last) = setup.outlast()
        {
            // It began a little before `from`.
            in_time += u64::from((AFTER + AFTER / 2..=LENGTH.into()).contains(&(last - from)));
        }
        setup.set_word(0);
        sys::rseq_slice_yield()?;
        pair.ensure_ran_since(runs)?;
    }
    let tally = delta.counted()?;
    check!(
        in_time > TURNS / 2
            && tally.is_none_or(|tally| tally.expired > TURNS / 2 && tally.adds_up()),
        "in time {in_time} times: {tally:?}"
    );
    Ok(())
}

/// During the grant a real-time thread wants the CPU as well, and gets it long before the end.
fn realtime_revokes(env: Env, layout: Layout) -> Result<()> {
    set_extension_length(LENGTH)?;
    let setup = idle_setup(env, layout)?;
    let pair = Pair::new(env, AFTER)?;
    let delta = CounterDelta::start()?;
    let mut revoked = 0;
    for _ in 0..TURNS {
        let runs = pair.runs();
        let seen = pair.offer(env, &setup, layout, Class::Realtime)?;
        if seen == Seen::Granted {
            setup.outlast();
            revoked += u64::from(pair.runs()[1] == runs[1] + 1);
        }
        setup.set_word(0);
        sys::rseq_slice_yield()?;
        pair.ensure_ran_since(runs)?;
    }
    let tally = delta.counted()?;
    check!(
        revoked > TURNS / 2
            && tally.is_none_or(|tally| {
                tally.revoked > tally.expired + TURNS / 2 && tally.adds_up()
            }),
        "revoked {revoked} times: {tally:?}"
    );
    Ok(())
}

/// The scheduler's own timer (`HRTICK`) would end the slice within the grant.
fn slice_end_keeps(env: Env, layout: Layout) -> Result<()> {
    /// Nanoseconds from the begin of the slice to the grant, and from there to the yield. The slice
    /// ends in between: it is a little shorter than [`SHORT_SLICE`].
    const BEGIN: u64 = 70_000;
    const WORK: u64 = 42_000;
    const MANY: i64 = 3 * TURNS as i64;
    if env.only_lazy() || !has_feature("HRTICK")? {
        return Err(
            Skip("needs HRTICK, and a kernel that postpones every reschedule".into()).into(),
        );
    }
    if env.kernel.policy.is_some() {
        set_policy("all")?;
    }
    set_extension_length(LENGTH)?;
    let _other = Ticker::spinning(env, CPU)?;
    let setup = Setup::new(env, layout)?;
    set_class(env, Class::Fair)?;
    take_short_slices()?;
    let competitor = Competitor::new(env)?;
    let (mut grants, mut kept) = (0, 0);
    for _ in 0..MANY {
        let runs = competitor.runs();
        next_slice();
        competitor.wake_at(monotonic()? + BEGIN, Class::Realtime)?;
        if setup.offer(request_word(layout), SHORT_SLICE) == Seen::Granted {
            grants += 1;
            spin_while(WORK, || competitor.runs() == runs);
            kept += sys::rseq_slice_yield()?;
        }
        setup.set_word(0);
        competitor.ensure_runs(runs + 1)?;
    }
    diagnose(format_args!("{kept} of {grants} grants were kept"));
    // A thread of the kernel that wakes in a grant starts the timer anew.
    check!(grants > MANY / 2 && kept > grants * 9 / 10);
    Ok(())
}

/// Waits in user mode until the scheduler has let another thread run.
fn next_slice() {
    /// Nanoseconds that no interrupt takes, and that are much less than a slice.
    const AWAY: u64 = 30_000;
    let mut last = now();
    loop {
        let next = now();
        if next - last > AWAY {
            break;
        }
        last = next;
    }
}

fn realtime_is_not_postponed(env: Env, layout: Layout) -> Result<()> {
    let setup = idle_setup(env, layout)?;
    let competitor = Competitor::new(env)?;
    let delta = CounterDelta::start()?;
    let mut at_once = 0;
    for _ in 0..TURNS {
        let runs = competitor.runs();
        let seen = ask(env, &setup, layout, &competitor, Class::Realtime)?;
        check!(seen == Seen::Erased, "the request is {seen:?}");
        at_once += u64::from(competitor.runs() == runs + 1);
        competitor.ensure_runs(runs + 1)?;
    }
    let granted = delta.tally()?.granted;
    check!(
        granted == 0 && at_once > TURNS / 2,
        "{granted} grants, ran at once {at_once} times"
    );
    Ok(())
}
