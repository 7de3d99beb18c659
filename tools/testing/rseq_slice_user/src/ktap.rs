// SPDX-License-Identifier: GPL-2.0

//! Results in the kernel's test anything protocol.

use anyhow::Result;

/// A report, and how much of it is good.
pub(crate) struct Report {
    number: usize,
    failed: usize,
}

impl Report {
    pub(crate) fn new(results: usize) -> Self {
        println!("KTAP version 1\n1..{results}");
        Self {
            number: 0,
            failed: 0,
        }
    }

    pub(crate) fn result(&mut self, name: &str, result: &Result<()>) {
        self.number += 1;
        match result {
            Ok(()) => println!("ok {} {name}", self.number),
            Err(error) => {
                self.failed += 1;
                for line in format!("{error:#}").lines() {
                    println!("# {line}");
                }
                println!("not ok {} {name}", self.number);
            }
        }
    }

    /// Whether nothing failed.
    pub(crate) fn finish(self) -> bool {
        let passed = self.number - self.failed;
        println!(
            "# Totals: pass:{passed} fail:{} xfail:0 xpass:0 skip:0 error:0",
            self.failed
        );
        self.failed == 0
    }
}
