// SPDX-License-Identifier: GPL-2.0

//! The kernel under test, and how this boot has set it up.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use nix::sys::time::TimeValLike;
use nix::time::{ClockId, clock_getres};
use rseq_slice_harness::{
    Counters, DebugfsError, Implementation, extension_length, implementation, set_extension_length,
};

use crate::check::{check, fail};
use crate::features;

/// Where debugfs keeps the switch for the consistency checks.
pub(crate) const DEBUG: &str = "/sys/kernel/debug/rseq/debug";
/// Where the kernel counts, if it does.
const STATS: &str = "/sys/kernel/debug/rseq/stats";
/// Where the policy is chosen.
pub(crate) const POLICY: &str = "/sys/kernel/debug/rseq/slice_ext_policy";
/// The policies, which `rseq_slice_ext=` takes as well.
const POLICIES: [&str; 2] = ["all", "lazy"];
/// Where the preemption model is switched, if it can be.
const PREEMPT: &str = "/sys/kernel/debug/sched/preempt";
/// Where the second CPU is switched on and off.
pub(crate) const CPU1_ONLINE: &str = "/sys/devices/system/cpu/cpu1/online";

/// What the tests have to know.
pub(crate) struct Kernel {
    /// `None`: the extension is compiled out.
    implementation: Option<Implementation>,
    /// The extension is on. Taken from the command line, not from what the extension reports.
    pub(crate) on: bool,
    /// What `rseq_slice_ext=` says if it says nothing sensible.
    pub(crate) bad_switch: Option<String>,
    /// How often the command line has `rseq_slice_ext=`.
    pub(crate) switches: usize,
    /// What `rseq_slice_ext_nsec=` says.
    pub(crate) length_word: Option<String>,
    /// `rseq_debug` is on.
    pub(crate) debug: bool,
    /// The length of an extension at the start, in nanoseconds.
    pub(crate) length: u32,
    pub(crate) cpus: usize,
    /// Timers expire to the nanosecond, not with the ticks. Taken from the command line: nothing else
    /// may be the reason for tests to be left out.
    pub(crate) exact: bool,
    /// `CONFIG_RSEQ_STATS`: the kernel counts what becomes of requests.
    pub(crate) counts: bool,
    /// The policy at the start, if it can be chosen.
    pub(crate) policy: Option<String>,
    /// The policy that `rseq_slice_ext=` names.
    pub(crate) policy_word: Option<String>,
    /// The preemption model, if it can be switched.
    pub(crate) model: Option<String>,
    /// `CONFIG_PREEMPT_RT`: only lazy reschedules are postponed, and the timers of other than
    /// real-time threads expire in a real-time thread.
    pub(crate) realtime: bool,
    /// The [features](crate::features) of the scheduler that were enabled at the start, with
    /// `CONFIG_PREEMPT_RT`. Tests disable them there.
    sched_features: Vec<&'static str>,
    /// The option that makes the kernel check itself all the time, if `/proc/config.gz` has one.
    pub(crate) checks: Option<&'static str>,
    /// Other programs keep the CPUs busy.
    loaded: bool,
}

/// Options that make the kernel several times slower.
const CHECKS: [&str; 4] = [
    "CONFIG_KASAN",
    "CONFIG_KCSAN",
    "CONFIG_UBSAN",
    "CONFIG_PROVE_LOCKING",
];

