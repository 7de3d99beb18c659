// SPDX-License-Identifier: GPL-2.0

//! Differential runs of the rseq time slice extension.

pub mod arg;
pub mod compare;
pub mod generate;
pub mod intended;
pub mod op;
pub mod outcome;
pub mod program;
pub mod shrink;
