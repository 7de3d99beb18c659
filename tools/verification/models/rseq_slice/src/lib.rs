// SPDX-License-Identifier: GPL-2.0

//! The decisions of the rseq time slice extension, compiled from the very files that the kernel is
//! built from. `cargo test` runs their unit tests.

#![no_std]
#![cfg_attr(not(test), expect(dead_code, reason = "only the unit tests use it"))]

#[path = "../../../../../kernel/rseq_slice/abi.rs"]
pub mod abi;
#[path = "../../../../../kernel/rseq_slice/state.rs"]
pub mod state;
