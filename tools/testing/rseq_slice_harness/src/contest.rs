// SPDX-License-Identifier: MIT OR Apache-2.0

//! Threads that compete for one lock.

use std::error::Error;
use std::hint::{black_box, spin_loop};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, compiler_fence};
use std::thread;
use std::time::{Duration, Instant};

use crate::lock::{EndCounts, Guarded, NoExtension, Pattern, RawLock, ThreadRequests};
use crate::{Control, Layout, Registration, Witness, pin_to, set_layout};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Contest<'a> {
    /// How many threads take part.
    pub threads: usize,
    /// The CPUs that they share.
    pub cpus: &'a [usize],
    /// Whether each thread keeps to one of them, in turn.
    pub pinned: bool,
    /// How long they compete before operations are counted, so that all have started.
    pub warm_up: Duration,
    /// How long operations are counted.
    pub duration: Duration,
    /// When they ask for extensions; `None` for never.
    pub extension: Option<Pattern>,
}

/// What came out.
#[derive(Debug)]
pub struct Outcome<W> {
    /// Operations of each thread in the time that counts.
    pub operations: Vec<u64>,
    /// The time that counts.
    pub time: Duration,
    /// How long threads that had to wait for the lock took until they released it, from the first
    /// operation to the last.
    pub waits: W,
    /// Operations from the first to the last.
    pub all_operations: u64,
    /// Operations in which the holder of the lock was scheduled out, of all.
    pub preempted_holders: u64,
    /// Those of them after which the holder came back when the time that counts had begun.
    pub came_back: u64,
    /// How requests ended.
    pub ends: EndCounts,
}

impl<W> Outcome<W> {
    /// Operations per second of all threads.
    pub fn operations_per_second(&self) -> f64 {
        self.operations.iter().sum::<u64>() as f64 / self.time.as_secs_f64()
    }
}

/// What becomes of the waits of a thread.
pub trait Waits: Default + Send {
    /// A thread has waited.
    fn record(&mut self, wait: Duration);

    /// Takes in those of another thread.
    fn merge(&mut self, other: Self);
}

/// The longest wait of all.
#[derive(Debug, Default, Clone, Copy)]
pub struct Longest(pub Duration);

impl Waits for Longest {
    fn record(&mut self, wait: Duration) {
        self.0 = self.0.max(wait);
    }

    fn merge(&mut self, other: Self) {
        self.record(other.0);
    }
}

/// On cache lines of its own, so that counting disturbs nobody.
#[repr(align(128))]
#[derive(Default)]
struct WorkerStats {
    operations: Count,
    preempted_holders: Count,
}

/// Written by one thread alone.
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

struct Shared<L> {
    lock: Guarded<L, Work>,
    start: Barrier,
    stop: AtomicBool,
}

/// What a thread reports at its end.
struct Report<W> {
    waits: W,
    ends: EndCounts,
}

/// Why a contest failed.
pub type ContestError = Box<dyn Error + Send + Sync>;

