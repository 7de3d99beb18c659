// SPDX-License-Identifier: MIT OR Apache-2.0

//! `rseq-slice check --pid`: whether another process uses the extension.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use object::read::ReadRef;
use object::{Object, ObjectSymbol, ReadCache};
use rseq_slice::abi::LEGACY_LEN;
use serde::Serialize;

use super::cause::Cause;
use super::facts::Facts;
use super::seccomp::seccomp_of;
use super::threads::{self, Look, ThreadArea};
use super::verdict::{self, Verdict};
use crate::failure::{Failure, NO_PROCESS, NO_RIGHT};

/// What the verdict on a process needs.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) name: String,
    pub(crate) threads: Vec<Thread>,
    /// Whether it contains a TCMalloc that uses the C library's area.
    pub(crate) tcmalloc: bool,
}

/// One of its threads.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Thread {
    pub(crate) tid: i32,
    /// Whether the thread could be stopped to ask for its area.
    pub(crate) asked: bool,
    /// `None` if it has none.
    pub(crate) area: Option<ThreadArea>,
    /// The mode of seccomp.
    pub(crate) seccomp: Option<u8>,
}

impl Process {
    /// Looks at all threads. Each is stopped for a moment.
    pub(crate) fn look(pid: i32) -> Result<Self, Failure> {
        let gone = || {
            let cure = "name the number of a process that runs: pgrep NAME";
            Failure::new(NO_PROCESS, format!("there is no process {pid}"), cure)
        };
        if pid <= 0 {
            return Err(gone());
        }
        let folder = format!("/proc/{pid}");
        let name = fs::read_to_string(format!("{folder}/comm")).map_err(|_| gone())?;
        let denied = || denied(pid, &folder);
        let mut threads = BTreeMap::new();
        loop {
            let new: Vec<i32> = tasks(&folder)
                .map_err(|_| gone())?
                .into_iter()
                .filter(|tid| !threads.contains_key(tid))
                .collect();
            if new.is_empty() {
                break;
            }
            for tid in new {
                let task = format!("{folder}/task/{tid}");
                let seccomp = seccomp_of(&format!("{task}/status"));
                let look = threads::look(tid, Path::new(&task))
                    .map_err(|error| Failure::system(format_args!("thread {tid}"), error))?;
                let (asked, area) = match look {
                    Look::Area(area) => (true, area),
                    Look::Busy => (false, None),
                    Look::Gone => {
                        threads.insert(tid, None);
                        continue;
                    }
                    // The kernel also refuses threads that have ended and are still listed.
                    Look::Denied if has_ended(&format!("{task}/status")) => {
                        threads.insert(tid, None);
                        continue;
                    }
                    Look::Denied => return Err(denied()),
                };
                let thread = Thread {
                    tid,
                    asked,
                    area,
                    seccomp,
                };
                threads.insert(tid, Some(thread));
            }
        }
        let threads: Vec<_> = threads.into_values().flatten().collect();
        let Some(first) = threads.first() else {
            return Err(gone());
        };
        let tcmalloc = has_tcmalloc(&format!("{folder}/task/{}", first.tid));
        Ok(Self {
            pid,
            name: name.trim_end().to_owned(),
            threads,
            tcmalloc,
        })
    }

    /// How many threads have extensions on.
    pub(super) fn on(&self) -> usize {
        self.count(|area| area.enabled)
    }

    /// How many threads did not stop to be asked.
    pub(super) fn unknown(&self) -> usize {
        self.threads.iter().filter(|thread| !thread.asked).count()
    }

    fn count(&self, is: impl Fn(&ThreadArea) -> bool) -> usize {
        let areas = self.threads.iter().filter_map(|thread| thread.area);
        areas.filter(is).count()
    }
}

fn tasks(folder: &str) -> io::Result<Vec<i32>> {
    let names = fs::read_dir(format!("{folder}/task"))?.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    Ok(names
        .iter()
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect())
}

/// Whether a thread has ended. It is a zombie then, or no longer listed.
pub(super) fn has_ended(status: &str) -> bool {
    let Ok(status) = fs::read_to_string(status) else {
        return true;
    };
    let state = status
        .lines()
        .find_map(|line| line.strip_prefix("State:\t"));
    state.is_some_and(|state| state.starts_with(['Z', 'X']))
}

fn denied(pid: i32, folder: &str) -> Failure {
    let status = fs::read_to_string(format!("{folder}/status")).unwrap_or_default();
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"))
        .and_then(|tracer| tracer.trim().parse::<i32>().ok())
        .filter(|&tracer| tracer != 0);
    match tracer {
        Some(tracer) => Failure::new(
            NO_RIGHT,
            format!("process {pid} is traced by process {tracer} already"),
            "end that tracer, a debugger or strace, first",
        ),
        None => Failure::new(
            NO_RIGHT,
            format!("process {pid} may not be traced"),
            "be root or have CAP_SYS_PTRACE; kernel threads have no area",
        ),
    }
}

