// SPDX-License-Identifier: GPL-2.0

//! A robust futex, unlocked again and again in user mode.

use std::arch::asm;
use std::ffi::c_void;
use std::ops::{Range, Sub};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use anyhow::{Context, Result};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::unistd::{Pid, gettid};

use super::memory::Page;
use super::vdso::Unlock;

/// What stands for the pending operation.
const PENDING: u64 = 0x1000;

/// How many moments, one instruction apart, a sweep has: more than taking and releasing the lock takes.
pub(crate) const PASSES: u64 = 32;

/// A robust futex and what its owner notes beside it. An operation is pending whenever the lock is
/// taken: no thread sees one pending with the lock released, but in the middle of the unlock.
#[derive(Default)]
pub(crate) struct Lock {
    word: AtomicU32,
    pending: AtomicU64,
    /// The owner has not noted yet that it is out of the unlock.
    unlocking: AtomicBool,
}

impl Lock {
    /// A lock that children share with their parent.
    pub(crate) fn shared() -> Result<&'static Self> {
        let page = Page::shared()?.area().cast::<Self>();
        // SAFETY: The page is never freed, holds nothing else, and is all zeros, which is valid.
        Ok(unsafe { page.as_ref() })
    }

    fn is_released(&self) -> bool {
        self.word.load(Ordering::Acquire) == 0
    }

    /// The lock is released and the operation still pending.
    pub(crate) fn is_half_done(&self) -> bool {
        self.is_released() && self.pending.load(Ordering::Acquire) != 0
    }

    /// The lock is released and its owner was not yet out of the unlock.
    pub(crate) fn is_just_released(&self) -> bool {
        self.is_released() && self.unlocking.load(Ordering::Acquire)
    }

    /// Puts the lock back to where it was at first, after its owner is gone.
    pub(crate) fn reset(&self) {
        self.unlocking.store(false, Ordering::Release);
        self.pending.store(0, Ordering::Release);
        self.word.store(0, Ordering::Release);
    }
}

/// What the signal handler has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) signals: u64,
    /// The thread was interrupted after the release, before the pending operation was cleared.
    pub(crate) inside: u64,
    /// The lock was released and the operation pending.
    pub(crate) half_done: u64,
}

impl Sub for Seen {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            signals: self.signals - earlier.signals,
            inside: self.inside - earlier.inside,
            half_done: self.half_done - earlier.half_done,
        }
    }
}

struct Watch {
    lock: &'static Lock,
    section: Range<usize>,
    signals: AtomicU64,
    inside: AtomicU64,
    half_done: AtomicU64,
}

static WATCH: OnceLock<Watch> = OnceLock::new();

/// The instruction that the signal came in front of.
fn instruction(context: &libc::ucontext_t) -> usize {
    #[cfg(target_arch = "x86_64")]
    let instruction = context.uc_mcontext.gregs[libc::REG_RIP as usize];
    #[cfg(target_arch = "riscv64")]
    let instruction = context.uc_mcontext.__gregs[libc::REG_PC];
    instruction as usize
}

extern "C" fn look(_: i32, _: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(watch) = WATCH.get() else { return };
    // SAFETY: The kernel passes the interrupted context to the handler.
    let context = unsafe { &*context.cast::<libc::ucontext_t>() };
    let inside = watch.section.contains(&instruction(context)) && watch.lock.is_released();
    let count = |counter: &AtomicU64, yes| counter.fetch_add(u64::from(yes), Ordering::Relaxed);
    count(&watch.inside, inside);
    count(&watch.half_done, watch.lock.is_half_done());
    count(&watch.signals, true);
}

/// The calling thread, which takes and releases the lock.
pub(crate) struct Owner {
    lock: &'static Lock,
    unlock: Unlock,
    thread: Pid,
    watch: &'static Watch,
}

impl Owner {
    /// There is one in a process.
    pub(crate) fn new(lock: &'static Lock) -> Result<Self> {
        let unlock = Unlock::find()?;
        let watch = WATCH.get_or_init(|| Watch {
            lock,
            section: unlock.section.clone(),
            signals: AtomicU64::new(0),
            inside: AtomicU64::new(0),
            half_done: AtomicU64::new(0),
        });
        let thread = gettid();
        Ok(Self {
            lock,
            unlock,
            thread,
            watch,
        })
    }

    pub(crate) const fn thread(&self) -> Pid {
        self.thread
    }

    /// Has a handler look at the lock whenever `signal` comes.
    pub(crate) fn watch_at(&self, signal: Signal) -> Result<()> {
        let action = SigAction::new(
            SigHandler::SigAction(look),
            SaFlags::SA_SIGINFO | SaFlags::SA_RESTART,
            SigSet::empty(),
        );
        // SAFETY: The handler touches nothing but atomics.
        unsafe { sigaction(signal, &action) }.context("cannot handle a signal")?;
        Ok(())
    }

    /// What the handler has seen until now.
    pub(crate) fn seen(&self) -> Seen {
        Seen {
            signals: self.signals(),
            inside: self.watch.inside.load(Ordering::Relaxed),
            half_done: self.watch.half_done.load(Ordering::Relaxed),
        }
    }

    /// After so many more instructions, of [`PASSES`], takes and releases the lock until a signal comes,
    /// but not more than `times`. Returns whether one came.
    ///
    /// Makes no pause: where QEMU counts instructions, other CPUs would run in the pauses only, and
    /// never interrupt the unlock.
    pub(crate) fn unlock_until_signal(&self, instructions: u64, times: u64) -> bool {
        let thread = self.thread.as_raw() as u32;
        let signals = self.signals();
        pass(instructions);
        for _ in 0..times {
            // Each store may be seen by the handler only after those in front of it.
            self.lock.word.store(thread, Ordering::Release);
            self.lock.pending.store(PENDING, Ordering::Release);
            self.lock.unlocking.store(true, Ordering::Release);
            self.unlock
                .try_unlock(&self.lock.word, thread, &self.lock.pending);
            self.lock.unlocking.store(false, Ordering::Release);
            if self.signals() != signals {
                return true;
            }
        }
        false
    }

    /// How many signals the handler has seen until now.
    pub(crate) fn signals(&self) -> u64 {
        self.watch.signals.load(Ordering::Relaxed)
    }
}

/// Takes more instructions the larger `instructions` is, one by one.
fn pass(instructions: u64) {
    macro_rules! pass_if_set {
        ($($bit:literal)*) => {$(
            if instructions & $bit != 0 {
                // SAFETY: Does nothing.
                unsafe { asm!(concat!(".rept ", $bit), "nop", ".endr", options(nomem, nostack)) };
            }
        )*};
    }
    const { assert!(PASSES == 32) };
    pass_if_set!(1 2 4 8 16);
}
