// SPDX-License-Identifier: GPL-2.0

//! An exhaustive model of the rseq time slice extension.
//!
//! [`abi`] and [`state`] are the files that the kernel is built from, and `cargo test` runs their
//! unit tests. The rest is a model of the kernel and of user space that is small enough to visit
//! every state. README.md says what is in it and what is not.
//!
//! - `world`, `thread`, `moment`: the state.
//! - `action`: what can happen in a state.
//! - `machine`, `syscall`: the kernel around the extension.
//! - `rules`: the extension in Rust, in C, and with mistakes.
//! - `kernel`: the interface between the two, which checks each step.
//! - `property`, `ghost`, `cover`: what is checked, what that records, and what has to be seen.
//! - `config`, `matrix`: what is explored. `differences`: what C is known to break.
//! - `explore`, `trace`, `run`: the exploration and what it prints.

#[path = "../../../../../kernel/rseq_slice/abi.rs"]
mod abi;
#[path = "../../../../../kernel/rseq_slice/state.rs"]
mod state;

mod action;
mod config;
mod cover;
mod differences;
mod explore;
mod ghost;
mod kernel;
mod machine;
mod matrix;
mod moment;
mod property;
mod rules;
mod run;
mod syscall;
mod thread;
mod trace;
mod world;

pub use run::run;