/// Whether a file that the process has mapped has restartable sequences, or defines the symbol of the
/// TCMalloc that does.
fn has_tcmalloc(folder: &str) -> bool {
    let maps = fs::read_to_string(format!("{folder}/maps")).unwrap_or_default();
    let files: BTreeSet<_> = maps
        .lines()
        .filter(|line| {
            line.split(' ')
                .nth(1)
                .is_some_and(|mode| mode.contains('x'))
        })
        .filter_map(|line| line.find('/').map(|at| &line[at..]))
        .collect();
    let mut files = files.iter();
    // As the process sees them.
    files.any(|file| has_sequences(Path::new(&format!("{folder}/root{file}"))))
}

pub(super) fn has_sequences(path: &Path) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let cache = ReadCache::new(file);
    symbol(&cache).unwrap_or(false)
}

fn symbol<'data, R: ReadRef<'data>>(data: R) -> object::Result<bool> {
    let file = object::File::parse(data)?;
    // A stripped program that TCMalloc is linked into still has the section.
    if file.section_by_name("__rseq_cs").is_some() {
        return Ok(true);
    }
    let mut symbols = file.dynamic_symbols().chain(file.symbols());
    Ok(symbols.any(|symbol| {
        symbol.is_definition() && symbol.name_bytes() == Ok(b"TCMallocInternalMalloc")
    }))
}

/// The verdict on a process, on this machine.
pub(crate) fn decide(process: &Process, facts: &Facts) -> Verdict {
    let (on, total) = (process.on(), process.threads.len());
    let says = says(process);
    if on > 0 && on + process.unknown() == total {
        return Verdict::works(says, Vec::new());
    }
    if on > 0 {
        let mut verdict = Verdict::caused(Cause::SomeThreads, facts, vec![says]);
        verdict.says = format!("only {on} of {total} threads have extensions on");
        return verdict;
    }
    let legacy = process.count(|area| area.size <= LEGACY_LEN) > 0;
    let cause = match verdict::cause(facts) {
        Err(cause) if cause.is_kernels() => cause,
        _ if legacy && process.tcmalloc => Cause::Tcmalloc,
        _ if legacy => Cause::LegacyArea,
        _ => Cause::NotAsked,
    };
    let mut verdict = Verdict::caused(cause, facts, vec![says]);
    match cause {
        // The process may have another C library than this program.
        Cause::LegacyArea => {
            verdict.says =
                "the threads have the 32-byte area of glibc before 2.41, which cannot have extensions"
                    .to_owned();
        }
        Cause::Tcmalloc => {
            verdict.says =
                "TCMalloc uses the 32-byte area of the threads, which can therefore not be taken over"
                    .to_owned();
        }
        _ => {}
    }
    verdict
}

/// All that is known about a process, in a line.
fn says(process: &Process) -> String {
    let (on, total) = (process.on(), process.threads.len());
    let could = process.count(|area| area.available && !area.enabled);
    let mut remarks = Vec::new();
    if could > 0 {
        remarks.push(format!("{could} could and did not ask"));
    }
    match process.unknown() {
        0 => {}
        unknown => remarks.push(format!("{unknown} did not stop to be asked")),
    }
    let remarks = match remarks.join(", ") {
        none if none.is_empty() => none,
        some => format!(" ({some})"),
    };
    let filtered = process
        .threads
        .iter()
        .filter(|thread| thread.seccomp.is_some_and(|mode| mode != 0));
    let filtered = match filtered.count() {
        0 => "none".to_owned(),
        n if n == total => "all threads".to_owned(),
        n => format!("{n} of {total} threads"),
    };
    format!(
        "{}: {on} of {total} thread{} on{remarks}; area {}; seccomp {filtered}; tcmalloc {}",
        process.name,
        if total == 1 { "" } else { "s" },
        sizes(process),
        if process.tcmalloc { "yes" } else { "no" },
    )
}

/// The areas of the threads, by their sizes.
fn sizes(process: &Process) -> String {
    let asked = process.threads.iter().filter(|thread| thread.asked);
    let sizes: BTreeSet<_> = asked
        .map(|thread| thread.area.map_or(0, |area| area.size))
        .collect();
    let sizes = sizes.iter().map(|&size| match size {
        0 => "none".to_owned(),
        size if size <= LEGACY_LEN => format!("{size} bytes (legacy)"),
        size => format!("{size} bytes"),
    });
    match sizes.collect::<Vec<_>>().join(", ") {
        nothing if nothing.is_empty() => "not known".to_owned(),
        sizes => sizes,
    }
}
