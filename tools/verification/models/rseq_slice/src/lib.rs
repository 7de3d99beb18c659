// SPDX-License-Identifier: GPL-2.0

//! An exhaustive model of the rseq time slice extension.
//!
//! [`abi`] and [`state`] are the very files that the kernel is built from, and `cargo test` runs
//! their unit tests. Around them stands a model of the kernel and of user space, small enough to go
//! through each of its states: README.md says what is in it and what is not.
//!
//! - `world`, `thread`, `moment`: what a state consists of.
//! - `action`: what can happen in it.
//! - `machine`, `syscall`: what the kernel around the extension does then.
//! - `rules`: what the extension does, in Rust, in C, and wrong.
//! - `kernel`: through which it does so, and where each step is checked.
//! - `property`, `ghost`, `cover`: what is checked, what that needs to know, and what has to be seen.
//! - `config`, `matrix`: what is explored.
//! - `explore`, `trace`, `run`: the exploration and what it prints.

#[path = "../../../../../kernel/rseq_slice/abi.rs"]
mod abi;
#[path = "../../../../../kernel/rseq_slice/state.rs"]
mod state;

mod action;
mod config;
mod cover;
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
