// SPDX-License-Identifier: GPL-2.0

//! What else runs on a distribution's kernel, beside threads that have grants or inside of them.
//!
//! Where nothing else is said, the threads are those of [`Holders`](crate::support::Holders): each of
//! their restartable sequences is restarted if it has to be, and each of their grants ends.

mod classes;
mod groups;
mod memory;
mod processes;
mod tracing;

pub(crate) use classes::TESTS as CLASSES;
pub(crate) use groups::TESTS as GROUPS;
pub(crate) use memory::TESTS as MEMORY;
pub(crate) use processes::TESTS as PROCESSES;
pub(crate) use tracing::TESTS as TRACING;

/// Grants that a test waits for.
const GRANTS: u64 = 600;
