// SPDX-License-Identifier: GPL-2.0

//! Results in the kernel's test anything protocol.
//!
//! An expected failure is an `ok` line with the directive `XFAIL`, as in kselftest.h, so that parsers
//! which do not know the directive count it as passed. A test that was expected to fail and passes is
//! a plain failure.

use std::fmt;

use crate::case::Verdict;

/// The running totals of a report.
#[derive(Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    expected: usize,
    skipped: usize,
}

impl Report {
    /// Prints the head of a report of `cases` results.
    pub(crate) fn new(cases: usize) -> Self {
        println!("KTAP version 1\n1..{cases}");
        Self::default()
    }

    /// Prints the result of a case. `excuse` is why it is expected to fail, if it is.
    pub(crate) fn result(&mut self, name: &str, verdict: &Verdict, excuse: Option<&str>) {
        let number = self.passed + self.failed + self.expected + self.skipped + 1;
        match (verdict, excuse) {
            (Verdict::Passed, None) => {
                self.passed += 1;
                println!("ok {number} {name}");
            }
            (Verdict::Passed, Some(excuse)) => {
                self.failed += 1;
                diagnose(format_args!("passed, but was expected to fail: {excuse}"));
                println!("not ok {number} {name}");
            }
            (Verdict::Failed(why), None) => {
                self.failed += 1;
                diagnose(why);
                println!("not ok {number} {name}");
            }
            (Verdict::Failed(why), Some(excuse)) => {
                self.expected += 1;
                diagnose(why);
                println!("ok {number} {name} # XFAIL {excuse}");
            }
            (Verdict::Skipped(why), _) => {
                self.skipped += 1;
                println!("ok {number} {name} # SKIP {why}");
            }
        }
    }

    /// Prints the totals and returns whether nothing failed.
    pub(crate) fn finish(self) -> bool {
        println!(
            "# Totals: pass:{} fail:{} xfail:{} xpass:0 skip:{} error:0",
            self.passed, self.failed, self.expected, self.skipped
        );
        self.failed == 0
    }
}

/// Prints lines for the human reader.
pub(crate) fn diagnose(text: impl fmt::Display) {
    for line in text.to_string().lines() {
        println!("# {line}");
    }
}
