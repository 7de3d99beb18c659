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
            let expected = format!("{PREFIX}{state}, 5000 ns");
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
    let log = Kmsg::from_boot()?.drain()?;
    let reported = |line: &String| line.contains("rseq_slice_ext") && line.contains(word.as_str());
    // The command line itself is in the log as well.
    let echo = |line: &String| line.contains("ommand line:");
    check!(
        log.iter().any(|line| reported(line) && !echo(line)),
        "{word:?} was not reported"
    );
    let registration = Registration::new()?;
    check!(registration.area().flags() == flags(false));
    Ok(())
}
