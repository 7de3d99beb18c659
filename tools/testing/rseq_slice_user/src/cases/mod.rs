// SPDX-License-Identifier: GPL-2.0

//! What is tested.

mod basics;
mod processes;
mod seccomp;
mod shared_objects;
mod signals;
mod threads;

use anyhow::Result;
use rseq_slice::{Policy, set_policy};

use crate::allocator;
use crate::runner::Case;
use crate::situation::Situation;

pub(crate) fn all() -> Vec<Case> {
    let mut cases = basics::cases();
    cases.extend(threads::cases());
    cases.extend(processes::cases());
    cases.extend(signals::cases());
    cases.extend(shared_objects::cases());
    cases.extend(seccomp::cases());
    cases
}

/// Sets the policy that the situation wants, from when on allocations are in sections too.
fn start(situation: Situation) -> Result<()> {
    start_bare(situation)?;
    allocator::begin_sections();
    Ok(())
}

/// The same without sections in allocations, of which a thread has some before its first line of code.
fn start_bare(situation: Situation) -> Result<()> {
    set_policy(Policy {
        take_over: situation.take_over,
        ..Policy::DEFAULT
    })?;
    Ok(())
}
