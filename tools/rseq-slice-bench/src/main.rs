// SPDX-License-Identifier: MIT OR Apache-2.0

//! Boots the kernels that are compared in QEMU, collects what the programs in the guest measure and
//! what a TCG plugin counts, and reports on it: a page, a file for programs and a table.
//!
//! `scripts/bench` builds what this needs and calls it.

mod bounds;
mod functions;
mod html;
mod image;
mod jobs;
mod kernels;
mod plots;
mod programs;
mod report;
mod run;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::ValueExt;

use crate::image::Image;
use crate::kernels::{Kernel, Places};
use crate::report::Report;

const USAGE: &str = "usage: rseq-slice-bench bench|check --out DIR --boot FILE [--plugin FILE] \
    [--seed N] [--only NAME]
       rseq-slice-bench judge|render REPORT.json

bench measures everything and writes report.json, report.html and contention.svg into DIR/bench;
check measures little and judges it by bounds; judge does that with a report that is there, and
render makes the page and the picture of one. DIR holds c, rust and off, each with bzImage and
vmlinux, and maybe results of scripts/apps in apps and apps-c. --only runs the boots whose names contain NAME.";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("rseq-slice-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

struct Options {
    command: String,
    file: Option<PathBuf>,
    out: Option<PathBuf>,
    boot: Option<PathBuf>,
    plugin: Option<PathBuf>,
    seed: u64,
    only: String,
}

impl Options {
    fn from_args() -> Result<Self> {
        use lexopt::Arg::{Long, Value};

        let mut options = Self {
            command: String::new(),
            file: None,
            out: None,
            boot: None,
            plugin: None,
            seed: 1,
            only: String::new(),
        };
        let mut args = lexopt::Parser::from_env();
        while let Some(arg) = args.next()? {
            match arg {
                Long("out") => options.out = Some(args.value()?.into()),
                Long("boot") => options.boot = Some(args.value()?.into()),
                Long("plugin") => options.plugin = Some(args.value()?.into()),
                Long("seed") => options.seed = args.value()?.parse()?,
                Long("only") => options.only = args.value()?.string()?,
                Value(word) if options.command.is_empty() => options.command = word.string()?,
                Value(file) if options.file.is_none() => options.file = Some(file.into()),
                _ => bail!(USAGE),
            }
        }
        Ok(options)
    }
}

fn run() -> Result<bool> {
    let options = Options::from_args()?;
    match options.command.as_str() {
        "bench" => {
            let (places, report) = measure(&options, jobs::full())?;
            write(&report, &places.result("report.json"))?;
            draw(&report, &places.result("report.html"))?;
            print!("{}", table::main(&report));
            eprintln!("* {}", places.result("report.html").display());
            Ok(true)
        }
        "check" => {
            let (places, report) = measure(&options, jobs::short())?;
            write(&report, &places.result("check.json"))?;
            Ok(judge(&report))
        }
        "judge" => Ok(judge(&read(&options)?)),
        "render" => {
            let file = options.file.as_deref().context(USAGE)?;
            draw(&read(&options)?, &file.with_extension("html"))?;
            Ok(true)
        }
        _ => bail!(USAGE),
    }
}

fn measure(options: &Options, mut jobs: Vec<jobs::Job>) -> Result<(Places, Report)> {
    let places = Places {
        out: options.out.clone().context(USAGE)?,
        boot: options.boot.clone().context(USAGE)?,
        plugin: options.plugin.clone(),
    };
    jobs.retain(|job| job.name.contains(&options.only));
    fs::create_dir_all(places.result(""))?;
    let mut images = BTreeMap::new();
    for kernel in [Kernel::C, Kernel::Rust, Kernel::Off] {
        if jobs
            .iter()
            .any(|job| job.kernel.folder() == kernel.folder())
        {
            images.insert(kernel, Image::read(&places.vmlinux(kernel))?);
        }
    }
    let mut report = Report::new(options.seed, run::run(&places, jobs, options.seed)?)?;
    report.images = images;
    report.programs = programs::read(&places.out)?;
    Ok((places, report))
}

fn write(report: &Report, to: &Path) -> Result<()> {
    fs::write(to, serde_json::to_string_pretty(report)? + "\n")
        .with_context(|| to.display().to_string())
}

/// Writes the page to `page`, and beside it a picture of its own.
fn draw(report: &Report, page: &Path) -> Result<()> {
    let write =
        |to: &Path, text: String| fs::write(to, text).with_context(|| to.display().to_string());

    write(page, html::page(report)?)?;
    if let Some(picture) = html::contention(report)? {
        write(&page.with_file_name("contention.svg"), picture)?;
    }
    Ok(())
}

fn read(options: &Options) -> Result<Report> {
    let file = options.file.as_deref().context(USAGE)?;
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    serde_json::from_str(&text).with_context(|| file.display().to_string())
}

/// Prints one KTAP result for each bound. Returns whether all were kept.
fn judge(report: &Report) -> bool {
    let verdicts = bounds::judge(report);
    println!("KTAP version 1\n1..{}", verdicts.len());
    for (i, verdict) in verdicts.iter().enumerate() {
        let not = if verdict.kept { "" } else { "not " };
        println!("# {}", verdict.what);
        println!("{not}ok {} {}", i + 1, verdict.name);
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.kept).count();
    println!("{} passed, {failed} failed", verdicts.len() - failed);
    failed == 0
}
