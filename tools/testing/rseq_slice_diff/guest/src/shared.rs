// SPDX-License-Identifier: GPL-2.0

//! Memory that a program's processes, the competitors and the runner share.
//!
//! What a step saw is stored here and not printed, because printing takes system calls and time, and
//! because it has to outlive the process.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};

use anyhow::Result;
use nix::errno::Errno;
use rseq_slice_diff_program::outcome::Seen;
use rseq_slice_diff_program::program::Program;

/// Where the memory is found after an exec.
pub(crate) const FD: i32 = 100;

/// The results of a step; the counts are totals.
#[derive(Default)]
pub(crate) struct Slot {
    done: AtomicU32,
    result: AtomicI64,
    word: AtomicU32,
    flags: AtomicU32,
    totals: Totals,
    handler_word: AtomicU32,
    handler_result: AtomicI64,
    code: AtomicI32,
    timeout: AtomicU32,
}

/// Running counts.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Totals {
    /// Runs of the two competitors.
    pub(crate) competitors: [AtomicU32; 2],
    /// Signals handled.
    pub(crate) signals: AtomicU32,
    /// Changes of a thread's scheduling class.
    pub(crate) classes: AtomicU32,
    /// Calls of membarrier(2) that restart sequences: begun, and over.
    pub(crate) barriers_begun: AtomicU32,
    pub(crate) barriers_over: AtomicU32,
    /// Sequences restarted.
    pub(crate) restarts: AtomicU32,
}

impl Totals {
    fn copy_from(&self, other: &Self) {
        let copy = |to: &AtomicU32, from: &AtomicU32| to.store(from.load(SeqCst), SeqCst);
        for (to, from) in self.competitors.iter().zip(&other.competitors) {
            copy(to, from);
        }
        copy(&self.signals, &other.signals);
        copy(&self.classes, &other.classes);
        copy(&self.barriers_begun, &other.barriers_begun);
        copy(&self.barriers_over, &other.barriers_over);
        copy(&self.restarts, &other.restarts);
    }

    /// A number that changes with each run of another thread, and each signal.
    pub(crate) fn sum(&self) -> u32 {
        let all = [&self.competitors[0], &self.competitors[1], &self.signals];
        all.iter().map(|count| count.load(SeqCst)).sum()
    }
}

/// The memory.
#[derive(Default)]
pub(crate) struct Shared {
    /// The speed of the time stamp counter, as the harness measures it.
    pub(crate) speed: AtomicU64,
    pub(crate) totals: Totals,
    /// Whether somebody is about to switch `rseq_debug`.
    pub(crate) switching: AtomicBool,
    /// The last moment for which something is planned, of `CLOCK_MONOTONIC`; 0 if nothing is.
    pub(crate) planned_until: AtomicU64,
    /// The findings of the last signal handler.
    pub(crate) handler_word: AtomicU32,
    pub(crate) handler_result: AtomicI64,
    pub(crate) code: AtomicI32,
    /// Sequences that should have been restarted and were not.
    pub(crate) not_restarted: AtomicU32,
    slots: [Slot; Program::MAX_STEPS],
}

static SHARED: OnceLock<&'static Shared> = OnceLock::new();

/// The memory of this process. It was created or found before.
pub(crate) fn shared() -> &'static Shared {
    SHARED.get().expect("created or found at the start")
}

fn map(fd: i32) -> Result<()> {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
    let len = size_of::<Shared>();
    // SAFETY: A new mapping, placed by the kernel.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, fd, 0) };
    let memory = NonNull::new(memory.cast::<Shared>())
        .filter(|memory| memory.as_ptr().cast() != libc::MAP_FAILED)
        .ok_or_else(Errno::last)?;
    // SAFETY: Never unmapped; all fields are atomics, of which any bits are valid.
    let _ = SHARED.set(unsafe { memory.as_ref() });
    Ok(())
}

/// Creates the memory.
pub(crate) fn create() -> Result<()> {
    // SAFETY: The name is a string that lives through the call.
    let fd = Errno::result(unsafe { libc::memfd_create(c"diff".as_ptr(), 0) })?;
    // SAFETY: The kernel has just opened it for us.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.set_len(size_of::<Shared>() as u64)?;
    // SAFETY: Takes numbers only; nobody else uses this one.
    Errno::result(unsafe { libc::dup2(file.as_raw_fd(), FD) })?;
    map(FD)
}

