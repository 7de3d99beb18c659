// SPDX-License-Identifier: GPL-2.0

//! Tracers, samples, and probes in restartable sequences.

use anyhow::Result;
use rseq_slice_harness::{Layout, set_extension_length};

use super::GRANTS;
use crate::case::{Needs, Test, both};
use crate::check::check;
use crate::env::Env;
use crate::kernel::set_debug;
use crate::ktap::diagnose;
use crate::support::{BOTH_CPUS, HolderSetup, Holders, Sampling, Tracing, probe_addresses};

pub(crate) const TESTS: &[Test] = &[
    both(
        "function_tracer_loses_no_restart",
        Needs::OnTwoCpus,
        function_tracer_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "sampling_loses_no_restart",
        Needs::OnTwoCpus,
        sampling_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "uprobe_loses_no_restart",
        Needs::OnTwoCpus,
        uprobe_loses_no_restart,
    )
    .tolerates(&[]),
    both(
        "uretprobe_loses_no_restart",
        Needs::OnTwoCpus,
        uretprobe_loses_no_restart,
    )
    .tolerates(&[]),
];

/// Tracers make the exit path of the kernel longer.
const LENGTH: u32 = 50_000;

/// Nanoseconds between two wakeups, each of which takes tens of microseconds when it is traced.
const PERIOD: u64 = 250_000;

/// Every function of the kernel is traced on its way in, and then on its way out as well.
fn function_tracer_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    let tracing = Tracing::open()?;
    set_extension_length(LENGTH)?;
    for tracer in ["function", "function_graph"] {
        tracing.trace(tracer)?;
        let before = tracing.entries()?;
        let holders = Holders::start(&HolderSetup {
            period: PERIOD,
            ..HolderSetup::new(env, layout)
        })?;
        holders.until_granted(GRANTS / 6, || Ok(()))?;
        let entries = tracing.entries()? - before;
        holders.end()?;
        diagnose(format_args!("{tracer}: {entries} entries"));
        check!(entries > 10_000, "{tracer}: {entries} entries");
    }
    Ok(())
}

/// Both CPUs are sampled from a timer's interrupt, several times in a grant.
fn sampling_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    const PERIOD: u64 = 10_000;
    set_extension_length(LENGTH)?;
    let samplings = BOTH_CPUS.map(|cpu| Sampling::start(cpu, PERIOD));
    let samplings = samplings.into_iter().collect::<Result<Vec<_>>>()?;
    let holders = Holders::start(&HolderSetup::new(env, layout))?;
    holders.until_granted(GRANTS, || {
        for sampling in &samplings {
            sampling.discard();
        }
        Ok(())
    })?;
    holders.end()?;
    let bytes: Vec<_> = samplings.iter().map(Sampling::discard).collect();
    diagnose(format_args!("bytes of samples: {bytes:?}"));
    check!(bytes.iter().all(|&bytes| bytes > 100_000), "{bytes:?}");
    Ok(())
}

/// Lets holders run with a probe in their sequences, without the consistency checks and with them.
fn with_probe(env: Env, layout: Layout, address: usize, returns: bool) -> Result<()> {
    for debug in [false, true] {
        let tracing = Tracing::open()?;
        set_debug(debug)?;
        tracing.probe(address, returns)?;
        let holders = Holders::start(&HolderSetup::new(env, layout))?;
        holders.until_granted(GRANTS / 2, || Ok(()))?;
        holders.end()?;
        let hits = tracing.hits()?;
        diagnose(format_args!("debug {debug}: {hits} hits"));
        check!(hits > 100, "{hits} hits");
    }
    Ok(())
}

/// A probe in front of the last store of a sequence, often inside of a grant.
fn uprobe_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    let [_, inside] = probe_addresses();
    with_probe(env, layout, inside, false)
}

/// A function returns to a system call that the kernel has inserted, with a request pending or a grant
/// live.
fn uretprobe_loses_no_restart(env: Env, layout: Layout) -> Result<()> {
    let [function, _] = probe_addresses();
    with_probe(env, layout, function, true)
}
