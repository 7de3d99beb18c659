// SPDX-License-Identifier: MIT OR Apache-2.0

//! Measures what the paths of the time slice extension cost, in ticks of the time stamp counter.
//!
//! All measuring is done on CPU 0, beside real-time threads that wake up there and so force the
//! reschedules that grants postpone. What the measuring itself takes is included everywhere, the
//! same for all kernels. Each measurement is in a window between two marks, and those of one record
//! form a group.

mod cycles;
mod paths;
mod sample;

use std::process::ExitCode;

use anyhow::{Result, bail};
use lexopt::ValueExt;
use rseq_slice_bench_guest::introduce;
use rseq_slice_bench_record::PathName;
use rseq_slice_harness::{Layout, Registration, SliceError, pin_to, set_layout};

const USAGE: &str = "usage: rseq-slice-cost [--samples N]";

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rseq-slice-cost: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measurements of each path.
fn samples() -> Result<usize> {
    let mut samples = 2_000;
    let mut args = lexopt::Parser::from_env();
    while let Some(arg) = args.next()? {
        match arg {
            lexopt::Arg::Long("samples") => samples = args.value()?.parse()?,
            _ => bail!(USAGE),
        }
    }
    if samples == 0 {
        bail!(USAGE);
    }
    Ok(samples)
}

fn measure() -> Result<()> {
    let samples = samples()?;
    pin_to(&[0])?;
    introduce()?;

    paths::any_thread(
        samples,
        &[
            PathName::Nothing,
            PathName::NullUnregistered,
            PathName::InterruptUnregistered,
        ],
    )?;
    paths::switch(samples, PathName::SwitchUnregistered)?;
    paths::switch(samples, PathName::SwitchRegistered)?;

    let mut registration = Registration::new()?;
    paths::any_thread(
        samples,
        &[PathName::NullRegistered, PathName::InterruptRegistered],
    )?;
    paths::preempted(samples)?;

    match set_layout(Some(Layout::Bytes)) {
        Ok(()) => (),
        // Compiled out, or off at boot: there is nothing more to measure.
        Err(SliceError::NotSupported) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    paths::any_thread(
        samples,
        &[PathName::NullEnabled, PathName::InterruptEnabled],
    )?;
    paths::calls(samples)?;
    let control = registration.bytes();
    paths::grants(samples, &control)?;
    cycles::all(samples, &control)
}
