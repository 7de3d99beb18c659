// SPDX-License-Identifier: GPL-2.0

//! A thread on the other CPU that carries out the orders of sequences.

use std::hint;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use anyhow::Result;
use rseq_slice_harness::clock::{spin, spin_while};

use super::class::{Class, set_class};
use super::remote::Remote;
use super::timer::PATIENCE;
use crate::check::check;
use crate::env::Env;
use crate::ktap::diagnose;

type Action = Box<dyn FnMut() -> Result<()> + Send>;

/// The memory that the sequence and the thread share.
#[derive(Default)]
struct Orders {
    /// A bit for each action that is to be done, in the order of the bits.
    wanted: AtomicU32,
    /// Nanoseconds before the last of them.
    delay: AtomicU64,
}

/// A thread that makes system calls for one that must not.
pub(crate) struct RemoteWorker(Arc<Orders>);

impl RemoteWorker {
    /// Bit N of an order is for action N. Real-time threads precede the thread on its CPU.
    pub(crate) fn new(env: Env, mut actions: Vec<Action>) -> Result<Self> {
        let orders = Arc::<Orders>::default();
        let theirs = Arc::clone(&orders);
        Remote::ready(move || {
            set_class(env, Class::Fair)?;
            loop {
                // A pause lets the other CPU run, and takes long where instructions are counted.
                let wanted = (0..32)
                    .map(|_| theirs.wanted.load(Ordering::Acquire))
                    .find(|&wanted| wanted != 0);
                let Some(wanted) = wanted else {
                    hint::spin_loop();
                    continue;
                };
                for (number, action) in actions.iter_mut().enumerate() {
                    if wanted >> number == 1 {
                        spin(theirs.delay.load(Ordering::Relaxed));
                    }
                    if wanted >> number & 1 == 1
                        && let Err(error) = action()
                    {
                        diagnose(format_args!("order {wanted:#x}: {error:#}"));
                        return Err(error);
                    }
                }
                theirs.wanted.store(0, Ordering::Release);
            }
        })?
        .go();
        Ok(Self(orders))
    }

    /// Where an order is to be stored. 0 is there when it has been carried out.
    pub(crate) fn orders(&self) -> &AtomicU32 {
        &self.0.wanted
    }

    /// Sets the time to wait before the last action of each order.
    pub(crate) fn wait_before_last(&self, nanos: u64) {
        self.0.delay.store(nanos, Ordering::Relaxed);
    }

    /// Whether the last order has been carried out.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.wanted.load(Ordering::Acquire) == 0
    }

    /// Waits in user mode until the last order has been carried out.
    #[track_caller]
    pub(crate) fn ensure_idle(&self) -> Result<()> {
        let idle = spin_while(5 * PATIENCE, || !self.is_idle());
        check!(
            idle,
            "order {:#x} was not carried out",
            self.0.wanted.load(Ordering::Relaxed)
        );
        Ok(())
    }
}
