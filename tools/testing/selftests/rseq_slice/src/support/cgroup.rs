// SPDX-License-Identifier: GPL-2.0

//! Control groups.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use crate::case::Skip;
use crate::check::fail;

const ROOT: &str = "/sys/fs/cgroup";

/// A control group of the second version, below the root. Whoever is in it is put back into the root
/// in the end.
pub(crate) struct Group(PathBuf);

impl Group {
    /// A new group, with these controllers.
    pub(crate) fn new(controllers: &[&str]) -> Result<Self> {
        if !fs::read_to_string("/proc/filesystems")?.contains("\tcgroup2\n") {
            return Err(Skip("needs CONFIG_CGROUPS".into()).into());
        }
        let root = Path::new(ROOT);
        if !root.join("cgroup.procs").exists() {
            mount(
                Some("none"),
                root,
                Some("cgroup2"),
                MsFlags::empty(),
                None::<&str>,
            )
            .context(ROOT)?;
        }
        let there = fs::read_to_string(root.join("cgroup.controllers"))?;
        for controller in controllers {
            if !there
                .split_ascii_whitespace()
                .any(|name| name == *controller)
            {
                return Err(Skip(format!("needs the cgroup controller {controller}")).into());
            }
            fs::write(
                root.join("cgroup.subtree_control"),
                format!("+{controller}"),
            )
            .with_context(|| format!("cgroup.subtree_control +{controller}"))?;
        }
        let group = Self(root.join(format!("rseq_slice.{}", std::process::id())));
        fs::create_dir(&group.0)?;
        Ok(group)
    }

    /// Moves the calling process into the group, with all its threads.
    pub(crate) fn enter(&self) -> Result<()> {
        self.set("cgroup.procs", "0")
    }

    pub(crate) fn set(&self, file: &str, value: &str) -> Result<()> {
        fs::write(self.0.join(file), value).with_context(|| format!("{file}: {value}"))
    }

    /// The number behind `key` in a file of lines like `key number`.
    pub(crate) fn number(&self, file: &str, key: &str) -> Result<u64> {
        let text = fs::read_to_string(self.0.join(file)).with_context(|| file.to_owned())?;
        for line in text.lines() {
            if let Some((name, number)) = line.split_once(' ')
                && name == key
            {
                return Ok(number.parse()?);
            }
        }
        fail!("{file} has no {key}: {text:?}")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let leave = || -> std::io::Result<()> {
            for process in fs::read_to_string(self.0.join("cgroup.procs"))?.lines() {
                match fs::write(Path::new(ROOT).join("cgroup.procs"), process) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            fs::remove_dir(&self.0)
        };
        if let Err(error) = leave() {
            crate::ktap::diagnose(format_args!("{}: {error}", self.0.display()));
        }
    }
}
