// SPDX-License-Identifier: MIT OR Apache-2.0

//! Everything that was measured, in one value.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use rseq_slice_bench_record::{
    Cause, Competitor, ContestRecord, CycleRecord, LatencyRecord, LockKind, PathName, PathRecord,
    Record, Waiting,
};
use rseq_slice_debugfs::Implementation;
use serde::{Deserialize, Serialize};

use crate::functions::Group;
use crate::image::Image;
use crate::kernels::Kernel;
use crate::programs::Demos;
use crate::run::Output;

/// Functions that write to a clock event device.
const PROGRAM: [&str; 5] = [
    "lapic_next_event",
    "lapic_next_deadline",
    "hpet_clkevt_legacy_set_next_event",
    "hpet_clkevt_msi_set_next_event",
    "pit_next_event",
];
/// Where timer interrupts come in.
const INTERRUPT: [&str; 1] = ["sysvec_apic_timer_interrupt"];

/// One path on one kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PathRow {
    pub(crate) kernel: Kernel,
    #[serde(flatten)]
    pub(crate) record: PathRecord,
    /// By function; `None` without the plugin.
    pub(crate) counted: Option<Group>,
}

/// Cycles on one kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct CycleRow {
    pub(crate) kernel: Kernel,
    /// CPUs of the guest.
    pub(crate) cpus: usize,
    #[serde(flatten)]
    pub(crate) record: CycleRecord,
    /// Clock event device programmings of CPU 0 in all cycles; `None` without the plugin.
    pub(crate) programmings: Option<u64>,
    /// Timer interrupts of CPU 0 in all cycles.
    pub(crate) interrupts: Option<u64>,
}

impl CycleRow {
    /// Programmings and timer interrupts for each grant.
    pub(crate) fn per_grant(&self) -> Option<(f64, f64)> {
        let grants = self.record.counters.granted as f64;
        let (programmings, interrupts) = self.programmings.zip(self.interrupts)?;
        Some((programmings as f64 / grants, interrupts as f64 / grants))
    }

    /// Timer interrupts for each grant that cause one.
    pub(crate) fn causes(&self) -> f64 {
        match self.record.cause {
            Cause::Timer => self.record.cycles as f64 / self.record.counters.granted as f64,
            Cause::Ipi => 0.0,
        }
    }

    /// Programmings for each grant without those of ticks, which fall into a cycle by chance. Each
    /// timer interrupt that causes no grant counts as one, with one programming.
    pub(crate) fn less_ticks(&self) -> Option<f64> {
        let (programmings, interrupts) = self.per_grant()?;
        Some(programmings - (interrupts - self.causes()))
    }
}

/// A contest for a lock on one kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContestRow {
    pub(crate) kernel: Kernel,
    #[serde(flatten)]
    pub(crate) record: ContestRecord,
    /// As [`ContestRecord::refused`].
    pub(crate) refused: Option<u64>,
}

/// Contests for locks.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Contests(pub(crate) Vec<ContestRow>);

impl Contests {
    /// Those of one kind.
    pub(crate) fn of(
        &self,
        kernel: Kernel,
        lock: LockKind,
        (cpus, threads): (usize, usize),
        (waiting, length): (Waiting, Option<u32>),
    ) -> impl Iterator<Item = &ContestRow> {
        self.0.iter().filter(move |row| {
            let record = &row.record;
            row.kernel == kernel
                && record.lock == lock
                && (record.cpus, record.threads) == (cpus, threads)
                && (record.waiting, record.length) == (waiting, length)
        })
    }

    /// The one of them with the highest rate, which chance has disturbed least.
    pub(crate) fn fastest(
        &self,
        kernel: Kernel,
        lock: LockKind,
        places: (usize, usize),
        requests: (Waiting, Option<u32>),
    ) -> Option<&ContestRow> {
        self.of(kernel, lock, places, requests)
            .max_by(|a, b| a.record.rate().total_cmp(&b.record.rate()))
    }
}

/// A periodic thread on one kernel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LatencyRow {
    pub(crate) kernel: Kernel,
    #[serde(flatten)]
    pub(crate) record: LatencyRecord,
}

