// SPDX-License-Identifier: GPL-2.0

//! The guest's part of differential runs: runs programs and prints what they came to.

mod area;
mod competitors;
mod fresh;
mod knobs;
mod planned;
mod process;
mod runner;
mod sequence;
mod shared;
mod signals;
mod steps;

use std::env;
use std::process::ExitCode;

use std::sync::atomic::Ordering::SeqCst;

use anyhow::{Context, Result, bail};
use rseq_slice_harness::clock;
use rseq_slice_harness::scheduler::{Policy, set_policy};

use crate::process::Process;

const USAGE: &str = "\
Usage: rseq-slice-diff-guest [--each] FILE

Runs the programs in FILE, one a line: number, repetitions, text. Prints the
outcomes and how often each was seen: a pile of programs at a time, or with
--each before the next program begins.";

/// Makes the calling thread precede all but the competitors.
fn take_priority() {
    // It fails for those only that are none of the super-user's.
    let _ = set_policy(Policy::Fifo(competitors::PROGRAM_PRIORITY));
}

/// Goes on with a program after an exec.
fn resume(arguments: &[String]) -> Result<()> {
    let [next, repetition, text] = arguments else {
        bail!("--resume takes three arguments");
    };
    shared::find()?;
    clock::take_over_speed(shared::shared().speed.load(SeqCst));
    area::create()?;
    fresh::create()?;
    let program = text.parse()?;
    Process::new(&program, repetition.parse()?).run(next.parse()?)
}

fn run() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [first, rest @ ..] if first == "--resume" => resume(rest),
        [options @ .., file] if !file.starts_with('-') && options.iter().all(|o| o == "--each") => {
            let text = std::fs::read_to_string(file).context(file.clone())?;
            runner::run(&text, !options.is_empty())
        }
        _ => bail!("{USAGE}"),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rseq-slice-diff-guest: {error:#}");
            ExitCode::FAILURE
        }
    }
}
