// SPDX-License-Identifier: GPL-2.0

//! Tests that find out by themselves that they cannot run.

use std::fmt;

/// The error of a test that finds out by itself that it cannot run here.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}