/// All results.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// QEMU's seed.
    pub(crate) seed: u64,
    /// `uname -rv` of each kernel.
    pub(crate) kernels: BTreeMap<Kernel, String>,
    /// Sizes.
    pub(crate) images: BTreeMap<Kernel, Image>,
    pub(crate) paths: Vec<PathRow>,
    pub(crate) cycles: Vec<CycleRow>,
    pub(crate) contests: Contests,
    /// Those of [`Job::undisturbed()`](crate::jobs::Job::undisturbed).
    pub(crate) undisturbed: Contests,
    pub(crate) latencies: Vec<LatencyRow>,
    /// Whole programs, where they were run.
    #[serde(default)]
    pub(crate) programs: BTreeMap<Kernel, Demos>,
    /// What was run.
    pub(crate) commands: Vec<String>,
}

impl Report {
    pub(crate) fn new(seed: u64, outputs: Vec<Output>) -> Result<Self> {
        let mut report = Self {
            seed,
            ..Self::default()
        };
        for output in outputs {
            report.add(output)?;
        }
        Ok(report)
    }

    fn add(&mut self, output: Output) -> Result<()> {
        let Output {
            job,
            command,
            records,
            windows,
        } = output;
        let kernel = job.kernel;
        self.commands.push(command);
        // Each path and each set of cycles is a group of windows, in order.
        let mut groups = windows.map(|windows| windows.0.into_iter());
        let mut group = |expected: usize| -> Result<Option<Group>> {
            let Some(groups) = groups.as_mut() else {
                return Ok(None);
            };
            let group = groups.next().unwrap_or_default();
            ensure!(
                group.windows >= expected,
                "{}: the plugin saw {} windows of {expected}",
                job.name,
                group.windows
            );
            Ok(Some(group))
        };
        for record in records {
            match record {
                Record::Kernel {
                    implementation,
                    release,
                    version,
                    ..
                } => {
                    let expected = match kernel {
                        Kernel::C | Kernel::COffAtBoot => Some(Implementation::C),
                        Kernel::Rust | Kernel::RustOffAtBoot | Kernel::RustLazy => {
                            Some(Implementation::Rust)
                        }
                        Kernel::Off => None,
                    };
                    ensure!(
                        implementation.is_none() || implementation == expected,
                        "{}: this is a kernel with {implementation:?}",
                        job.name
                    );
                    self.kernels.insert(kernel, format!("{release} {version}"));
                }
                Record::Path(record) => {
                    let counted = group(record.samples)?;
                    // Boots that count cycles repeat the paths with another number of CPUs.
                    if job.name.starts_with("paths") {
                        self.paths.push(PathRow {
                            kernel,
                            record,
                            counted,
                        });
                    }
                }
                Record::Cycle(record) => {
                    let counted = group(1)?;
                    let calls = |names: &[&str]| counted.as_ref().map(|group| group.calls(names));
                    self.cycles.push(CycleRow {
                        kernel,
                        cpus: job.cpus,
                        programmings: calls(&PROGRAM),
                        interrupts: calls(&INTERRUPT),
                        record,
                    });
                }
                Record::Contest(record) => {
                    ensure!(
                        !job.is_undisturbed() || (record.pinned && !record.hrtick),
                        "{}: time slices do not end at ticks, or threads move",
                        job.name
                    );
                    let contests = match job.is_undisturbed() {
                        true => &mut self.undisturbed,
                        false => &mut self.contests,
                    };
                    contests.0.push(ContestRow {
                        kernel,
                        refused: record.refused(),
                        record,
                    });
                }
                Record::Latency(record) => self.latencies.push(LatencyRow { kernel, record }),
            }
        }
        Ok(())
    }

    /// What a path costs on a kernel.
    pub(crate) fn path(&self, kernel: Kernel, path: PathName) -> Option<&PathRow> {
        self.paths
            .iter()
            .find(|row| row.kernel == kernel && row.record.path == path)
    }

    /// The cycles of one kind, with as few CPUs as they take.
    pub(crate) fn cycle(
        &self,
        kernel: Kernel,
        cause: Cause,
        competitor: Competitor,
    ) -> Option<&CycleRow> {
        self.cycles
            .iter()
            .filter(|row| {
                (row.kernel, row.record.cause, row.record.competitor) == (kernel, cause, competitor)
            })
            .min_by_key(|row| row.cpus)
    }

    /// The paths that were measured anywhere.
    pub(crate) fn path_names(&self) -> Vec<PathName> {
        let mut names: Vec<_> = self.paths.iter().map(|row| row.record.path).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
