// SPDX-License-Identifier: GPL-2.0

//! The cause on each kernel, with each C library, with and without take-over, by crate and by header.

use anyhow::{Context, Result, ensure};
use rseq_slice::{Area, Policy, Why, set_policy, support};

use crate::ktap::Report;
use crate::runner;
use crate::situation::{Libc, PLACE};

pub(crate) const KERNELS: &str = "works|off-at-boot|not-built-in|no-rseq";

/// What the first thread of a program has of its C library.
#[derive(Debug, Clone, Copy)]
enum Has {
    Legacy,
    Long,
    None,
}

/// What is printed, by kernel, area of the C library, and whether it may be taken over.
const EXPECTED: [(&str, Has, &str, &str); 12] = [
    ("works", Has::Legacy, "cause 6 0", "area 3"),
    ("works", Has::Long, "area 1", "area 1"),
    ("works", Has::None, "area 2", "area 2"),
    // Behind a legacy area the kernel does not tell.
    ("off-at-boot", Has::Legacy, "cause 6 0", "cause 5 0"),
    ("off-at-boot", Has::Long, "cause 5 0", "cause 5 0"),
    ("off-at-boot", Has::None, "cause 5 0", "cause 5 0"),
    ("not-built-in", Has::Legacy, "cause 4 0", "cause 4 0"),
    ("not-built-in", Has::Long, "cause 4 0", "cause 4 0"),
    ("not-built-in", Has::None, "cause 4 0", "cause 4 0"),
    ("no-rseq", Has::Legacy, "cause 2 0", "cause 2 0"),
    ("no-rseq", Has::Long, "cause 2 0", "cause 2 0"),
    ("no-rseq", Has::None, "cause 2 0", "cause 2 0"),
];

/// Programs that print the cause: name, C library, and what that registers unless told otherwise.
const PROGRAMS: [(&str, &str, Libc, Has); 7] = [
    ("crate-old", "rseq-slice-user", Libc::Old, Has::Legacy),
    ("crate-new", "rseq-slice-user", Libc::New, Has::Long),
    ("crate-static", "rseq-slice-user", Libc::Static, Has::Legacy),
    ("header-old", "cause", Libc::Old, Has::Legacy),
    ("header-new", "cause", Libc::New, Has::Long),
    ("header-static", "cause", Libc::Static, Has::Legacy),
    ("header-musl", "cause-musl", Libc::Static, Has::None),
];

pub(crate) fn run(kernel: &str) -> Result<bool> {
    let rows: Vec<_> = EXPECTED.into_iter().filter(|row| row.0 == kernel).collect();
    ensure!(!rows.is_empty(), "the kernel is none of {KERNELS}");
    let mut report = Report::new(PROGRAMS.len() * 4);
    for (name, program, libc, has) in PROGRAMS {
        for (tunable_off, tunable) in [(false, ""), (true, ".tunable-off")] {
            let has = if tunable_off { Has::None } else { has };
            let row = rows
                .iter()
                .find(|row| std::mem::discriminant(&row.1) == std::mem::discriminant(&has));
            let &(.., plain, taken) = row.context("the table has a gap")?;
            for (words, take_over, expected) in
                [(&[][..], "", plain), (&["take-over"], ".take-over", taken)]
            {
                let result = prints(libc, program, tunable_off, words, expected);
                report.result(&format!("{kernel}.{name}{tunable}{take_over}"), &result);
            }
        }
    }
    Ok(report.finish())
}

fn prints(
    libc: Libc,
    program: &str,
    tunable_off: bool,
    words: &[&str],
    expected: &str,
) -> Result<()> {
    let mut command = libc.command(program, tunable_off);
    if program == "rseq-slice-user" {
        command.arg("cause");
    }
    let output = runner::output(command.args(words))?;
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(
        output.status.success() && said.trim_end() == expected,
        "it prints {:?}, not {expected:?}; {}; {PLACE}/*/{program}\n{complained}",
        said.trim_end(),
        output.status
    );
    Ok(())
}

/// The number that the C header gives an area.
pub(crate) fn number(area: Area) -> i32 {
    match area {
        Area::Libc => 1,
        Area::Own => 2,
        _ => 3,
    }
}

/// Prints what `c/cause.c` prints.
pub(crate) fn cause(take_over: bool) -> Result<()> {
    set_policy(Policy {
        take_over,
        ..Policy::DEFAULT
    })?;
    match support() {
        Ok(area) => println!("area {}", number(area)),
        Err(Why::Refused(errno)) => println!("cause {} {errno}", Why::Refused(errno).number()),
        Err(why) => println!("cause {} 0", why.number()),
    }
    Ok(())
}
