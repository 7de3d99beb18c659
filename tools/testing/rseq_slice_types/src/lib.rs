// SPDX-License-Identifier: GPL-2.0

//! What a kernel says of its rseq time slice extension.
//!
//! Programs in the guest and programs on the host exchange these types, so nothing here needs the
//! extension, or a kernel that has it.

mod counters;

pub use counters::{Counters, Unreadable};

use serde::{Deserialize, Serialize};

/// The implementations of the extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Implementation {
    /// The one in C.
    C,
    /// The one in Rust.
    Rust,
}
