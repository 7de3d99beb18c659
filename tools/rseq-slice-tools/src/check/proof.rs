// SPDX-License-Identifier: MIT OR Apache-2.0

//! Has the kernel grant extensions, and counts those that are ended by the thread.

use std::hint::black_box;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;
use rseq_slice::abi::NR_RSEQ_SLICE_YIELD;
use serde::{Deserialize, Serialize};

use super::seccomp::seccomp_of;

/// How many grants prove it.
const GRANTS: u32 = 16;
/// How long it is tried.
const LIMIT: Duration = Duration::from_secs(2);
/// How long a competitor sleeps before it wants the CPU.
const SLEEP: Duration = Duration::from_micros(200);
/// Steps of a section: about a microsecond.
const STEPS: u32 = 400;

/// What the kernel granted a thread that shares a CPU with another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Proof {
    /// The CPU.
    pub(crate) cpu: usize,
    /// How long it took.
    pub(crate) seconds: f64,
    /// Grants that were there when a section ended.
    pub(crate) granted: u32,
    /// Those of them that the thread ended: `rseq_slice_yield(2)` returned 1. Under a seccomp filter
    /// `rseq_slice::leave()` ends them, which does not tell, and all of them count.
    pub(crate) ended_by_thread: u32,
}

/// Sections of the calling thread while a competitor wakes up again and again, on one CPU.
///
/// `word` is the thread's control word.
pub(crate) fn provoke(word: NonNull<u8>) -> io::Result<Proof> {
    let cpu = sched_getcpu()?;
    let mut cpus = CpuSet::new();
    cpus.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &cpus)?;

    let mut thread = Requester {
        word,
        filtered: seccomp_of("/proc/thread-self/status") != Some(0),
        granted: 0,
        ended_by_thread: 0,
    };
    let stop = AtomicBool::new(false);
    let begin = Instant::now();
    thread::scope(|scope| {
        // It inherits the CPU.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(SLEEP);
            }
        });
        while thread.ended_by_thread < GRANTS && begin.elapsed() < LIMIT {
            // Reading the clock may be a system call, and is not part of a section.
            for _ in 0..64 {
                thread.section();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    Ok(Proof {
        cpu,
        seconds: begin.elapsed().as_secs_f64(),
        granted: thread.granted,
        ended_by_thread: thread.ended_by_thread,
    })
}

/// A thread that counts how its sections end, which `rseq_slice::end` does not tell.
struct Requester {
    word: NonNull<u8>,
    filtered: bool,
    granted: u32,
    ended_by_thread: u32,
}

impl Requester {
    fn section(&mut self) {
        // SAFETY: The first byte of this thread's control word, in which no section is open.
        unsafe { self.word.write_volatile(1) };
        compiler_fence(Ordering::SeqCst);
        for step in 0..STEPS {
            black_box(step);
        }
        compiler_fence(Ordering::SeqCst);
        // SAFETY: The first byte of this thread's control word.
        unsafe { self.word.write_volatile(0) };
        // SAFETY: The word has a second byte.
        let granted = unsafe { self.word.add(1) };
        // SAFETY: The second byte of this thread's control word.
        if unsafe { granted.read_volatile() } != 0 {
            self.leave();
        }
    }

    #[cold]
    fn leave(&mut self) {
        self.granted += 1;
        let ended_by_thread = if self.filtered {
            rseq_slice::leave();
            true
        } else {
            // SAFETY: The call takes no arguments.
            unsafe { libc::syscall(NR_RSEQ_SLICE_YIELD as libc::c_long) == 1 }
        };
        self.ended_by_thread += u32::from(ended_by_thread);
    }
}
