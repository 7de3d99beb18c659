// SPDX-License-Identifier: GPL-2.0

//! Printed reports.

use std::collections::BTreeMap;

use rseq_slice_debugfs::Implementation;
use rseq_slice_diff::fork::Fork;
use rseq_slice_diff_program::outcome::Samples;

use crate::session::Case;

/// Prints a program on which the kernels do not agree.
pub(crate) fn print(title: &str, case: &Case) {
    println!("{title}: {}", case.program);
    for fault in &case.answer.faults {
        println!("  {fault}");
    }
    let comparison = &case.comparison;
    for fork in comparison.differences.iter().chain(&comparison.undecided) {
        print_fork(case, fork);
    }
    print_outcomes("C", &case.answer.c);
    print_outcomes("Rust", &case.answer.rust);
}

/// Prints one program of each kind of outcomes that are too rare to tell.
pub(crate) fn print_rare(cases: &[Case]) {
    let mut kinds: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in cases {
        kinds.entry(case.kind()).or_default().push(case);
    }
    for cases in kinds.values_mut() {
        cases.sort_by_key(|case| case.program.steps().len());
        print(
            &format!("too rare to tell, one of {}", cases.len()),
            cases[0],
        );
    }
}

fn print_fork(case: &Case, fork: &Fork) {
    match case.program.steps().get(fork.index) {
        Some(step) => println!("  at step {}, {step}:", fork.index + 1),
        None => println!("  at the end:"),
    }
    for (kernel, branches) in [
        (Implementation::C, &fork.c),
        (Implementation::Rust, &fork.rust),
    ] {
        let total: u64 = branches.values().sum();
        for (branch, count) in branches {
            let mark = if fork.only(kernel).any(|other| other == branch) {
                "!"
            } else {
                " "
            };
            println!("  {mark} {kernel:?} {count} of {total}: {branch}");
        }
    }
}

fn print_outcomes(kernel: &str, samples: &Samples) {
    const MOST: usize = 8;
    let mut outcomes: Vec<_> = samples.iter().collect();
    outcomes.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    for (outcome, count) in outcomes.iter().take(MOST) {
        println!("  {kernel} {count} times: {outcome}");
    }
    if outcomes.len() > MOST {
        println!("  {kernel}: and {} other outcomes", outcomes.len() - MOST);
    }
}
