// SPDX-License-Identifier: GPL-2.0

//! Explores all configurations, or those whose name contains the argument.

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let filter = env::args().nth(1).unwrap_or_default();

    if rseq_slice_model::run(&filter) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
