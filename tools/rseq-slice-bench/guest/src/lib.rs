// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the benchmark of the rseq time slice extension runs in the guest.
//!
//! The programs print one [`Record`] in JSON per line on standard output, and nothing else there.
//!
//! They are meant for a guest whose clock counts instructions (QEMU's `-icount shift=0`), where a
//! tick of the time stamp counter is an instruction and a figure repeats to the digit.

pub mod mark;
pub mod periodic;
mod quantiles;

pub use quantiles::quantiles;

use std::fs;
use std::io::{self, Write};

use rseq_slice_bench_record::Record;
use rseq_slice_harness::{DebugfsError, Implementation, implementation};

/// Prints a record.
///
/// # Errors
///
/// Those of standard output.
pub fn report(record: &Record) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, record)?;
    writeln!(out)
}

/// Says which kernel runs. Returns its implementation of the extension, if it has one.
///
/// # Errors
///
/// Whatever keeps `/proc` or debugfs from being read.
pub fn introduce() -> anyhow::Result<Option<Implementation>> {
    let implementation = match implementation() {
        Ok(implementation) => Some(implementation),
        Err(DebugfsError::Missing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let release = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version = fs::read_to_string("/proc/sys/kernel/version")?;
    report(&Record::Kernel {
        implementation,
        release: release.trim().to_owned(),
        version: version.trim().to_owned(),
        cpus: std::thread::available_parallelism()?.get(),
    })?;
    Ok(implementation)
}