impl Contest<'_> {
    /// Runs the contest for a lock of type `L`, on threads of its own.
    ///
    /// # Errors
    ///
    /// Whatever keeps a thread from registering, enabling the extension or running on its CPUs; and
    /// a lock that lets two threads in at once.
    ///
    /// # Panics
    ///
    /// If a thread panics.
    pub fn run<L: RawLock + Send, W: Waits>(&self) -> Result<Outcome<W>, ContestError> {
        let shared = Shared {
            lock: Guarded::<L, _>::new(Work::new()),
            start: Barrier::new(self.threads + 1),
            stop: AtomicBool::new(false),
        };
        let counts: Vec<WorkerStats> = (0..self.threads).map(|_| WorkerStats::default()).collect();
        let operations = || {
            counts
                .iter()
                .map(|of| of.operations.get())
                .collect::<Vec<_>>()
        };
        let preempted_holders = || {
            counts
                .iter()
                .map(|of| of.preempted_holders.get())
                .sum::<u64>()
        };

        let (operations_in, preempted_before, time, reports) = thread::scope(|scope| {
            let workers: Vec<_> = counts
                .iter()
                .enumerate()
                .map(|(thread, counts)| {
                    let (shared, home) = (&shared, self.home(thread));
                    scope.spawn(move || self.work(shared, counts, home))
                })
                .collect();

            shared.start.wait();
            thread::sleep(self.warm_up);
            let (begin, already) = (Instant::now(), operations());
            let preempted_before = preempted_holders();
            thread::sleep(self.duration);
            let (until, time) = (operations(), begin.elapsed());
            shared.stop.store(true, Ordering::Relaxed);

            let reports: Result<Vec<Report<W>>, ContestError> = workers
                .into_iter()
                .map(|worker| worker.join().expect("a worker panicked"))
                .collect();
            let operations: Vec<u64> = until.iter().zip(already).map(|(b, a)| b - a).collect();
            (operations, preempted_before, time, reports)
        });

        let all_operations = operations().iter().sum();
        if shared.lock.into_inner().done() != all_operations {
            return Err("the lock let two threads in at once".into());
        }
        let mut outcome = Outcome {
            operations: operations_in,
            time,
            waits: W::default(),
            all_operations,
            preempted_holders: preempted_holders(),
            came_back: preempted_holders() - preempted_before,
            ends: EndCounts::default(),
        };
        for report in reports? {
            outcome.waits.merge(report.waits);
            outcome.ends = outcome.ends + report.ends;
        }
        Ok(outcome)
    }

    /// The CPUs of one of the threads.
    fn home(&self, thread: usize) -> &[usize] {
        if self.pinned {
            let mut homes = self.cpus.chunks(1).cycle();
            homes.nth(thread).unwrap_or_default()
        } else {
            self.cpus
        }
    }

    /// One thread's part.
    fn work<L: RawLock, W: Waits>(
        &self,
        shared: &Shared<L>,
        counts: &WorkerStats,
        home: &[usize],
    ) -> Result<Report<W>, ContestError> {
        let ready = self.prepare(home);
        shared.start.wait();
        let mut registration = ready?;
        let (mut bytes, witness) = registration.parts();
        Ok(match self.extension {
            Some(pattern) => compete(&mut bytes, pattern, &witness, shared, counts),
            None => compete(&mut NoExtension, Pattern::Dropped, &witness, shared, counts),
        })
    }

    /// Threads without the extension register as well, so that it is the only difference.
    fn prepare(&self, home: &[usize]) -> Result<Registration, ContestError> {
        pin_to(home)?;
        let registration = Registration::new()?;
        if self.extension.is_some() {
            set_layout(Some(Layout::Bytes))?;
        }
        Ok(registration)
    }
}

fn compete<C: Control, L: RawLock, W: Waits>(
    control: &mut C,
    pattern: Pattern,
    witness: &Witness<'_>,
    shared: &Shared<L>,
    counts: &WorkerStats,
) -> Report<W> {
    let mut requests = ThreadRequests::new(control, pattern);
    let mut waits = W::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let waited = shared.lock.with(&mut requests, &shared.stop, |work| {
            witness.watch();
            compiler_fence(Ordering::SeqCst);
            work.do_one();
            counts.operations.increment();
            compiler_fence(Ordering::SeqCst);
            if witness.was_scheduled_out() {
                counts.preempted_holders.increment();
            }
        });
        if let Some(wait) = waited {
            waits.record(wait);
        }
        // An emulator that counts instructions lets its other CPUs run when one waits, and QEMU
        // before 8.1 hardly does otherwise.
        spin_loop();
    }
    Report {
        waits,
        ends: requests.ends(),
    }
}

/// The data under the lock.
struct Work {
    state: u64,
    done: u64,
}

/// Steps of one operation: the length of the critical section.
pub const STEPS: u32 = 60;

impl Work {
    fn new() -> Self {
        Self {
            state: 0x9e37_79b9_7f4a_7c15,
            done: 0,
        }
    }

    /// How many pieces were done. Two threads at once would lose one, whenever they meet.
    fn done(&self) -> u64 {
        self.done
    }

    /// Does one piece: a few steps of a random sequence.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinned_threads_take_the_cpus_in_turn() {
        let mut contest = Contest {
            threads: 3,
            cpus: &[4, 7],
            pinned: true,
            warm_up: Duration::ZERO,
            duration: Duration::ZERO,
            extension: None,
        };
        let homes: Vec<_> = (0..3).map(|thread| contest.home(thread)).collect();
        assert_eq!(homes, [[4], [7], [4]]);
        contest.pinned = false;
        assert_eq!(contest.home(2), [4, 7]);
    }
}
