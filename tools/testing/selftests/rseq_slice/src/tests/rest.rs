// SPDX-License-Identifier: GPL-2.0

//! What has to hold when all is quiet again, whatever ran since the boot.

use anyhow::Result;

use crate::case::{Needs, Test, once};
use crate::check::{check, fail};
use crate::kernel::Kernel;
use crate::kmsg::Kmsg;
use crate::ktap::diagnose;
use crate::runner::ledger;

pub(crate) const TESTS: &[Test] = &[
    once("counters_add_up", Needs::Counted, counters_add_up),
    once("log_has_no_report", Needs::Nothing, log_has_no_report),
];

/// Every grant since the boot has ended, in one way, those of other programs included.
fn counters_add_up(kernel: &Kernel) -> Result<()> {
    let total = rseq_slice_harness::counters()?;
    diagnose(format_args!("since the boot: {total:?}"));
    match ledger(kernel, total) {
        None => Ok(()),
        Some(error) => fail!("{error}"),
    }
}

/// The kernel's log has no report about a broken kernel.
fn log_has_no_report(_: &Kernel) -> Result<()> {
    let mut log = Kmsg::from_boot()?;
    let splat = log.splat()?;
    check!(
        splat.is_none(),
        "the kernel says: {}",
        splat.unwrap_or_default()
    );
    Ok(())
}