impl Kernel {
    /// Looks at the running kernel, on which other programs keep the CPUs busy if `loaded`.
    pub(crate) fn look(loaded: bool) -> Result<Self> {
        let cmdline = fs::read_to_string("/proc/cmdline").context("is /proc mounted?")?;
        let values = |name| {
            cmdline
                .split_ascii_whitespace()
                .filter_map(move |word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let switch = values("rseq_slice_ext").next_back();
        let sense = switch.map(parse_bool);
        let exact = !cmdline
            .split_ascii_whitespace()
            .any(|word| word == "highres=off");
        let resolution = clock_getres(ClockId::CLOCK_MONOTONIC)?;
        check!(
            exact == (resolution.num_nanoseconds() == 1),
            "timers have a resolution of {resolution}: build with CONFIG_HIGH_RES_TIMERS; in QEMU \
             without ACPI boot with tsc=reliable; only with highres=off they are to be coarse"
        );
        let implementation = match implementation() {
            Err(DebugfsError::Missing { .. }) if Path::new(DEBUG).exists() => None,
            known => Some(known?),
        };
        let realtime = fs::read_to_string("/proc/version")?.contains("PREEMPT_RT");
        let sched_features = match realtime {
            true => features::enabled()?,
            false => Vec::new(),
        };
        Ok(Self {
            implementation,
            on: implementation.is_some() && sense.flatten().unwrap_or(true),
            bad_switch: switch
                .filter(|word| sense == Some(None) && !POLICIES.contains(word))
                .map(str::to_owned),
            switches: values("rseq_slice_ext").count(),
            length_word: values("rseq_slice_ext_nsec").next_back().map(str::to_owned),
            debug: read_debug()?,
            length: implementation.map_or(Ok(0), |_| extension_length())?,
            cpus: thread::available_parallelism()?.get(),
            exact,
            counts: implementation.is_some() && Path::new(STATS).exists(),
            policy: policy()?,
            policy_word: switch
                .filter(|word| POLICIES.contains(word))
                .map(str::to_owned),
            model: model()?,
            realtime,
            sched_features,
            checks: checking_option(),
            loaded,
        })
    }

    /// The length that `rseq_slice_ext_nsec=` sets, if the implementation takes it.
    pub(crate) fn length_at_boot(&self) -> Option<u32> {
        let length = self.length_word.as_ref()?.parse().ok()?;
        let taken =
            self.implementation == Some(Implementation::Rust) && (5_000..=50_000).contains(&length);
        taken.then_some(length)
    }

    /// Whether the extension was compiled in.
    pub(crate) const fn has_extension(&self) -> bool {
        self.implementation.is_some()
    }

    /// Whether outside activity can disturb a test: on a kernel with such checks, where the kernel's own
    /// threads want the CPU as competitors do, and under load.
    pub(crate) const fn disturbs(&self) -> bool {
        self.checks.is_some() || self.realtime || self.loaded
    }

    /// Which implementation it is, for cases that need the extension.
    ///
    /// # Panics
    ///
    /// If it is compiled out.
    pub(crate) fn implementation(&self) -> Implementation {
        self.implementation.expect("the extension is compiled out")
    }

    /// What is wrong with the counts of a period that began and ended without a grant: every grant must
    /// have ended in one of the ways that are counted. The C implementation does not count all ends, but
    /// must not count more ends than grants.
    pub(crate) fn imbalance(&self, delta: Counters) -> Option<String> {
        let good = match self.implementation() {
            Implementation::Rust => delta.adds_up(),
            Implementation::C => delta.without_end() >= 0,
        };
        (!good).then(|| format!("grants and their ends do not add up: {delta:?}"))
    }

    /// Restores what a test may have changed and not restored.
    pub(crate) fn restore(&self) -> Result<()> {
        if self.has_extension() {
            set_extension_length(self.length)?;
        }
        if let Some(policy) = &self.policy {
            set_policy(policy)?;
        }
        set_debug(self.debug)?;
        features::restore(&self.sched_features)?;
        if let Some(model) = &self.model {
            set_model(model)?;
        }
        if self.cpus > 1 && fs::read_to_string(CPU1_ONLINE).is_ok_and(|state| state == "0\n") {
            fs::write(CPU1_ONLINE, "1")?;
        }
        Ok(())
    }

    /// One line about this kernel.
    pub(crate) fn describe(&self) -> String {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        format!(
            "Linux {}, extension {}, {}, rseq_debug {}, {} CPUs, {} ns{}{}",
            release.trim(),
            match self.implementation {
                None => "compiled out",
                Some(Implementation::C) => "in C",
                Some(Implementation::Rust) => "in Rust",
            },
            if self.on { "on" } else { "off" },
            if self.debug { "on" } else { "off" },
            self.cpus,
            self.length,
            if self.exact { "" } else { ", coarse timers" },
            if self.counts {
                ""
            } else {
                ", nothing is counted"
            },
        )
    }
}

/// Switches the consistency checks for the whole system.
pub(crate) fn set_debug(on: bool) -> Result<()> {
    fs::write(DEBUG, if on { "1" } else { "0" }).context(DEBUG)
}

fn read_debug() -> Result<bool> {
    match fs::read_to_string(DEBUG).context(DEBUG)?.as_str() {
        "0\n" => Ok(false),
        "1\n" => Ok(true),
        other => fail!("{DEBUG} says {other:?}"),
    }
}

/// Switches the preemption model.
pub(crate) fn set_model(model: &str) -> Result<()> {
    fs::write(PREEMPT, model).context(PREEMPT)
}

/// Chooses which reschedules may be postponed.
pub(crate) fn set_policy(policy: &str) -> Result<()> {
    fs::write(POLICY, policy).context(POLICY)
}

/// The policy, which is the word in brackets. `None` if it cannot be set.
fn policy() -> Result<Option<String>> {
    let Ok(policies) = fs::read_to_string(POLICY) else {
        return Ok(None);
    };
    let policy = policies
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))
        .with_context(|| format!("{POLICY} says {policies:?}"))?;
    Ok(Some(policy.to_owned()))
}

/// The preemption model, which is the word in parentheses. `None` without `CONFIG_PREEMPT_DYNAMIC`.
fn model() -> Result<Option<String>> {
    let Ok(models) = fs::read_to_string(PREEMPT) else {
        return Ok(None);
    };
    let model = models
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix('(')?.strip_suffix(')'))
        .with_context(|| format!("{PREEMPT} says {models:?}"))?;
    Ok(Some(model.to_owned()))
}

fn checking_option() -> Option<&'static str> {
    let output = Command::new("zcat").arg("/proc/config.gz").output().ok()?;
    let config = String::from_utf8_lossy(&output.stdout);
    CHECKS
        .into_iter()
        .find(|option| config.lines().any(|line| line == format!("{option}=y")))
}

/// How the kernel reads a boolean parameter.
fn parse_bool(word: &str) -> Option<bool> {
    let mut letters = word.bytes().map(|letter| letter.to_ascii_lowercase());
    match (letters.next(), letters.next()) {
        (Some(b'e' | b'y' | b't' | b'1'), _) | (Some(b'o'), Some(b'n')) => Some(true),
        (Some(b'd' | b'n' | b'f' | b'0'), _) | (Some(b'o'), Some(b'f')) => Some(false),
        _ => None,
    }
}
