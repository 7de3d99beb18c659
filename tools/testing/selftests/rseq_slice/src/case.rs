// SPDX-License-Identifier: GPL-2.0

//! What a test is.

use anyhow::Result;
use rseq_slice_harness::Layout;

use crate::env::Env;
use crate::kernel::Kernel;
pub(crate) use crate::skip::Skip;

/// What a test needs of the boot; on any other boot it is skipped.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing: it holds with the extension on and off.
    Nothing,
    /// The extension is on. Nothing has to be granted.
    Enabled,
    /// The extension is on, and grants are made and bounded.
    On,
    /// The kernel counts what becomes of requests.
    Counted,
    /// The extension was switched off with `rseq_slice_ext=0`.
    Off,
    /// As `On`, with two CPUs.
    OnTwoCpus,
    /// As `On`, with a preemption model that has lazy reschedules.
    OnLazy,
    /// As `On`, in a kernel with `CONFIG_PREEMPT_RT`.
    OnRealtime,
    /// The extension is on, and timers are not exact.
    Coarse,
    /// The extension is compiled out.
    Absent,
}

impl Needs {
    /// Why a test that needs this cannot run on `kernel`, if so.
    pub(crate) fn missing_in(self, kernel: &Kernel) -> Option<&'static str> {
        match self {
            Self::Absent if kernel.has_extension() => Some("needs a kernel without the extension"),
            Self::Absent => None,
            _ if !kernel.has_extension() => Some("the extension is compiled out"),
            _ if (self.grants() || matches!(self, Self::Enabled | Self::Coarse)) && !kernel.on => {
                Some("booted with rseq_slice_ext=0")
            }
            _ if self.grants() && !kernel.exact => Some("booted with highres=off"),
            Self::Coarse if kernel.exact => Some("needs a boot with highres=off"),
            Self::OnLazy if kernel.model.as_deref() == Some("full") => {
                Some("booted with preempt=full")
            }
            Self::OnRealtime if !kernel.realtime => Some("needs CONFIG_PREEMPT_RT"),
            Self::OnTwoCpus if kernel.cpus < 2 => Some("needs two CPUs"),
            Self::Counted if !kernel.counts => Some("needs CONFIG_RSEQ_STATS"),
            Self::Off if kernel.on => Some("needs a boot with rseq_slice_ext=0"),
            _ => None,
        }
    }

    /// Whether grants are made and bounded.
    pub(crate) fn grants(self) -> bool {
        matches!(
            self,
            Self::On | Self::OnTwoCpus | Self::OnLazy | Self::OnRealtime
        )
    }
}

/// The body of a test.
#[derive(Clone, Copy)]
pub(crate) enum Body {
    /// Runs once.
    Once(fn(Env) -> Result<()>),
    /// Runs once in each layout of the control word.
    PerLayout(fn(Env, Layout) -> Result<()>),
}

/// What may get in the way of a test.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disturbance {
    /// Programs of the normal class keep the CPUs busy. Excludes tests that measure times, that place
    /// events by the instruction, or that have threads of the class `SCHED_IDLE`.
    Load,
    /// The kernel's own threads compete, as they do with `CONFIG_PREEMPT_RT`, where competitors cannot
    /// be real-time threads. Excludes tests of an order of events that any other thread breaks.
    KernelThreads,
    /// The kernel checks itself all the time. Excludes tests that do as much inside of a grant as the
    /// longest extension allows.
    Checks,
}

/// A line in a table of tests.
pub(crate) struct Test {
    /// What it asserts, behind the name of its group.
    pub(crate) name: &'static str,
    pub(crate) needs: Needs,
    pub(crate) body: Body,
    /// The disturbances beside which it holds.
    tolerates: &'static [Disturbance],
}

impl Test {
    /// Says beside which disturbances the test holds, if not beside all of them.
    pub(crate) const fn tolerates(self, tolerates: &'static [Disturbance]) -> Self {
        Self { tolerates, ..self }
    }

    fn holds_beside(&self, disturbance: Disturbance) -> bool {
        self.tolerates.contains(&disturbance)
    }

    const fn new(name: &'static str, needs: Needs, body: Body) -> Self {
        Self {
            name,
            needs,
            body,
            tolerates: &[
                Disturbance::Load,
                Disturbance::KernelThreads,
                Disturbance::Checks,
            ],
        }
    }
}

/// A test that runs once.
pub(crate) const fn once(name: &'static str, needs: Needs, body: fn(Env) -> Result<()>) -> Test {
    Test::new(name, needs, Body::Once(body))
}

/// A test that runs in both layouts.
pub(crate) const fn both(
    name: &'static str,
    needs: Needs,
    body: fn(Env, Layout) -> Result<()>,
) -> Test {
    Test::new(name, needs, Body::PerLayout(body))
}

/// The tests of a module.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) tables: &'static [&'static [Test]],
}

/// The group of a module: its table, or the named ones.
macro_rules! group {
    ($module:ident) => {
        group!($module: TESTS)
    };
    ($module:ident: $($table:ident),+) => {
        $crate::case::Group {
            name: stringify!($module),
            tables: &[$($module::$table),+],
        }
    };
}

pub(crate) use group;

/// A test in one layout: what gets a number and a result.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) layout: Option<Layout>,
    test: &'static Test,
}

impl Case {
    /// All cases of a group.
    pub(crate) fn all(group: &'static Group) -> impl Iterator<Item = Self> {
        group
            .tables
            .iter()
            .copied()
            .flatten()
            .flat_map(move |test| {
                let layouts: &[_] = match test.body {
                    Body::Once(_) => &[None],
                    Body::PerLayout(_) => &[Some(Layout::Bytes), Some(Layout::Bits)],
                };
                layouts.iter().map(move |&layout| Self {
                    name: format!("{}.{}{}", group.name, test.name, suffix(layout)),
                    layout,
                    test,
                })
            })
    }

    pub(crate) fn needs(&self) -> Needs {
        self.test.needs
    }

    /// Whether it holds while programs of the normal class keep the CPUs busy.
    pub(crate) fn holds_under_load(&self) -> bool {
        self.test.holds_beside(Disturbance::Load)
    }

    /// Why it cannot run on `kernel`, if so.
    pub(crate) fn missing_in(&self, kernel: &Kernel) -> Option<String> {
        if let Some(missing) = self.needs().missing_in(kernel) {
            return Some(missing.to_owned());
        }
        let grants = self.needs().grants();
        if grants && kernel.realtime && !self.test.holds_beside(Disturbance::KernelThreads) {
            return Some("with CONFIG_PREEMPT_RT the kernel's own threads take part".to_owned());
        }
        let checks = kernel
            .checks
            .filter(|_| grants && !self.test.holds_beside(Disturbance::Checks))?;
        Some(format!("{checks} makes the kernel too slow"))
    }

    pub(crate) fn run(&self, env: Env) -> Result<()> {
        match (self.test.body, self.layout) {
            (Body::PerLayout(body), Some(layout)) => body(env, layout),
            (Body::Once(body), _) => body(env),
            (Body::PerLayout(_), None) => unreachable!("`all` gives these a layout"),
        }
    }
}

fn suffix(layout: Option<Layout>) -> &'static str {
    match layout {
        None => "",
        Some(Layout::Bytes) => ".bytes",
        Some(Layout::Bits) => ".bits",
    }
}

/// What came of a case.
pub(crate) enum Verdict {
    Passed,
    Failed(String),
    Skipped(String),
}
