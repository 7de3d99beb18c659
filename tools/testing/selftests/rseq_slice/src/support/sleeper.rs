// SPDX-License-Identifier: GPL-2.0

//! Threads that wake up in the interrupt of a timer, in whatever class is wanted.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::unistd::{Pid, gettid};
use rseq_slice_harness::pin_to;
use rseq_slice_harness::timer::{Due, timespec};

use super::class::{Class, set_class, set_class_of};
use crate::env::Env;

/// A moment that does not come.
const NEVER: u64 = u64::MAX;

#[derive(Default)]
struct Orders {
    /// Changes with every order.
    number: AtomicU32,
    due: AtomicU64,
}

/// A thread that sleeps until it is due.
///
/// With `CONFIG_PREEMPT_RT` the timers of other than real-time threads expire in a real-time thread.
/// It falls asleep as a real-time thread, whose timers expire in the interrupt itself, and is put into
/// its class while it sleeps.
pub(crate) struct Sleeper {
    env: Env,
    orders: Arc<Orders>,
    id: Pid,
}

impl Sleeper {
    /// A thread on `cpu` that calls `awake` each time it was due.
    pub(crate) fn new(env: Env, cpu: usize, awake: impl Fn() + Send + 'static) -> Result<Self> {
        let orders = Arc::<Orders>::default();
        orders.due.store(NEVER, Ordering::Relaxed);
        let theirs = Arc::clone(&orders);
        let (ready, started) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let set_up = pin_to(&[cpu])
                .map_err(Into::into)
                .and_then(|()| set_class(env, Class::Realtime));
            if set_up.is_err() {
                let _ = ready.send(set_up.map(|()| gettid()));
                return;
            }
            let _ = ready.send(Ok(gettid()));
            loop {
                let number = theirs.number.load(Ordering::Acquire);
                let due = theirs.due.load(Ordering::Relaxed);
                if wait(&theirs.number, number, due) {
                    theirs.due.store(NEVER, Ordering::Relaxed);
                    awake();
                }
            }
        });
        let id = started.recv()?.context("cannot set up a sleeper")?;
        Ok(Self { env, orders, id })
    }

    /// Has it wake up when that is due, as a thread of `class`. Replaces an earlier call whose time
    /// has not come. The caller is on the same CPU, in front of which real-time threads are.
    pub(crate) fn wake(&self, due: Due, class: Class) -> Result<()> {
        let moment = due.moment()?.unwrap_or(NEVER);
        self.orders.due.store(moment, Ordering::Relaxed);
        set_class_of(self.env, self.id, Class::Realtime)?;
        self.orders.number.fetch_add(1, Ordering::Release);
        rseq_slice_harness::sys::futex_wake(&self.orders.number, 1);
        set_class_of(self.env, self.id, class)
    }
}

/// Sleeps until `moment` or until `word` is not `seen` any more. Returns whether the moment has come.
fn wait(word: &AtomicU32, seen: u32, moment: u64) -> bool {
    let timeout = (moment != NEVER).then(|| timespec(moment));
    // SAFETY: Word and timeout live through the call, which writes to neither.
    let ret = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG,
            seen,
            timeout.as_ref().map_or(ptr::null(), ptr::from_ref),
            ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    Errno::result(ret) == Err(Errno::ETIMEDOUT)
}
