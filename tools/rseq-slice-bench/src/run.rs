// SPDX-License-Identifier: MIT OR Apache-2.0

//! Booting, several guests at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use rseq_slice_bench_record::Record;

use crate::functions::{BootGroups, FunctionList};
use crate::jobs::Job;
use crate::kernels::Places;

/// What a boot has brought.
pub(crate) struct Output {
    pub(crate) job: Job,
    /// The command that repeats it.
    pub(crate) command: String,
    pub(crate) records: Vec<Record>,
    /// What the plugin counted, group by group.
    pub(crate) windows: Option<BootGroups>,
}

/// Boots all jobs, and fails if one fails.
pub(crate) fn run(places: &Places, jobs: Vec<Job>, seed: u64) -> Result<Vec<Output>> {
    let total = jobs.len();
    let queue: Mutex<VecDeque<Job>> = Mutex::new(jobs.into());
    let outputs = Mutex::new(Vec::new());
    let guests = thread::available_parallelism()?.get().min(total);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..guests)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    loop {
                        let next = queue.lock().expect("no worker panics").pop_front();
                        let Some(job) = next else { return Ok(()) };
                        let (name, begin) = (job.name.clone(), Instant::now());
                        let output = boot(places, job, seed);
                        if output.is_err() {
                            queue.lock().expect("no worker panics").clear();
                        }
                        let mut outputs = outputs.lock().expect("no worker panics");
                        outputs.push(output.with_context(|| name.clone())?);
                        eprintln!(
                            "* {}/{total} {name}: {} s",
                            outputs.len(),
                            begin.elapsed().as_secs()
                        );
                    }
                })
            })
            .collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().expect("no worker panics"))
    })?;
    let mut outputs = outputs.into_inner().expect("no worker panics");
    outputs.sort_by(|a, b| a.job.name.cmp(&b.job.name));
    Ok(outputs)
}

fn boot(places: &Places, job: Job, seed: u64) -> Result<Output> {
    let log = places.result(format!("{}.log", job.name));
    let mut args = vec![
        "--kernel".to_owned(),
        text(&places.image(job.kernel))?,
        "--cpus".to_owned(),
        job.cpus.to_string(),
        "--seed".to_owned(),
        seed.to_string(),
        "--time-limit".to_owned(),
        "0".to_owned(),
        "--append".to_owned(),
        job.append.clone(),
    ];
    let mut counting = None;
    if let Some(plugin) = places.plugin.as_ref().filter(|_| job.counted) {
        let list = places.result(format!("{}.functions", job.name));
        let counts = places.result(format!("{}.windows", job.name));
        let functions = FunctionList::read(&places.vmlinux(job.kernel))?;
        functions.write(&list)?;
        // On the thread's stack, unlike the handlers of interrupts.
        let stack = functions
            .index("irqentry_exit")
            .context("no irqentry_exit")?;
        args.push("--qemu".to_owned());
        args.push(format!(
            "-plugin {},functions={},out={},stack={stack}",
            text(plugin)?,
            text(&list)?,
            text(&counts)?
        ));
        counting = Some((functions, counts));
    }
    args.push("--".to_owned());
    args.extend(job.words.split(' ').map(str::to_owned));

    let status = Command::new(&places.boot)
        .args(&args)
        .stdin(Stdio::null())
        .stdout(File::create(&log).with_context(|| text(&log).unwrap_or_default())?)
        .status()
        .with_context(|| format!("cannot run {}", places.boot.display()))?;
    ensure!(
        status.success(),
        "the boot ended with {status}: see {}",
        log.display()
    );

    let records = parse(&std::fs::read(&log)?).with_context(|| format!("{}", log.display()))?;
    let windows = counting
        .map(|(functions, counts)| BootGroups::read(&functions, &counts))
        .transpose()?;
    let quoted: Vec<String> = args
        .iter()
        .map(|arg| match arg.contains(' ') {
            true => format!("'{arg}'"),
            false => arg.clone(),
        })
        .collect();
    Ok(Output {
        job,
        command: format!("scripts/boot {}", quoted.join(" ")),
        records,
        windows,
    })
}

fn text(path: &Path) -> Result<String> {
    match path.to_str() {
        Some(path) if !path.contains([' ', ',']) => Ok(path.to_owned()),
        _ => bail!("{}: a blank or a comma in a name", path.display()),
    }
}

/// The records on a console. Lines that do not look like one are the kernel's.
fn parse(console: &[u8]) -> Result<Vec<Record>> {
    let records: Vec<Record> = String::from_utf8_lossy(console)
        .lines()
        .filter(|line| line.starts_with("{\"record\""))
        .map(|line| serde_json::from_str(line).with_context(|| line.to_owned()))
        .collect::<Result<_>>()?;
    ensure!(records.len() > 1, "no records");
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KERNEL: &str =
        r#"{"record":"kernel","implementation":"C","release":"7.3","version":"1","cpus":1}"#;
    const PATH: &str = r#"{"record":"path","path":"yield","samples":3,"p10":1,"p50":2,"p99":3}"#;

    #[test]
    fn records_are_found_on_a_console() {
        let console = format!("[ 0.1] boot\r\n{KERNEL}\r\n[ 0.2] noise\r\n{PATH}\r\n");
        assert_eq!(parse(console.as_bytes()).unwrap().len(), 2);
        assert!(parse(format!("{KERNEL}\r\n").as_bytes()).is_err());
        let torn = format!("{KERNEL}\r\n{}\r\n", &PATH[..40]);
        assert!(parse(torn.as_bytes()).is_err());
    }
}
