// SPDX-License-Identifier: GPL-2.0

//! What the tests are built from.

mod apart;
mod call;
mod clock;
mod counting;
pub(crate) mod features;
mod filter;
mod hand;
mod inert;
mod ledger;
mod loss;
mod memory;
mod remote;
mod rival;
mod robust;
mod samples;
mod scene;
mod sequence;
mod signals;
mod sleeper;
mod stage;
mod ticker;
mod timer;
mod userfault;
mod vdso;
mod window;

pub(crate) use apart::{Child, contained, ensure_dies, ensure_fine};
pub(crate) use call::{null_call, yield_call};
pub(crate) use clock::{moment_of, now, spin, spin_while};
pub(crate) use counting::{Numbers, PerCpu, Worker};
pub(crate) use filter::filter;
pub(crate) use hand::Hand;
pub(crate) use inert::{ensure_flags_stay_zero, ensure_words_stay};
pub(crate) use ledger::{Ledger, Tally};
pub(crate) use loss::{LosablePage, Loss};
pub(crate) use memory::Page;
pub(crate) use remote::{Remote, RemotelyWoken};
pub(crate) use rival::{Rival, fair_rival};
pub(crate) use robust::{Lock, Owner, PASSES};
pub(crate) use samples::Samples;
pub(crate) use scene::{
    BOTH_CPUS, CPU, Class, OTHER_CPU, PATIENCE, Scene, Seen, be_on, bear_refusals,
    ensure_lie_kills, flags, granted, lead, lead_longer, requested, set_class, set_only_lazy, soon,
};
pub(crate) use sequence::{How, Outcome, Sequence, Step, interferences};
pub(crate) use signals::{handle, hits};
pub(crate) use sleeper::Sleeper;
pub(crate) use stage::{
    DROP, MEMBARRIER, MIGRATE, PREEMPT, RECLASS, SIGNAL, Stage, reclass, switches, wake,
    woken_by_event,
};
pub(crate) use ticker::{Ticker, take_short_slices};
pub(crate) use timer::{Due, SignalTimer, clock};
pub(crate) use userfault::Userfault;
pub(crate) use window::{INSTRUCTIONS, Walk, walk};
