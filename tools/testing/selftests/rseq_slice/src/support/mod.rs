// SPDX-License-Identifier: GPL-2.0

//! What the tests are built from.

mod apart;
mod assembly;
mod attributes;
mod audit;
mod btf;
mod call;
mod cgroup;
mod class;
mod competitor;
mod counter_delta;
mod counting;
mod durations;
mod extensible;
mod fault_cause;
mod fresh;
mod holders;
mod inert;
mod machine;
mod memory;
mod moving;
mod ordered;
mod remote;
mod remote_worker;
mod robust;
mod sampling;
mod sequence;
mod setup;
mod signals;
mod sleeper;
mod ticker;
mod timer;
mod trace_log;
mod tracing;
mod uring;
mod userfault;
mod vdso;
mod window;

pub(crate) use apart::{Child, contained, ensure_dies, ensure_fine};
pub(crate) use attributes::{SHORT_SLICE, set_deadline, take_short_slices};
pub(crate) use audit::Audit;
pub(crate) use call::{null_call, yield_call};
pub(crate) use cgroup::Group;
pub(crate) use class::{Class, set_class};
pub(crate) use competitor::{Competitor, fair_competitor};
pub(crate) use counter_delta::CounterDelta;
pub(crate) use counting::{Numbers, PerCpu, Timing, Worker};
pub(crate) use durations::Durations;
pub(crate) use extensible::Extensible;
pub(crate) use fault_cause::{FaultCause, FaultingPage};
pub(crate) use fresh::ensure_fresh;
pub(crate) use holders::{HolderSetup, Holders, THREADS, ensure_distribution};
pub(crate) use inert::{ensure_flags_stay_zero, ensure_words_stay};
pub(crate) use machine::Machine;
pub(crate) use memory::Page;
pub(crate) use moving::{Swap, advise, move_pages, vmstat};
pub(crate) use ordered::{
    DROP, MEMBARRIER, MIGRATE, OrderedSetup, PREEMPT, RECLASS, SIGNAL, reclass, switches, wake,
    woken_by_event,
};
pub(crate) use remote::{Remote, RemotelyWoken, eventfd};
pub(crate) use remote_worker::RemoteWorker;
pub(crate) use robust::{Lock, Owner, PASSES};
pub(crate) use sampling::Sampling;
#[cfg(target_arch = "x86_64")]
pub(crate) use sequence::probe_addresses;
pub(crate) use sequence::{How, Outcome, Sequence, Step, interferences};
pub(crate) use setup::{
    BOTH_CPUS, CPU, OTHER_CPU, Seen, Setup, be_on, ensure_violation_kills, flags, grant_word,
    request_word,
};
pub(crate) use signals::{handle, hits};
pub(crate) use sleeper::Sleeper;
pub(crate) use ticker::Ticker;
pub(crate) use timer::{PATIENCE, soon, timer_interrupts};
pub(crate) use trace_log::{Event, TraceLog};
pub(crate) use tracing::Tracing;
pub(crate) use uring::Ring;
pub(crate) use userfault::Userfault;
pub(crate) use window::{INSTRUCTIONS, Walk, walk};
