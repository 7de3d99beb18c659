// SPDX-License-Identifier: MIT OR Apache-2.0

//! Threads that compete for one spin lock.

use std::cell::UnsafeCell;
use std::hint::{black_box, spin_loop};
use std::io;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

/// What to measure.
pub(crate) struct Contest<'a> {
    /// How many threads take part.
    pub(crate) threads: usize,
    /// The CPUs that they share.
    pub(crate) cpus: &'a [usize],
    /// How long operations are counted.
    pub(crate) duration: Duration,
    /// Whether they ask for extensions.
    pub(crate) extension: bool,
}

/// The results.
pub(crate) struct Outcome {
    /// Operations of all threads.
    operations: u64,
    /// In this time.
    time: Duration,
    /// The longest time from the first attempt of a thread that had to wait for the lock to its release.
    pub(crate) longest_wait: Duration,
}

impl Outcome {
    pub(crate) fn operations_per_second(&self) -> f64 {
        self.operations as f64 / self.time.as_secs_f64()
    }
}

/// Whether a lock asks for extensions.
trait Sections {
    type Token;
    fn begin() -> Self::Token;
    fn end(token: Self::Token);
}

struct With;
impl Sections for With {
    type Token = rseq_slice::Token;

    #[inline(always)]
    fn begin() -> rseq_slice::Token {
        rseq_slice::begin()
    }

    #[inline(always)]
    fn end(token: rseq_slice::Token) {
        rseq_slice::end(token);
    }
}

struct Without;
impl Sections for Without {
    type Token = ();

    #[inline(always)]
    fn begin() {}

    #[inline(always)]
    fn end((): ()) {}
}

/// Looks between two pauses, each of which costs an emulator a switch.
const LOOKS: u32 = 100;

/// A test-and-set lock that spins reading, and the work under it.
#[repr(align(64))]
struct SpinLock {
    locked: AtomicBool,
    work: UnsafeCell<Work>,
}

// SAFETY: The work is behind the lock.
unsafe impl Sync for SpinLock {}

impl SpinLock {
    fn new() -> Self {
        Self {
            locked: AtomicBool::new(false),
            work: UnsafeCell::new(Work::new()),
        }
    }

    /// Does one piece of work. Gives up when `stop` is set. Returns since when it waited, if it did.
    #[inline(always)]
    fn work<S: Sections>(&self, stop: &AtomicBool, count: impl FnOnce()) -> Option<Instant> {
        let mut waiting = None;
        loop {
            let token = S::begin();
            if !self.is_locked() && !self.locked.swap(true, Ordering::Acquire) {
                // SAFETY: This thread has the lock.
                let work = unsafe { &mut *self.work.get() };
                work.do_one();
                count();
                self.locked.store(false, Ordering::Release);
                S::end(token);
                return waiting;
            }
            S::end(token);
            waiting = waiting.or_else(|| Some(Instant::now()));
            while (0..LOOKS).all(|_| self.is_locked()) && !stop.load(Ordering::Relaxed) {
                spin_loop();
            }
            if stop.load(Ordering::Relaxed) {
                return waiting;
            }
        }
    }

    fn is_locked(&self) -> bool {
        self.locked.load(Ordering::Relaxed)
    }
}

/// Steps of one operation: the length of the critical section.
pub(crate) const STEPS: u32 = 60;

/// The data under the lock.
struct Work {
    state: u64,
    done: u64,
}

impl Work {
    fn new() -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15,
            done: 0,
        }
    }

    /// Does one piece: a few steps of a random sequence. Two threads at once would lose one.
    #[inline(always)]
    fn do_one(&mut self) {
        let done = black_box(self.done);
        for _ in 0..STEPS {
            let mut x = self.state;
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            self.state = black_box(x);
        }
        self.done = done + 1;
    }
}

/// Operations of one thread, on cache lines of their own. Written by that thread alone.
#[repr(align(128))]
#[derive(Default)]
struct Count(AtomicU64);

impl Count {
    fn increment(&self) {
        self.0.store(self.get() + 1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct Shared {
    lock: SpinLock,
    start: Barrier,
    stop: AtomicBool,
}

impl Contest<'_> {
    /// Runs the contest.
    pub(crate) fn run(&self) -> io::Result<Outcome> {
        let shared = Shared {
            lock: SpinLock::new(),
            start: Barrier::new(self.threads + 1),
            stop: AtomicBool::new(false),
        };
        let counts: Vec<Count> = (0..self.threads).map(|_| Count::default()).collect();
        let sum = || counts.iter().map(Count::get).sum::<u64>();

        let (operations, time, longest_wait) = thread::scope(|scope| {
            let workers: Vec<_> = counts
                .iter()
                .map(|count| {
                    let shared = &shared;
                    scope.spawn(move || self.compete(shared, count))
                })
                .collect();
            shared.start.wait();
            let (begin, already) = (Instant::now(), sum());
            thread::sleep(self.duration);
            let (until, time) = (sum(), begin.elapsed());
            shared.stop.store(true, Ordering::Relaxed);
            let mut longest = Duration::ZERO;
            for worker in workers {
                let wait = worker
                    .join()
                    .map_err(|_| io::Error::other("a thread panicked"))??;
                longest = longest.max(wait);
            }
            io::Result::Ok((until - already, time, longest))
        })?;
        if shared.lock.work.into_inner().done != sum() {
            return Err(io::Error::other("the lock let two threads in at once"));
        }
        Ok(Outcome {
            operations,
            time,
            longest_wait,
        })
    }

    /// One thread's part. Returns its longest wait.
    fn compete(&self, shared: &Shared, count: &Count) -> io::Result<Duration> {
        let ready = self.prepare();
        shared.start.wait();
        ready?;
        Ok(if self.extension {
            work::<With>(shared, count)
        } else {
            work::<Without>(shared, count)
        })
    }

    /// Threads without sections are set up as well, so that these are the only difference.
    fn prepare(&self) -> io::Result<()> {
        let mut cpus = CpuSet::new();
        for &cpu in self.cpus {
            cpus.set(cpu)?;
        }
        sched_setaffinity(Pid::from_raw(0), &cpus)?;
        rseq_slice::support().map(drop).map_err(io::Error::other)
    }
}

fn work<S: Sections>(shared: &Shared, count: &Count) -> Duration {
    let mut longest = Duration::ZERO;
    while !shared.stop.load(Ordering::Relaxed) {
        if let Some(since) = shared.lock.work::<S>(&shared.stop, || count.increment()) {
            longest = longest.max(since.elapsed());
        }
        // An emulator that counts instructions lets its other CPUs run when one waits, and QEMU
        // before 8.1 hardly does otherwise.
        spin_loop();
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excludes<S: Sections>() {
        let (lock, stop) = (SpinLock::new(), AtomicBool::new(false));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        lock.work::<S>(&stop, || ());
                    }
                });
            }
        });
        assert_eq!(lock.work.into_inner().done, 80_000);
    }

    #[test]
    fn the_lock_excludes() {
        excludes::<With>();
        excludes::<Without>();
    }

    #[test]
    fn a_waiter_gives_up() {
        let (lock, stop) = (SpinLock::new(), AtomicBool::new(true));
        lock.locked.store(true, Ordering::Relaxed);
        let waited = lock.work::<With>(&stop, || panic!("let in"));
        assert!(waited.is_some());
    }
}
