// SPDX-License-Identifier: GPL-2.0

//! A run through all configurations, reported in KTAP.

use std::{
    sync::{
        atomic::{AtomicUsize, Ordering},
        Mutex, OnceLock,
    },
    thread,
    time::Instant,
};

use crate::{
    abi::Layout,
    config::Config,
    cover::Cover,
    differences,
    explore::{explore, Findings},
    matrix,
    property::{Broken, Property, ALL},
    rules::{FaultyRust, Rust, Sabotage, C},
};

/// A configuration, with the properties that have to be found broken.
#[derive(Clone, Copy)]
enum Job {
    Rust(Config, Broken),
    C(Config, Broken),
    Sabotage(Sabotage, Broken, Config),
}

impl Job {
    fn all() -> Vec<Self> {
        let rust = matrix::RUST
            .iter()
            .map(|&(config, broken)| Self::Rust(config, broken));
        let c = matrix::C
            .iter()
            .map(|&(config, broken)| Self::C(config, broken));
        let sabotage = Sabotage::ALL.iter().flat_map(|&(sabotage, broken)| {
            matrix::configs_for(sabotage, broken)
                .into_iter()
                .map(move |config| Self::Sabotage(sabotage, broken, config))
        });

        rust.chain(c).chain(sabotage).collect()
    }

    fn name(&self) -> String {
        match self {
            Self::Rust(config, _) => format!("rust.{}", title(config)),
            Self::C(config, _) => format!("c.{}", title(config)),
            Self::Sabotage(sabotage, broken, config) => {
                let (property, title) = (property(*broken).name, title(config));
                format!("sabotage.{sabotage:?}.{property}.{title}")
            }
        }
    }

    fn run(&self) -> Report {
        match *self {
            Self::Rust(config, known) => {
                let findings = explore(Rust, config, None);
                compare(&findings, known, Cover::expected(&config, true))
            }
            Self::C(config, known) => {
                let findings = explore(C, config, None);
                compare(&findings, known, Cover::expected(&config, false))
            }
            Self::Sabotage(sabotage, broken, config) => {
                let property = property(broken);
                let findings = explore(FaultyRust(sabotage), config, Some(property));
                let found = findings.broken.iter().any(|(other, _)| *other == property);
                Report {
                    head: findings.to_string(),
                    results: vec![Outcome {
                        ok: found,
                        name: format!("{property} is found broken"),
                        lines: Vec::new(),
                    }],
                }
            }
        }
    }
}

fn title(config: &Config) -> String {
    let layout = match config.layout {
        Layout::Bytes => "bytes",
        Layout::Bits => "bits",
    };
    let debug = if config.debug { ".debug" } else { "" };

    format!("{layout}.{}{debug}", config.name)
}

fn property(broken: Broken) -> Property {
    *ALL.iter()
        .find(|property| property.broken == broken)
        .expect("a single property")
}

/// A result with the lines that explain it.
struct Outcome {
    ok: bool,
    name: String,
    lines: Vec<String>,
}

/// The results of a job.
struct Report {
    head: String,
    results: Vec<Outcome>,
}

impl Report {
    fn is_ok(&self) -> bool {
        self.results.iter().all(|result| result.ok)
    }

    fn print(&self, number: usize, name: &str) {
        println!("# Subtest: {name}");
        println!("    # {}", self.head);
        println!("    1..{}", self.results.len());
        for (number, result) in self.results.iter().enumerate() {
            for line in &result.lines {
                println!("    # {line}");
            }
            println!("    {} {} {}", verdict(result.ok), number + 1, result.name);
        }
        println!("{} {} {name}", verdict(self.is_ok()), number + 1);
    }
}

fn verdict(ok: bool) -> &'static str {
    if ok {
        "ok"
    } else {
        "not ok"
    }
}

/// Compares the findings with the properties that are `known` to be broken, and with what has to be
/// `seen`.
fn compare(findings: &Findings, known: Broken, seen: Cover) -> Report {
    let mut results: Vec<_> = ALL
        .iter()
        .map(|property| {
            let known = known.contains(property.broken);
            let trace = findings.broken.iter().find(|(other, _)| other == property);
            let lines = match trace {
                Some((_, trace)) => trace.clone(),
                None if known => vec!["known to be broken, but it holds".into()],
                None => Vec::new(),
            };
            Outcome {
                ok: known == trace.is_some(),
                name: if known {
                    let names = differences::names(property.broken);

                    format!("{property} is broken, as known: {names}")
                } else {
                    property.to_string()
                },
                lines,
            }
        })
        .collect();

    let missing = seen - findings.cover;
    results.push(Outcome {
        ok: missing.is_empty(),
        name: "everything was seen".into(),
        lines: missing
            .iter_names()
            .map(|(name, _)| format!("never seen: {name}"))
            .collect(),
    });
    Report {
        head: findings.to_string(),
        results,
    }
}

/// Explores the configurations whose name contains `filter`, as many at once as there are CPUs, and
/// prints the results of each. Returns whether all are as expected.
///
/// # Panics
///
/// If there is a mistake in the model.
pub fn run(filter: &str) -> bool {
    let start = Instant::now();
    let jobs: Vec<_> = Job::all()
        .into_iter()
        .map(|job| (job, job.name(), OnceLock::new()))
        .filter(|(_, name, _)| name.contains(filter))
        .collect();
    let (next, printed) = (AtomicUsize::new(0), Mutex::new(0));
    let workers = thread::available_parallelism().map_or(1, usize::from);

    println!("KTAP version 1");
    println!("1..{}", jobs.len());
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((job, _, report)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let _ = report.set(job.run());
                    let mut printed = printed.lock().expect("a number");
                    while let Some((_, name, Some(report))) = jobs
                        .get(*printed)
                        .map(|(job, name, report)| (job, name, report.get()))
                    {
                        report.print(*printed, name);
                        *printed += 1;
                    }
                }
            });
        }
    });

    let results = || {
        jobs.iter()
            .filter_map(|(_, _, report)| report.get())
            .flat_map(|report| &report.results)
    };
    let failed = results().filter(|result| !result.ok).count();
    let passed = results().count() - failed;
    println!("# {:.1} s", start.elapsed().as_secs_f64());
    println!("{passed} passed, {failed} failed");
    failed == 0 && passed > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_ok(wanted: impl Fn(&Job) -> bool) {
        let jobs: Vec<_> = Job::all().into_iter().filter(wanted).collect();

        assert!(!jobs.is_empty());
        for job in jobs {
            for result in job.run().results {
                assert!(
                    result.ok,
                    "{}: {}\n{}",
                    job.name(),
                    result.name,
                    result.lines.join("\n")
                );
            }
        }
    }

    #[test]
    fn each_property_can_fail() {
        assert_ok(|job| matches!(job, Job::Sabotage(..)));
    }

    #[test]
    fn every_property_has_a_sabotage() {
        for property in ALL {
            assert!(
                Sabotage::ALL
                    .iter()
                    .any(|&(_, broken)| broken == property.broken),
                "{property}"
            );
        }
    }

    /// The row of a property in README.md names the mistakes that break it.
    #[test]
    fn the_readme_lists_the_properties() {
        let readme = include_str!("../README.md");

        for &(sabotage, broken) in Sabotage::ALL {
            let name = property(broken).name;
            let row = readme
                .lines()
                .find(|line| line.starts_with('|') && line.contains(&format!("| `{name}` |")));

            assert!(
                row.is_some_and(|row| row.contains(&format!("`{sabotage:?}`"))),
                "{name}: no row that names {sabotage:?}"
            );
        }
    }
}
