// SPDX-License-Identifier: GPL-2.0

//! Which reschedules may be postponed: all, or lazy ones only.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;
use rseq_slice_harness::timer::Due;
use rseq_slice_harness::{Counters, Layout, sys};

use crate::case::Disturbance::{Checks, KernelThreads};
use crate::case::{Needs, Skip, Test, both, once};
use crate::check::check;
use crate::env::Env;
use crate::kernel::{POLICY, set_model, set_policy};
use crate::kmsg::Kmsg;
use crate::support::{
    CPU, Class, Competitor, CounterDelta, PATIENCE, Seen, Setup, fair_competitor, request_word,
    set_class, soon,
};

pub(crate) const TESTS: &[Test] = &[
    once("file_shows_policy", Needs::Enabled, file_shows_policy),
    once(
        "bad_policy_changes_nothing",
        Needs::Enabled,
        bad_policy_changes_nothing,
    ),
    both(
        "lazy_refuses_realtime_wakeup",
        Needs::On,
        lazy_refuses_realtime_wakeup,
    )
    .tolerates(&[Checks]),
    both(
        "lazy_postpones_normal_wakeup",
        Needs::OnLazy,
        lazy_postpones_normal_wakeup,
    )
    .tolerates(&[Checks]),
    both(
        "lazy_grants_nothing_without_lazy_reschedules",
        Needs::On,
        lazy_grants_nothing_without_lazy_reschedules,
    )
    .tolerates(&[KernelThreads]),
];

const TURNS: u64 = 20;

fn file_shows_policy(_: Env) -> Result<()> {
    check!(fs::metadata(POLICY)?.permissions().mode() & 0o7777 == 0o644);
    for (text, shown) in [
        ("lazy", "all [lazy]\n"),
        ("lazy\n", "all [lazy]\n"),
        ("all\n", "[all] lazy\n"),
        ("all", "[all] lazy\n"),
    ] {
        fs::write(POLICY, text)?;
        let got = fs::read_to_string(POLICY)?;
        check!(got == shown, "{text:?} gives {got:?}");
    }
    Ok(())
}

fn bad_policy_changes_nothing(_: Env) -> Result<()> {
    for policy in ["all", "lazy"] {
        fs::write(POLICY, policy)?;
        let before = fs::read_to_string(POLICY)?;
        for text in [
            "\n",
            "al",
            "lazyy",
            "[lazy]",
            "ALL",
            "0",
            "all lazy",
            "lazy\n\n",
            "lazy\n      ",
        ] {
            let result = fs::write(POLICY, text);
            check!(
                matches!(&result, Err(error) if error.raw_os_error() == Some(libc::EINVAL)),
                "writing {text:?}: {result:?}"
            );
            let after = fs::read_to_string(POLICY)?;
            check!(after == before, "{text:?} changed the policy");
        }
    }
    Ok(())
}

fn lazy_refuses_realtime_wakeup(env: Env, layout: Layout) -> Result<()> {
    set_policy("lazy")?;
    let setup = Setup::new(env, layout)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    for turn in 1..=TURNS {
        competitor.wake(Due::At(soon(env)?))?;
        let seen = setup.offer(request_word(layout), env.lead() + PATIENCE);
        check!(seen == Seen::Erased, "the request is {seen:?}");
        check!(competitor.runs() == turn);
    }
    delta.ensure(Counters::NOTHING)?;
    set_policy("all")?;
    setup.obtain(&competitor)?;
    check!(
        sys::rseq_slice_yield()? == 1,
        "no grant with the policy all"
    );
    Ok(())
}

fn lazy_postpones_normal_wakeup(env: Env, layout: Layout) -> Result<()> {
    set_policy("lazy")?;
    let setup = Setup::new(env, layout)?;
    set_class(env, Class::Idle)?;
    let competitor = fair_competitor(env, CPU)?;
    let mut yields = 0;
    for turn in 1..=TURNS {
        competitor.wake(Due::At(soon(env)?))?;
        let seen = setup.offer(request_word(layout), env.lead() + PATIENCE);
        if seen == Seen::Granted && competitor.runs() < turn {
            yields += sys::rseq_slice_yield()?;
        }
        setup.set_word(0);
        competitor.ensure_runs(turn)?;
    }
    check!(yields > TURNS as i64 / 2, "{yields} yields");
    Ok(())
}

/// The preemption model is switched while the policy is in force, and before.
fn lazy_grants_nothing_without_lazy_reschedules(env: Env, layout: Layout) -> Result<()> {
    if env.kernel.model.is_none() {
        return Err(Skip("needs CONFIG_PREEMPT_DYNAMIC".into()).into());
    }
    set_model("full")?;
    // With PREEMPT_RT every policy postpones lazy reschedules only.
    let policy = if env.kernel.realtime { "all" } else { "lazy" };
    set_policy(policy)?;
    set_policy(policy)?;
    let log = Kmsg::from_boot()?.drain()?;
    let told = log
        .iter()
        .filter(|line| {
            line.contains("no slice extension will be granted") && line.contains("(full)")
        })
        .count();
    check!(told == 1, "told {told} times");

    let setup = Setup::new(env, layout)?;
    set_class(env, Class::Idle)?;
    let competitor = fair_competitor(env, CPU)?;
    let delta = CounterDelta::start()?;
    for turn in 1..=TURNS {
        competitor.wake(Due::At(soon(env)?))?;
        let seen = setup.offer(request_word(layout), env.lead() + PATIENCE);
        check!(seen == Seen::Erased, "the request is {seen:?}");
        competitor.ensure_runs(turn)?;
    }
    delta.ensure(Counters::NOTHING)
}
