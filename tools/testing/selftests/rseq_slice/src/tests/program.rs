// SPDX-License-Identifier: GPL-2.0

//! Whole programs: critical sections in a row, against a competitor that comes at any moment of them.

use anyhow::Result;
use rseq_slice_harness::clock::spin;
use rseq_slice_harness::{Control, End, Layout, Section, set_extension_length};

use crate::case::{Needs, Test, once};
use crate::check::check;
use crate::env::Env;
use crate::support::{CPU, Competitor, CounterDelta, Setup};

pub(crate) const TESTS: &[Test] = &[
    once(
        "mainline_flow_loses_no_grant",
        Needs::On,
        mainline_flow_loses_no_grant,
    ),
    once(
        "first_proposal_flow_loses_no_grant.bits",
        Needs::On,
        first_proposal_flow_loses_no_grant,
    ),
];

/// Set the request byte; clear it; if there is a grant, yield.
fn mainline_flow_loses_no_grant(env: Env) -> Result<()> {
    let mut registration = Setup::new(env, Layout::Bytes)?.into_registration();
    flow(env, registration.bytes())
}

/// Set REQUEST; test and clear it in one instruction; if it was gone and GRANTED is there, yield.
fn first_proposal_flow_loses_no_grant(env: Env) -> Result<()> {
    let mut registration = Setup::new(env, Layout::Bits)?.into_registration();
    flow(env, registration.bits())
}

fn flow(env: Env, mut control: impl Control) -> Result<()> {
    const SECTIONS: u64 = 600;
    const SECTION_LENGTH: u64 = 12_000;
    /// Requests that may be refused: wakeups fall beside ticks as well, which bring other work along.
    const REFUSED: u64 = SECTIONS / 100;
    set_extension_length(10_000)?;
    let competitor = Competitor::new(env, CPU)?;
    let delta = CounterDelta::start()?;
    let (mut undisturbed, mut yielded, mut too_late, mut preempted) = (0, 0, 0, 0);
    for section in 0..SECTIONS {
        // Spreads the wakeups evenly from the start of the section to beyond its end.
        competitor.wake_in(3_000 + section * 7_919 % 17_000)?;
        let critical = Section::begin(&mut control);
        spin(SECTION_LENGTH);
        match critical.end() {
            End::Undisturbed => undisturbed += 1,
            End::Yielded => yielded += 1,
            End::TooLate => too_late += 1,
            End::Preempted => preempted += 1,
        }
        spin(20_000);
    }
    let tally = delta.tally()?;
    check!(tally.adds_up(), "{tally:?}");
    check!(
        tally.yielded == yielded,
        "{yielded} sections saw a yield, {tally:?}"
    );
    check!(
        tally.revoked <= tally.expired,
        "a single competitor revoked: {tally:?}"
    );
    let ends = format!(
        "{undisturbed} undisturbed, {yielded} yielded, {too_late} late, {preempted} preempted"
    );
    check!(
        yielded > SECTIONS / 4 && undisturbed > SECTIONS / 10,
        "{ends}"
    );
    check!(
        too_late + preempted <= tally.revoked + REFUSED,
        "{ends}, {tally:?}"
    );
    check!(
        competitor.runs() >= SECTIONS * 9 / 10,
        "{} of {SECTIONS} wakeups",
        competitor.runs()
    );
    Ok(())
}
