// SPDX-License-Identifier: GPL-2.0

//! The kernel's tracing, and probes in this program.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount};

use crate::case::Skip;
use crate::check::fail;
use crate::ktap::diagnose;

const ROOT: &str = "/sys/kernel/tracing";

/// The kernel's tracing, switched off again when dropped.
pub(crate) struct Tracing(());

fn write(file: &str, value: &str) -> Result<()> {
    fs::write(Path::new(ROOT).join(file), value).with_context(|| format!("{file}: {value}"))
}

fn read(file: &str) -> Result<String> {
    fs::read_to_string(Path::new(ROOT).join(file)).with_context(|| file.to_owned())
}

/// Mounts tracefs, if it is not mounted yet. Skips a test on a kernel that has none.
pub(super) fn mount_tracefs() -> Result<()> {
    let root = Path::new(ROOT);
    if !root.exists() {
        return Err(Skip("needs CONFIG_TRACING".into()).into());
    }
    if !root.join("instances").exists() {
        let flags = MsFlags::empty();
        mount(Some("none"), root, Some("tracefs"), flags, None::<&str>).context(ROOT)?;
    }
    Ok(())
}

impl Tracing {
    pub(crate) fn open() -> Result<Self> {
        mount_tracefs()?;
        Ok(Self(()))
    }

    /// Starts the tracer of that name.
    pub(crate) fn trace(&self, tracer: &str) -> Result<()> {
        let there = read("available_tracers")?;
        if !there.split_ascii_whitespace().any(|name| name == tracer) {
            return Err(Skip(format!("needs the tracer {tracer}")).into());
        }
        write("current_tracer", tracer)
    }

    /// How much has been traced, what is overwritten by now included.
    pub(crate) fn entries(&self) -> Result<u64> {
        let stats = read("per_cpu/cpu0/stats")?;
        let number = |key: &str| -> Result<u64> {
            let line = stats.lines().find_map(|line| line.strip_prefix(key));
            Ok(line.with_context(|| stats.clone())?.trim().parse()?)
        };
        Ok(number("entries:")? + number("overrun:")?)
    }

    /// Puts a probe on an instruction of this program, or with `returns` on where the function that
    /// begins there returns to.
    pub(crate) fn probe(&self, address: usize, returns: bool) -> Result<()> {
        if !Path::new(ROOT).join("uprobe_events").exists() {
            return Err(Skip("needs CONFIG_UPROBE_EVENTS".into()).into());
        }
        let kind = if returns { 'r' } else { 'p' };
        let program = fs::read_link("/proc/self/exe")?;
        let offset = file_offset(address)?;
        let probe = format!("{kind}:rseq_slice/probe {}:{offset:#x}", program.display());
        write("uprobe_events", &probe)?;
        write("events/rseq_slice/probe/enable", "1")
    }

    /// How often the probe was hit.
    pub(crate) fn hits(&self) -> Result<u64> {
        let profile = read("uprobe_profile")?;
        let hits = profile.split_ascii_whitespace().nth(2);
        Ok(hits.context("no probe")?.parse()?)
    }
}

impl Drop for Tracing {
    fn drop(&mut self) {
        let off = || -> Result<()> {
            write("current_tracer", "nop")?;
            if Path::new(ROOT).join("events/rseq_slice/probe").exists() {
                write("events/rseq_slice/probe/enable", "0")?;
                write("uprobe_events", "")?;
            }
            Ok(())
        };
        if let Err(error) = off() {
            diagnose(format_args!("tracing stays on: {error:#}"));
        }
    }
}

/// Where in its file an address of this program is.
fn file_offset(address: usize) -> Result<usize> {
    for line in fs::read_to_string("/proc/self/maps")?.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(range), Some(_), Some(offset)) = (words.next(), words.next(), words.next())
        else {
            fail!("/proc/self/maps: {line}");
        };
        let (start, end) = range.split_once('-').context("no range")?;
        let hex = |word| usize::from_str_radix(word, 16);
        if (hex(start)?..hex(end)?).contains(&address) {
            return Ok(address - hex(start)? + hex(offset)?);
        }
    }
    fail!("{address:#x} is not mapped")
}
