// SPDX-License-Identifier: GPL-2.0

//! The host's part of differential runs: makes programs, has them run on both kernels, and says where
//! these differ.

mod boot;
mod report;
mod session;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lexopt::prelude::*;
use rseq_slice_diff::generate;
use rseq_slice_diff::intended::{self, Intended};
use rseq_slice_diff_program::program::Program;

use crate::boot::Guests;
use crate::session::{Results, Session, Times};

const USAGE: &str = "\
Usage: rseq-slice-diff --boot SCRIPT --c BZIMAGE --rust BZIMAGE --initrd FILE --logs DIR [options]

Runs programs on the C and on the Rust kernel and says where these differ.

  --fixed          the fixed programs only
  --program TEXT   this program only, and all of its outcomes; may be repeated
  --seed N         the first seed (default 1)
  --seeds N        how many seeds (default 20)
  --programs N     how many programs over all seeds (default 10000)
  --append WORDS   more kernel command line
  --forget NAME    report the intended difference NAME as a difference
  --list           print the names of the intended differences, and nothing else";

/// Seeds whose programs share a boot.
const SEEDS_PER_BOOT: u64 = 5;
/// Repetitions of a program that is given.
const GIVEN: Times = [256, 64, 12];

struct Options {
    guests: Guests,
    fixed: bool,
    programs: Vec<Program>,
    seed: u64,
    seeds: u64,
    count: u64,
    intended: Vec<Intended>,
}

fn parse() -> Result<Option<Options>> {
    let (mut boot, mut c, mut rust, mut initrd, mut logs) = (None, None, None, None, None);
    let (mut fixed, mut programs, mut append) = (false, Vec::new(), String::new());
    let (mut seed, mut seeds, mut count) = (1, 20, 10_000);
    let mut intended = intended::ALL.to_vec();
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("boot") => boot = Some(PathBuf::from(parser.value()?)),
            Long("c") => c = Some(PathBuf::from(parser.value()?)),
            Long("rust") => rust = Some(PathBuf::from(parser.value()?)),
            Long("initrd") => initrd = Some(PathBuf::from(parser.value()?)),
            Long("logs") => logs = Some(PathBuf::from(parser.value()?)),
            Long("fixed") => fixed = true,
            Long("program") => programs.push(parser.value()?.string()?.parse()?),
            Long("seed") => seed = parser.value()?.parse()?,
            Long("seeds") => seeds = parser.value()?.parse()?,
            Long("programs") => count = parser.value()?.parse()?,
            Long("append") => append = parser.value()?.string()?,
            Long("forget") => {
                let name = parser.value()?.string()?;
                let before = intended.len();
                intended.retain(|entry| entry.name != name);
                ensure!(
                    intended.len() < before,
                    "there is no intended difference {name:?}"
                );
            }
            Long("list") => {
                intended.iter().for_each(|entry| println!("{}", entry.name));
                return Ok(None);
            }
            Short('h') | Long("help") => {
                println!("{USAGE}");
                return Ok(None);
            }
            other => return Err(other.unexpected().into()),
        }
    }
    ensure!(seeds > 0 && count > 0, "there is nothing to do");
    let need =
        |value: Option<PathBuf>, name: &str| value.with_context(|| format!("{name} is missing"));
    let logs = need(logs, "--logs")?;
    std::fs::create_dir_all(&logs)?;
    let mut guests = Guests::new(
        need(boot, "--boot")?,
        need(c, "--c")?,
        need(rust, "--rust")?,
        need(initrd, "--initrd")?,
        logs,
    );
    guests.append = append;
    Ok(Some(Options {
        guests,
        fixed,
        programs,
        seed,
        seeds,
        count,
        intended,
    }))
}

/// The programs that every run begins with.
fn fixed() -> Vec<Program> {
    include_str!("../../../fixed.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.parse().expect("a unit test parses them"))
        .collect()
}

fn run(options: &mut Options) -> Result<ExitCode> {
    let start = Instant::now();
    let (seed, seeds, count) = (options.seed, options.seeds, options.count);
    let mut session = Session {
        guests: &mut options.guests,
        intended: &options.intended,
        open: Vec::new(),
        results: Results::default(),
    };
    if !options.programs.is_empty() {
        for case in session.show(&options.programs, GIVEN, seed)? {
            report::print("program", &case);
        }
        return Ok(ExitCode::SUCCESS);
    }
    if options.fixed {
        session.judge(fixed(), seed)?;
    } else {
        let per_seed = usize::try_from(count.div_ceil(seeds))?;
        for first in (seed..seed + seeds).step_by(SEEDS_PER_BOOT as usize) {
            let last = (first + SEEDS_PER_BOOT).min(seed + seeds);
            eprintln!(
                "seeds {first} to {}, {per_seed} programs each, {} s so far",
                last - 1,
                start.elapsed().as_secs()
            );
            let programs = (first..last).flat_map(|seed| generate::programs(seed, per_seed));
            let begin = if first == seed { fixed() } else { Vec::new() };
            session.judge(begin.into_iter().chain(programs).collect(), first)?;
        }
    }
    session.settle(seed)?;
    for case in &session.results.bad {
        report::print("DIFFERS", case);
    }
    let shrunk = session.shrink(seed)?;
    let results = &session.results;
    for case in &shrunk {
        report::print("shrunk", case);
    }
    report::print_rare(&results.rare);
    let mut stale = 0;
    for entry in &options.intended {
        let seen = results
            .intended
            .get(entry.name)
            .copied()
            .unwrap_or_default();
        println!("intended, in {seen} programs: {}", entry.name);
        stale += usize::from(seen == 0 && entry.certain);
    }
    if stale > 0 {
        println!("{stale} intended differences were not seen");
    }
    let minutes = start.elapsed().as_secs_f64() / 60.0;
    println!(
        "{} runs in {minutes:.1} minutes; {} programs with outcomes too rare to tell",
        results.runs,
        results.rare.len()
    );
    let skipped = results.with_intended;
    let failed = results.bad.len() + stale;
    println!(
        "{} passed, {failed} failed, {skipped} skipped",
        results.agreed + results.rare.len()
    );
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn main() -> ExitCode {
    let result = parse().and_then(|options| match options {
        Some(mut options) => run(&mut options),
        None => Ok(ExitCode::SUCCESS),
    });
    result.unwrap_or_else(|error| {
        eprintln!("rseq-slice-diff: {error:#}");
        ExitCode::from(2)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fixed_programs_can_be_read() {
        assert!(super::fixed().len() >= 40);
    }
}
