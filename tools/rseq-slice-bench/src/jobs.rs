// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is booted, with what to do.

use crate::kernels::Kernel;

/// One boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) kernel: Kernel,
    pub(crate) cpus: usize,
    /// Whether the plugin counts.
    pub(crate) counted: bool,
    /// Words for the kernel's command line.
    pub(crate) append: String,
    /// What init is told.
    pub(crate) words: String,
}

impl Job {
    fn new(what: &str, kernel: Kernel, cpus: usize, words: String) -> Self {
        Self {
            name: format!("{what}-{}-{cpus}", kernel.word()),
            kernel,
            cpus,
            counted: what == "paths" || what == "cycles",
            append: kernel.append().to_owned(),
            words,
        }
    }

    /// Contests with the recommended pattern at the shipped length for each CPU, with as little as
    /// possible that ends grants by chance: time slices end at ticks, so that no tick follows soon
    /// after; the CPUs have theirs at different times, as each takes time from all; and no thread is
    /// moved to another CPU. Idle CPUs keep their ticks, so that one thread alone bears those of all
    /// CPUs, as many threads do.
    pub(crate) fn undisturbed(kernel: Kernel, cpus: usize, threads: &str, ms: u64) -> Self {
        let words = format!(
            "contest --threads {threads} --lengths {} --waiting dropped --ms {ms} --pinned --no-hrtick",
            SHIPPED * cpus
        );
        let mut job = Self::new(UNDISTURBED, kernel, cpus, words);
        job.append += " skew_tick=1 nohz=off";
        job
    }

    /// Whether this is one of [`Job::undisturbed()`].
    pub(crate) fn is_undisturbed(&self) -> bool {
        self.name.starts_with(UNDISTURBED)
    }
}

const UNDISTURBED: &str = "undisturbed";

/// The two kernels that can grant.
const BOTH: [Kernel; 2] = [Kernel::C, Kernel::Rust];
const CPUS: [usize; 4] = [1, 2, 4, 8];

/// The shipped length in microseconds. On N CPUs the clock counts the instructions of all: it runs N
/// times as fast for each, and the length has to be N times as long.
const SHIPPED: usize = 5;

/// The whole benchmark, the longest jobs first.
pub(crate) fn full() -> Vec<Job> {
    let mut jobs = Vec::new();
    for cpus in CPUS.into_iter().rev() {
        let scaled = SHIPPED * cpus;
        for kernel in BOTH {
            jobs.push(Job::new(
                "threads",
                kernel,
                cpus,
                format!("contest --threads 1,2,4,8,16,32,64 --lengths {scaled} --ms 40"),
            ));
            jobs.push(Job::undisturbed(kernel, cpus, "1,32,64", 40));
            let lengths: Vec<String> = [5, 10, 20, 50]
                .into_iter()
                .filter(|&length| length != scaled)
                .map(|length| length.to_string())
                .collect();
            jobs.push(Job::new(
                "lengths",
                kernel,
                cpus,
                format!(
                    "contest --threads 8,32 --lengths {} --waiting held,dropped",
                    lengths.join(",")
                ),
            ));
            jobs.push(Job::new(
                "locks",
                kernel,
                cpus,
                format!("contest --threads 1,8,32 --lengths {scaled} --locks ticket,futex"),
            ));
        }
    }
    for kernel in [Kernel::C, Kernel::Rust, Kernel::RustLazy] {
        jobs.push(Job::new(
            "others",
            kernel,
            1,
            "latency --periods 1000".to_owned(),
        ));
    }
    for kernel in BOTH {
        jobs.push(Job::new(
            "cycles",
            kernel,
            2,
            "cost --samples 1000".to_owned(),
        ));
    }
    for kernel in Kernel::ALL {
        jobs.push(Job::new(
            "paths",
            kernel,
            1,
            "cost --samples 2000".to_owned(),
        ));
    }
    jobs
}

/// What the bounds need.
pub(crate) fn short() -> Vec<Job> {
    let mut jobs = Vec::new();
    for kernel in BOTH {
        jobs.push(Job::new(
            "paths",
            kernel,
            1,
            "cost --samples 500".to_owned(),
        ));
        jobs.push(Job::new(
            "cycles",
            kernel,
            2,
            "cost --samples 300".to_owned(),
        ));
        for cpus in [1, 2] {
            jobs.push(Job::new(
                "threads",
                kernel,
                cpus,
                format!(
                    "contest --threads 1,32,32,32,32,32 --lengths {} --waiting dropped --ms 20",
                    SHIPPED * cpus
                ),
            ));
            jobs.push(Job::undisturbed(kernel, cpus, "1,32,32,32", 20));
        }
    }
    for kernel in [Kernel::Rust, Kernel::RustLazy] {
        jobs.push(Job::new(
            "others",
            kernel,
            1,
            "latency --lengths 5,50 --periods 300".to_owned(),
        ));
    }
    for kernel in [Kernel::COffAtBoot, Kernel::RustOffAtBoot] {
        jobs.push(Job::new(
            "paths",
            kernel,
            1,
            "cost --samples 500".to_owned(),
        ));
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_command_lines_fit() {
        for jobs in [full(), short()] {
            let names: HashSet<_> = jobs.iter().map(|job| &job.name).collect();
            assert_eq!(names.len(), jobs.len());
            assert!(jobs.iter().all(|job| job.words.len() < 1024));
        }
    }
}
