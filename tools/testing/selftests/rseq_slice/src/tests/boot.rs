// SPDX-License-Identifier: GPL-2.0

//! What the kernel says at boot.

use anyhow::Result;
use rseq_slice_harness::{Implementation, Registration};

use crate::case::{Needs, Skip, Test, once};
use crate::check::check;
use crate::env::Env;
use crate::kmsg::Kmsg;
use crate::support::flags;

pub(crate) const TESTS: &[Test] = &[
    once(
        "log_tells_the_settings",
        Needs::Nothing,
        log_tells_the_settings,
    )
    .tolerates(&[]),
    once(
        "bad_switch_is_reported",
        Needs::Nothing,
        bad_switch_is_reported,
    )
    .tolerates(&[]),
    once(
        "bad_length_is_reported",
        Needs::Nothing,
        bad_length_is_reported,
    )
    .tolerates(&[]),
    once("last_switch_counts", Needs::Nothing, last_switch_counts).tolerates(&[]),
    once("policy_is_as_booted", Needs::Nothing, policy_is_as_booted).tolerates(&[]),
];

const PREFIX: &str = "rseq: time slice extension in Rust, ";

/// The Rust implementation says once how it was set up; the C one says nothing.
fn log_tells_the_settings(env: Env) -> Result<()> {
    let log = Kmsg::from_boot()?.drain()?;
    let lines: Vec<_> = log.iter().filter(|line| line.starts_with(PREFIX)).collect();
    let state = if env.kernel.on { "on" } else { "off" };
    match env.kernel.implementation() {
        Implementation::C => check!(lines.is_empty(), "C says {lines:?}"),
        Implementation::Rust => {
            let length = env.kernel.length_at_boot().unwrap_or(5_000);
            let expected = format!("{PREFIX}{state}, {length} ns");
            check!(lines == [&expected], "{lines:?} instead of {expected:?}");
        }
    }
    Ok(())
}

/// A value of `rseq_slice_ext=` that makes no sense is reported and leaves the extension on.
fn bad_switch_is_reported(env: Env) -> Result<()> {
    let Some(word) = &env.kernel.bad_switch else {
        return Err(Skip("needs a boot with a senseless rseq_slice_ext=".into()).into());
    };
    check!(
        is_reported("rseq_slice_ext", word)?,
        "{word:?} was not reported"
    );
    let registration = Registration::new()?;
    check!(registration.area().flags() == flags(false));
    Ok(())
}

/// The same for the length. C has no such parameter.
fn bad_length_is_reported(env: Env) -> Result<()> {
    let word = env.kernel.length_word.as_ref();
    let Some(word) = word.filter(|_| env.kernel.length_at_boot().is_none()) else {
        return Err(Skip("needs a boot with a senseless rseq_slice_ext_nsec=".into()).into());
    };
    check!(env.kernel.length == 5_000);
    check!(
        is_reported("rseq_slice_ext_nsec=", word)?,
        "{word:?} was not reported"
    );
    Ok(())
}

/// The last of several values counts. With C, the extension stays off once it is.
fn last_switch_counts(env: Env) -> Result<()> {
    if env.kernel.switches < 2 || !env.kernel.on {
        return Err(
            Skip("needs a boot with rseq_slice_ext=0 and then another value".into()).into(),
        );
    }
    let registration = Registration::new()?;
    let expected = match env.kernel.implementation() {
        Implementation::C => 0,
        Implementation::Rust => flags(false),
    };
    check!(registration.area().flags() == expected);
    Ok(())
}

fn policy_is_as_booted(env: Env) -> Result<()> {
    let Some(policy) = &env.kernel.policy_word else {
        return Err(
            Skip("needs a boot with rseq_slice_ext=all or rseq_slice_ext=lazy".into()).into(),
        );
    };
    let chosen = env.kernel.policy.as_ref();
    check!(chosen == Some(policy), "{chosen:?} instead of {policy:?}");
    Ok(())
}

/// Whether the log tells of `word` after `name`. The command line itself is in the log as well.
fn is_reported(name: &str, word: &str) -> Result<bool> {
    let log = Kmsg::from_boot()?.drain()?;
    let reported = |line: &String| {
        line.contains(name) && line.contains(word) && !line.contains("ommand line:")
    };
    Ok(log.iter().any(reported))
}
