// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sections of the calling thread. Tests have them recorded.

#[cfg(not(test))]
pub(crate) use rseq_slice::{Token, begin, end};

#[cfg(test)]
pub(crate) use crate::tests::record::{Token, begin, end};
