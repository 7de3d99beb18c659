// SPDX-License-Identifier: GPL-2.0

//! Programs of slice operations and what they come to, with the texts in which host and guest exchange
//! both.

pub mod arg;
pub mod op;
pub mod outcome;
pub mod program;
