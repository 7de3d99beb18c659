// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's events of extensions, read in an instance of its tracing that nobody else uses.

mod tally;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;

use rseq_slice_debugfs::{Implementation, implementation};

use crate::failure::{Failure, NO_RIGHT, SYSTEM, UNAVAILABLE};
pub(super) use tally::{Summary, Tally};

const TRACEFS: &str = "/sys/kernel/tracing";
const EVENTS: &str = "events/rseq_slice";
/// The names of our instances begin so, and end in the ID of the process.
const PREFIX: &str = "rseq-slice-";

/// Whose events to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Of all threads.
    All,
    /// Of the children that the calling thread will start, and of theirs.
    Children,
}

/// A stream of events, counted.
pub(super) struct Trace {
    pipe: File,
    /// The beginning of a line whose end has not been read.
    rest: Vec<u8>,
    tally: Tally,
    /// Removed last.
    _instance: Instance,
}

impl Trace {
    pub(super) fn start(whose: Whose) -> Result<Self, Failure> {
        let root = Path::new(TRACEFS);
        ensure_events(root)?;
        remove_stale(&root.join("instances"));
        let instance = Instance::create(root)?;
        if whose == Whose::Children {
            instance.write("options/event-fork", "1")?;
            instance.write("set_event_pid", &process::id().to_string())?;
        }
        let pipe = instance.path("trace_pipe");
        let pipe = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(&pipe)
            .map_err(|error| failed(&pipe, &error))?;
        instance.write(&format!("{EVENTS}/enable"), "1")?;
        Ok(Self {
            pipe,
            rest: Vec::new(),
            tally: Tally::default(),
            _instance: instance,
        })
    }

    /// Counts what there is by now, so that the kernel has room for more.
    pub(super) fn collect(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 1 << 16];
        loop {
            match self.pipe.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(count) => self.take(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(Path::new("trace_pipe"), &error)),
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else {
            return;
        };
        let rest = self.rest.split_off(end + 1);
        let whole = std::mem::replace(&mut self.rest, rest);
        let tally = &mut self.tally;
        String::from_utf8_lossy(&whole)
            .lines()
            .for_each(|line| tally.count(line));
    }

    /// What was counted since the last call.
    pub(super) fn tally(&mut self) -> Result<Tally, Failure> {
        self.collect()?;
        Ok(std::mem::take(&mut self.tally))
    }
}

/// An instance of the kernel's tracing, removed when dropped.
struct Instance(PathBuf);

impl Instance {
    fn create(root: &Path) -> Result<Self, Failure> {
        let path = root
            .join("instances")
            .join(format!("{PREFIX}{}", process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Ok(Self(path)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Failure::new(
                NO_RIGHT,
                format!("{}: {error}", path.display()),
                "be root; a kernel that is locked down does not let root trace either",
            )),
            Err(error) => Err(failed(&path, &error)),
        }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    fn write(&self, file: &str, text: &str) -> Result<(), Failure> {
        let path = self.path(file);
        fs::write(&path, text).map_err(|error| failed(&path, &error))
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            crate::failure::warn(format_args!("{} stays: {error}", self.0.display()));
        }
    }
}

fn failed(path: &Path, error: &io::Error) -> Failure {
    Failure::plain(SYSTEM, format!("{}: {error}", path.display()))
}

/// Removes the instances of processes that were killed.
fn remove_stale(instances: &Path) {
    let Ok(entries) = fs::read_dir(instances) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            // Another process may have removed it meanwhile.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Whether the events are there, and if not, why.
fn ensure_events(root: &Path) -> Result<(), Failure> {
    let there = |path: &Path| {
        path.try_exists().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Failure::new(
                NO_RIGHT,
                format!("{}: events are for root only", root.display()),
                "be root",
            ),
            _ => failed(path, &error),
        })
    };
    let unavailable = |cause: String, cure: &str| Err(Failure::new(UNAVAILABLE, cause, cure));
    if !there(root)? {
        let cause = format!("the kernel has no tracing: there is no {}", root.display());
        return unavailable(
            cause,
            "a kernel with CONFIG_FTRACE and CONFIG_ENABLE_DEFAULT_TRACERS",
        );
    }
    if !there(&root.join("events"))? {
        let cause = format!("tracefs is not mounted on {}", root.display());
        let cure = format!("mount -t tracefs tracefs {}", root.display());
        return unavailable(cause, &cure);
    }
    if there(&root.join(EVENTS))? {
        return Ok(());
    }
    match implementation() {
        Ok(Implementation::C) => unavailable(
            "the C implementation of the extension has no events".to_owned(),
            "a kernel with CONFIG_RSEQ_SLICE_EXTENSION_RUST; without --trace there are the counters",
        ),
        _ => unavailable(
            "the kernel has no events of extensions".to_owned(),
            "rseq-slice check tells whether it has the extension; without --trace there are the \
             counters",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::create_dir_all;

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("tracing");
        let says = |needle: &str| {
            let failure = ensure_events(&root).unwrap_err();
            assert_eq!(failure.status, UNAVAILABLE);
            assert!(format!("{failure:?}").contains(needle), "{failure:?}");
        };
        says("CONFIG_FTRACE");
        create_dir_all(&root).unwrap();
        says("mount -t tracefs");
        create_dir_all(root.join("events")).unwrap();
        says("no events");
        create_dir_all(root.join(EVENTS)).unwrap();
        ensure_events(&root).unwrap();
    }

    #[test]
    fn an_instance_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        create_dir_all(dir.path().join("instances")).unwrap();
        let instance = Instance::create(dir.path()).unwrap();
        let path = instance.0.clone();
        assert!(path.exists());
        drop(instance);
        assert!(!path.exists());
    }

    #[test]
    fn only_instances_of_the_dead_are_stale() {
        let dir = tempfile::tempdir().unwrap();
        let living = dir.path().join(format!("{PREFIX}{}", process::id()));
        let other = dir.path().join("other-999999999");
        let dead = dir.path().join(format!("{PREFIX}999999999"));
        for path in [&living, &other, &dead] {
            create_dir_all(path).unwrap();
        }
        remove_stale(dir.path());
        assert!(living.exists() && other.exists() && !dead.exists());
    }
}
