// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tests with a control word that no kernel sees, so that each section of each lock is recorded.

pub(crate) mod record;

#[cfg(all(not(loom), feature = "lock_api_05"))]
mod fake;
#[cfg(all(loom, feature = "lock_api_05"))]
mod interleave;
#[cfg(all(not(loom), feature = "lock_api_04"))]
mod old;
#[cfg(all(not(loom), feature = "lock_api_05"))]
mod order;
#[cfg(all(not(loom), feature = "lock_api_05"))]
mod spinning;
