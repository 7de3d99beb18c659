// SPDX-License-Identifier: GPL-2.0

//! What has to hold when all tests have ended, whatever ran since the boot.

use anyhow::Result;

use crate::case::{Needs, Test, once};
use crate::check::{check, fail};
use crate::env::Env;
use crate::kmsg::Kmsg;
use crate::ktap::diagnose;

pub(crate) const TESTS: &[Test] = &[
    once("counters_add_up", Needs::Counted, counters_add_up),
    once("log_has_no_report", Needs::Nothing, log_has_no_report),
];

/// Every grant since the boot has ended, in one way, those of other programs included.
fn counters_add_up(env: Env) -> Result<()> {
    let total = rseq_slice_harness::counters()?;
    diagnose(format_args!("since the boot: {total:?}"));
    match env.kernel.imbalance(total) {
        None => Ok(()),
        Some(error) => fail!("{error}"),
    }
}

/// The kernel's log has no report about a broken kernel.
fn log_has_no_report(_: Env) -> Result<()> {
    let mut log = Kmsg::from_boot()?;
    let splat = log.splat()?;
    check!(
        splat.is_none(),
        "the kernel says: {}",
        splat.unwrap_or_default()
    );
    Ok(())
}
