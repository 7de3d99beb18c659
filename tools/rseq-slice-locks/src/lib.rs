// SPDX-License-Identifier: MIT OR Apache-2.0

#![doc = include_str!("../README.md")]
#![no_std]

#[cfg(any(test, feature = "parking_lot_012"))]
extern crate std;

mod acquire;
mod relax;
mod slice;
mod spin;
mod sync;
mod ticket;

#[cfg(test)]
mod tests;

#[cfg(not(any(feature = "lock_api_05", feature = "lock_api_04")))]
compile_error!(
    "rseq-slice-locks has no traits to implement: enable the feature lock_api_05 or lock_api_04"
);

// loom tests the code that both versions share.
#[cfg(all(feature = "lock_api_04", not(all(test, loom))))]
pub mod lock_api_04;
#[cfg(feature = "lock_api_05")]
mod lock_api_05;

#[cfg(feature = "lock_api_05")]
pub use lock_api_05::*;
pub use relax::{Looks, Relax};
