// SPDX-License-Identifier: GPL-2.0

//! Runs programs on both kernels.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use rseq_slice_debugfs::Implementation;
use rseq_slice_diff_program::outcome::{Line, Samples};
use rseq_slice_diff_program::program::Program;

/// A program and how often it is to be run.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) program: Program,
    pub(crate) repetitions: u32,
}

/// The outcomes of a job on both kernels.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) c: Samples,
    pub(crate) rust: Samples,
    /// Failures without a comparison: a broken rule, or a kernel that crashed.
    pub(crate) faults: Vec<String>,
}

/// The two guests.
pub(crate) struct Guests {
    /// `scripts/boot`.
    pub(crate) boot: PathBuf,
    pub(crate) c: PathBuf,
    pub(crate) rust: PathBuf,
    pub(crate) initrd: PathBuf,
    /// Where the consoles are kept.
    pub(crate) logs: PathBuf,
    /// More kernel command line.
    pub(crate) append: String,
    boots: usize,
}

/// One kernel's answers, by the number of the job.
#[derive(Default)]
struct Report {
    samples: BTreeMap<usize, Samples>,
    faults: BTreeMap<usize, Vec<String>>,
    /// How many jobs were answered, from the first on.
    done: usize,
    complete: bool,
}

impl Guests {
    pub(crate) fn new(
        boot: PathBuf,
        c: PathBuf,
        rust: PathBuf,
        initrd: PathBuf,
        logs: PathBuf,
    ) -> Self {
        Self {
            boot,
            c,
            rust,
            initrd,
            logs,
            append: String::new(),
            boots: 0,
        }
    }

    /// Runs the jobs on both kernels at the same time.
    ///
    /// `seed` changes the schedule of the guests.
    pub(crate) fn run(&mut self, jobs: &[Job], seed: u64) -> Result<Vec<Answer>> {
        let number = self.boots;
        self.boots += 1;
        let this = &*self;
        let (c, rust) = thread::scope(|scope| {
            let start = |kernel| scope.spawn(move || this.run_on(kernel, jobs, seed, number));
            let (c, rust) = (start(Implementation::C), start(Implementation::Rust));
            (c.join(), rust.join())
        });
        let panicked = |_| anyhow::anyhow!("a thread panicked");
        let (mut c, mut rust) = (c.map_err(panicked)??, rust.map_err(panicked)??);
        let answers = (0..jobs.len()).map(|number| Answer {
            c: c.samples.remove(&number).unwrap_or_default(),
            rust: rust.samples.remove(&number).unwrap_or_default(),
            faults: [&mut c, &mut rust]
                .into_iter()
                .flat_map(|report| report.faults.remove(&number).unwrap_or_default())
                .collect(),
        });
        Ok(answers.collect())
    }

    /// Runs the jobs on one kernel, with another boot after each program that crashed the kernel.
    fn run_on(
        &self,
        kernel: Implementation,
        jobs: &[Job],
        seed: u64,
        number: usize,
    ) -> Result<Report> {
        /// A kernel that crashes more often than that is not compared.
        const CRASHES: usize = 5;
        let mut all = Report::default();
        let mut crashes = 0;
        // After an incomplete report the next boot tells which program it was.
        let mut each = false;
        while all.done < jobs.len() {
            let from = all.done;
            let name = format!(
                "{}-{number}.{}",
                name(kernel),
                crashes * 2 + usize::from(each)
            );
            let status = self.boot(kernel, jobs, from, seed, each, &name)?;
            let report = read(&self.log(&name), kernel)?;
            all.samples.extend(report.samples);
            all.faults.extend(report.faults);
            all.done = all.done.max(report.done);
            if report.complete {
                ensure!(all.done == jobs.len(), "{name}: the report is not complete");
                break;
            }
            ensure!(
                !(report.done == 0 && from == 0 && each && status != 121 && status != 124),
                "{name}: the guest did not answer, see {}",
                self.log(&name).display()
            );
            if each {
                crashes += 1;
                ensure!(
                    crashes <= CRASHES,
                    "the {kernel:?} kernel crashed {crashes} times"
                );
                let why = format!(
                    "the {kernel:?} kernel crashed: status {status} of scripts/boot, see {}",
                    self.log(&name).display()
                );
                all.samples.remove(&all.done);
                all.faults.entry(all.done).or_default().push(why);
                all.done += 1;
            }
            each = !each;
        }
        Ok(all)
    }

    fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn boot(
        &self,
        kernel: Implementation,
        jobs: &[Job],
        from: usize,
        seed: u64,
        each: bool,
        name: &str,
    ) -> Result<i32> {
        let image = match kernel {
            Implementation::C => &self.c,
            Implementation::Rust => &self.rust,
        };
        let initrd = self.logs.join(format!("{name}.initrd"));
        lay_over(&self.initrd, &initrd, &text(jobs, from))?;
        let log = File::create(self.log(name))?;
        let status = Command::new(&self.boot)
            .args(["--kernel".as_ref(), image.as_os_str()])
            .args(["--initrd".as_ref(), initrd.as_os_str()])
            .args(["--cpus", "2", "--seed", &seed.to_string()])
            .args(["--time-limit", &time_limit(&jobs[from..]).to_string()])
            .args(["--append", &format!("loglevel=5 {}", self.append)])
            .args(["--", "diff"])
            .args(each.then_some("--each"))
            .stdin(Stdio::null())
            .stderr(log.try_clone()?)
            .stdout(log)
            .status()
            .with_context(|| self.boot.display().to_string())?;
        fs::remove_file(initrd)?;
        match status.code() {
            Some(status @ (122 | 123)) => {
                bail!(
                    "scripts/boot ended with {status}, see {}",
                    self.log(name).display()
                )
            }
            Some(status @ 0..=124) => Ok(status),
            _ => bail!("scripts/boot was interrupted"),
        }
    }
}

/// Seconds of wall time for a boot with these jobs on a machine that is busy otherwise: many times what
/// it takes.
fn time_limit(jobs: &[Job]) -> u64 {
    600 + jobs
        .iter()
        .map(|job| u64::from(job.repetitions))
        .sum::<u64>()
        / 2
}

fn name(kernel: Implementation) -> &'static str {
    match kernel {
        Implementation::C => "c",
        Implementation::Rust => "rust",
    }
}

/// The input of the guest.
fn text(jobs: &[Job], from: usize) -> String {
    let lines = jobs.iter().enumerate().skip(from);
    lines
        .map(|(number, job)| format!("{number} {} {}\n", job.repetitions, job.program))
        .collect()
}

/// Writes an initramfs that is `base` with the file `/programs`.
fn lay_over(base: &Path, to: &Path, programs: &str) -> Result<()> {
    let mut archive = fs::read(base).with_context(|| base.display().to_string())?;
    // The kernel takes one archive after the other, from a multiple of four bytes on.
    archive.resize(archive.len().next_multiple_of(4), 0);
    let folder = to.with_extension("files");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("programs"), programs)?;
    let mut cpio = Command::new("cpio")
        .args(["-o", "-H", "newc", "--quiet"])
        .current_dir(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cpio")?;
    cpio.stdin
        .take()
        .context("cpio has no input")?
        .write_all(b"programs\n")?;
    let output = cpio.wait_with_output()?;
    ensure!(output.status.success(), "cpio: {}", output.status);
    archive.extend(output.stdout);
    fs::write(to, archive)?;
    fs::remove_dir_all(folder)?;
    Ok(())
}

fn read(log: &Path, kernel: Implementation) -> Result<Report> {
    let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
    let mut report = Report::default();
    for line in text.lines() {
        match Line::read(line) {
            None => {}
            // Cut short by a crash, or mixed with a message.
            Some(Err(_)) => break,
            Some(Ok(Line::Kernel(answers))) => ensure!(
                answers == kernel,
                "the kernel that was to be the {kernel:?} one has the extension in {answers:?}"
            ),
            Some(Ok(Line::Outcome(number, count, outcome))) => {
                *report
                    .samples
                    .entry(number)
                    .or_default()
                    .entry(outcome)
                    .or_default() += count;
            }
            Some(Ok(Line::Broken(number, rule))) => {
                let fault = format!("a rule is broken on the {kernel:?} kernel: {rule}");
                report.faults.entry(number).or_default().push(fault);
            }
            Some(Ok(Line::Done(number))) => report.done = number + 1,
            Some(Ok(Line::End)) => report.complete = true,
        }
    }
    // An incomplete program is not counted.
    report.samples.split_off(&report.done);
    report.faults.split_off(&report.done);
    Ok(report)
}