/// Finds the memory after an exec.
pub(crate) fn find() -> Result<()> {
    map(FD)
}

impl Shared {
    /// Clears the results of the last run.
    pub(crate) fn reset(&self) {
        let fresh = MaybeUninit::<[Slot; Program::MAX_STEPS]>::zeroed();
        // SAFETY: All zeros is a valid value of atomics.
        let fresh = unsafe { fresh.assume_init() };
        for (slot, fresh) in self.slots.iter().zip(&fresh) {
            slot.copy_from(fresh);
        }
        self.totals.copy_from(&Totals::default());
        self.switching.store(false, SeqCst);
        self.planned_until.store(0, SeqCst);
        self.handler_word.store(0, SeqCst);
        self.handler_result.store(0, SeqCst);
        self.code.store(0, SeqCst);
        self.not_restarted.store(0, SeqCst);
    }

    /// The slot of a step.
    pub(crate) fn slot(&self, index: usize) -> &Slot {
        &self.slots[index]
    }

    /// The results of the completed steps.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let start = Slot::default();
        let done = self
            .slots
            .iter()
            .take_while(|slot| slot.done.load(SeqCst) != 0);
        let mut before = &start;
        let mut seen = Vec::new();
        for slot in done {
            seen.push(slot.since(before));
            before = slot;
        }
        seen
    }

    /// The runs of the competitor since the last completed step.
    pub(crate) fn competitor_since(&self) -> u32 {
        let last = self
            .slots
            .iter()
            .rev()
            .find(|slot| slot.done.load(SeqCst) != 0);
        let before = last.map_or(0, |slot| slot.totals.competitors[0].load(SeqCst));
        self.totals.competitors[0].load(SeqCst).wrapping_sub(before)
    }
}

impl Slot {
    fn copy_from(&self, other: &Self) {
        self.done.store(other.done.load(SeqCst), SeqCst);
        self.result.store(other.result.load(SeqCst), SeqCst);
        self.word.store(other.word.load(SeqCst), SeqCst);
        self.flags.store(other.flags.load(SeqCst), SeqCst);
        self.totals.copy_from(&other.totals);
        self.handler_word
            .store(other.handler_word.load(SeqCst), SeqCst);
        self.handler_result
            .store(other.handler_result.load(SeqCst), SeqCst);
        self.code.store(other.code.load(SeqCst), SeqCst);
        self.timeout.store(other.timeout.load(SeqCst), SeqCst);
    }

    /// Notes that the step is over, and what there is to see.
    pub(crate) fn complete(&self, result: i64, timeout: bool, word: u32, flags: u32) {
        let shared = shared();
        self.word.store(word, SeqCst);
        self.flags.store(flags, SeqCst);
        self.totals.copy_from(&shared.totals);
        self.handler_word
            .store(shared.handler_word.load(SeqCst), SeqCst);
        self.handler_result
            .store(shared.handler_result.load(SeqCst), SeqCst);
        self.code.store(shared.code.load(SeqCst), SeqCst);
        self.timeout.store(timeout.into(), SeqCst);
        self.result.store(result, SeqCst);
        self.done.store(1, SeqCst);
    }

    /// Replaces the result of a completed step.
    pub(crate) fn amend(&self, result: i64) {
        self.result.store(result, SeqCst);
    }

    fn since(&self, before: &Self) -> Seen {
        let count = |of: fn(&Totals) -> &AtomicU32| {
            let (now, then) = (of(&self.totals), of(&before.totals));
            now.load(SeqCst).wrapping_sub(then.load(SeqCst))
        };
        let signals = count(|totals| &totals.signals);
        let handled = signals != 0;
        Seen {
            result: self.result.load(SeqCst),
            word: self.word.load(SeqCst),
            flags: self.flags.load(SeqCst),
            competitor: count(|totals| &totals.competitors[0]),
            signals,
            handler_word: if handled {
                self.handler_word.load(SeqCst)
            } else {
                0
            },
            handler_result: if handled {
                self.handler_result.load(SeqCst)
            } else {
                0
            },
            code: if handled { self.code.load(SeqCst) } else { 0 },
            restarts: count(|totals| &totals.restarts),
            timeout: self.timeout.load(SeqCst),
        }
    }
}
