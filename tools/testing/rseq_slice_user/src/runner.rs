// SPDX-License-Identifier: GPL-2.0

//! Each case runs in a process of its own, once in each of its situations.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rseq_slice_harness::{Counters, Implementation, counters, implementation};

use crate::ktap::Report;
use crate::situation::{PLACE, SITUATIONS, Situation};

/// How the process of a case ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Passes,
    /// A seccomp filter kills it, and there is no way around.
    Killed,
}

/// One test.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) expect: fn(Situation) -> Option<Expect>,
    pub(crate) run: Box<dyn Fn(Situation) -> Result<()>>,
    /// A shared object that is loaded before all others.
    pub(crate) preload: Option<&'static str>,
}

impl Case {
    /// One that passes in all situations.
    pub(crate) fn new(name: &str, run: fn(Situation) -> Result<()>) -> Self {
        Self {
            name: name.into(),
            expect: |_| Some(Expect::Passes),
            run: Box::new(run),
            preload: None,
        }
    }

    /// The same in those situations only for which `wants` holds.
    pub(crate) fn only(self, expect: fn(Situation) -> Option<Expect>) -> Self {
        Self { expect, ..self }
    }
}

/// Runs those whose names contain `filter`; returns whether all are well.
pub(crate) fn run(cases: &[Case], filter: &str) -> Result<bool> {
    let all: Vec<_> = SITUATIONS
        .into_iter()
        .flat_map(|situation| cases.iter().map(move |case| (situation, case)))
        .filter_map(|(situation, case)| {
            let expect = (case.expect)(situation)?;
            Some((
                format!("{}.{}", situation.name, case.name),
                situation,
                case,
                expect,
            ))
        })
        .filter(|(name, ..)| name.contains(filter))
        .collect();
    ensure!(!all.is_empty(), "no test has {filter:?} in its name");
    let before = counters()?;
    let mut report = Report::new(all.len() + 1);
    for (name, situation, case, expect) in all {
        let start = Instant::now();
        let result = in_process(case, situation, expect);
        println!("# {} ms", start.elapsed().as_millis());
        report.result(&name, &result);
    }
    report.result("counters_add_up", &counters_add_up(before));
    Ok(report.finish())
}

fn in_process(case: &Case, situation: Situation, expect: Expect) -> Result<()> {
    let mut command = situation.command();
    command.args(["case", &case.name, situation.name]);
    if let Some(preload) = case.preload {
        command.env("LD_PRELOAD", format!("{PLACE}/bin/{preload}"));
    }
    let output = output(&mut command)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let as_expected = match expect {
        Expect::Passes => output.status.success(),
        Expect::Killed => output.status.signal() == Some(libc::SIGSYS),
    };
    ensure!(
        as_expected,
        "{expect:?} was expected, but {}\n{said}",
        ended(output.status)
    );
    Ok(())
}

fn ended(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("it was killed by signal {signal}"),
        None => format!("its status was {}", status.code().unwrap_or(-1)),
    }
}

pub(crate) fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null());
    command
        .output()
        .with_context(|| format!("{:?} does not start", command.get_program()))
}

/// Each grant since `before` has ended, and is counted as one thing.
fn counters_add_up(before: Counters) -> Result<()> {
    let since = counters()? - before;
    println!("# {since:?}");
    ensure!(since.granted > 0, "there were no grants");
    match (implementation()?, since.without_end()) {
        (_, 0) => Ok(()),
        // It does not count grants that end in some ways.
        (Implementation::C, 1..) => Ok(()),
        (_, difference) => bail!("{difference} more grants than ends"),
    }
}
