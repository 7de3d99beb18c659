// SPDX-License-Identifier: MIT OR Apache-2.0

//! `rseq-slice demo`: threads that outnumber the CPUs compete for one spin lock, without and with the
//! extension.

mod contest;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use nix::sched::sched_getaffinity;
use nix::unistd::Pid;
use rseq_slice::Policy;
use rseq_slice_debugfs::{Counters, ExtensionLength, Implementation, counters, implementation};

use crate::check::{self, Cause, Facts};
use crate::cli::DemoArgs;
use crate::failure::{Failure, SYSTEM, UNAVAILABLE};
use contest::{Contest, Outcome};

/// With fewer threads than this, measure as for this many.
const FEWEST: u32 = 16;
const THREADS: [u32; 6] = [1, 2, 4, 8, 16, 32];
/// How many CPUs to compete on.
const CPUS: [usize; 2] = [1, 2];

pub(crate) fn main(args: &DemoArgs) -> Result<ExitCode, Failure> {
    works()?;
    let per_thread = Duration::from_millis(args.ms.into());
    let mut out = anstream::stdout().lock();
    writeln!(out, "kernel: {}", kernel()?)?;
    if let Ok(implementation) = implementation() {
        let language = match implementation {
            Implementation::C => "C",
            Implementation::Rust => "Rust",
        };
        writeln!(out, "time slice extension in: {language}")?;
    }
    match counters() {
        Ok(_) => writeln!(
            out,
            "a thread's first extension ends with a look for a seccomp filter, and counts as aborted"
        )?,
        Err(error) => writeln!(out, "the kernel's counts are left out: {error}")?,
    }
    writeln!(
        out,
        "one spin lock, {} steps of work under it, measured for {} ms of each thread",
        contest::STEPS,
        args.ms,
    )?;

    let available = available()?;
    let mut yielded = None;
    for count in CPUS {
        match available.get(..count) {
            Some(cpus) => {
                let length = args.us_per_cpu.map(|us| us * 1000 * count as u32);
                let counted = table(&mut out, cpus, length, per_thread)?;
                yielded = yielded.max(counted);
            }
            None => writeln!(
                out,
                "\n{count} CPUs: left out, there is only {}",
                available.len()
            )?,
        }
    }
    if yielded == Some(0) {
        let cause = "no grant was yielded";
        return Err(Failure::new(SYSTEM, cause, "rseq-slice check"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether there is anything to show. Allows taking over a legacy area.
fn works() -> Result<(), Failure> {
    let facts = Facts::gather(true)?;
    match check::cause(&facts) {
        Ok(_) => Ok(()),
        Err(Cause::LegacyArea) => rseq_slice::set_policy(Policy {
            take_over: true,
            ..Policy::DEFAULT
        })
        .map_err(|error| Failure::system("policy", error)),
        Err(cause) => {
            let cure = cause
                .cures()
                .first()
                .map_or_else(String::new, ToString::to_string);
            Err(Failure::new(UNAVAILABLE, cause.says(&facts), cure))
        }
    }
}

fn kernel() -> Result<String, Failure> {
    let words = ["ostype", "osrelease", "version"].map(|name| {
        let path = format!("/proc/sys/kernel/{name}");
        fs::read_to_string(&path).map_err(|error| Failure::system(path, error))
    });
    let words = words.into_iter().collect::<Result<Vec<_>, _>>()?;
    Ok(words
        .iter()
        .map(|word| word.trim())
        .collect::<Vec<_>>()
        .join(" "))
}

/// The CPUs that this program may use.
fn available() -> Result<Vec<usize>, Failure> {
    let failed = |error| Failure::system("sched_getaffinity", error);
    let set = sched_getaffinity(Pid::from_raw(0)).map_err(failed)?;
    let cpus = 0..nix::sched::CpuSet::count();
    Ok(cpus.filter(|&cpu| set.is_set(cpu) == Ok(true)).collect())
}

/// One contest, with what the kernel counted meanwhile if that can be read.
struct Measured {
    outcome: Outcome,
    counters: Option<Counters>,
}

impl Measured {
    fn of(contest: &Contest<'_>) -> Result<Self, Failure> {
        let before = counters().ok();
        let outcome = contest
            .run()
            .map_err(|error| Failure::system("contest", error))?;
        let after = counters().ok();
        Ok(Self {
            outcome,
            counters: after.zip(before).map(|(after, before)| after - before),
        })
    }
}

/// Measures and prints one table. Returns how many grants ended with a yield, if that is known.
fn table(
    out: &mut impl Write,
    cpus: &[usize],
    length_ns: Option<u32>,
    per_thread: Duration,
) -> Result<Option<u64>, Failure> {
    let set = length_ns.map(ExtensionLength::set).transpose();
    let _length = set
        .map_err(|error| Failure::new(UNAVAILABLE, error.to_string(), "leave --us-per-cpu out"))?;
    let length = match rseq_slice_debugfs::extension_length() {
        Ok(ns) => format!(", extension {} us", f64::from(ns) / 1e3),
        Err(_) => String::new(),
    };
    let plural = if cpus.len() == 1 { "" } else { "s" };
    writeln!(out, "\n{} CPU{plural}{length}", cpus.len())?;
    writeln!(
        out,
        "             operations/s           longest wait     kernel's counts with the extension"
    )?;
    writeln!(
        out,
        "threads      off       on   gain       off        on  granted yielded aborted revoked expired  died"
    )?;
    let mut yielded = None;
    for threads in THREADS {
        let measure = |extension| {
            Measured::of(&Contest {
                threads: threads as usize,
                cpus,
                duration: per_thread * threads.max(FEWEST),
                extension,
            })
        };
        let (off, on) = (measure(false)?, measure(true)?);
        row(out, threads, &off.outcome, &on)?;
        if let Some(counters) = on.counters {
            yielded = Some(yielded.unwrap_or(0) + counters.yielded);
        }
    }
    Ok(yielded)
}

fn row(out: &mut impl Write, threads: u32, off: &Outcome, on: &Measured) -> io::Result<()> {
    let millions = |outcome: &Outcome| outcome.operations_per_second() / 1e6;
    let count = |of: fn(&Counters) -> Option<u64>| {
        let count = on.counters.as_ref().and_then(of);
        count.map_or("-".to_owned(), |count| count.to_string())
    };
    writeln!(
        out,
        "{threads:7} {:6.3} M {:6.3} M {:6.2} {:>9} {:>9} {:>8} {:>7} {:>7} {:>7} {:>7} {:>5}",
        millions(off),
        millions(&on.outcome),
        millions(&on.outcome) / millions(off),
        time(off.longest_wait),
        time(on.outcome.longest_wait),
        count(|of| Some(of.granted)),
        count(|of| Some(of.yielded)),
        count(|of| Some(of.aborted)),
        count(|of| Some(of.revoked)),
        count(|of| Some(of.expired)),
        count(|of| of.died),
    )
}

fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1e-3 => format!("{:.1} us", seconds * 1e6),
        seconds => format!("{:.1} ms", seconds * 1e3),
    }
}
