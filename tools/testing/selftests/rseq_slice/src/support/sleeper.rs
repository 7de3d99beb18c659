// SPDX-License-Identifier: GPL-2.0

//! Threads that wake up in the interrupt of a timer in whatever class is wanted, also with
//! `CONFIG_PREEMPT_RT`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::Result;
use nix::unistd::{Pid, gettid};
use rseq_slice::pin_to;

use super::scene::{CPU, Class, set_class, set_class_of};
use super::timer::sleep_until;

/// A thread on [`CPU`] that sleeps until a given moment.
///
/// It falls asleep as a real-time thread, whose timers expire in the interrupt itself, and is put
/// into its class while it sleeps.
pub(crate) struct Sleeper {
    orders: Sender<u64>,
    id: Pid,
    runs: Arc<AtomicU64>,
}

impl Sleeper {
    pub(crate) fn new() -> Result<Self> {
        let (orders, theirs) = channel();
        let (ready, started) = channel();
        let runs = Arc::<AtomicU64>::default();
        let counts = Arc::clone(&runs);
        thread::spawn(move || {
            let set_up = pin_to(&[CPU]).map_err(anyhow::Error::from);
            let _ = ready.send(set_up.and_then(|()| set_class(Class::Rival)).map(|()| gettid()));
            for moment in theirs {
                if set_class(Class::Rival).is_err() || sleep_until(moment).is_err() {
                    break;
                }
                counts.fetch_add(1, Ordering::Relaxed);
            }
        });
        let id = started.recv()??;
        Ok(Self { orders, id, runs })
    }

    /// Has it wake up at that moment of [`clock`](super::clock) as a thread of `class`. It must not
    /// be asleep already.
    pub(crate) fn wake_at(&self, moment: u64, class: Class) -> Result<()> {
        // Waits for orders in the class of the last one, and gets the CPU from us for this one.
        set_class_of(self.id, Class::Rival)?;
        self.orders.send(moment)?;
        set_class_of(self.id, class)
    }

    /// How often it woke up.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }
}
