// SPDX-License-Identifier: GPL-2.0

//! Threads that fight for one lock.

use std::hint::spin_loop;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rseq_slice::{Control, Counters, Layout, Registration, pin_to, set_layout};

use crate::Result;
use crate::lock::{NoExtension, SpinLock, Work};

/// What to measure.
#[derive(Clone, Copy)]
pub(crate) struct Contest<'a> {
    pub(crate) threads: usize,
    pub(crate) cpus: &'a [usize],
    pub(crate) duration: Duration,
    pub(crate) extension: bool,
}

/// What came out.
pub(crate) struct Outcome {
    pub(crate) operations_per_second: f64,
    pub(crate) longest_wait: Duration,
    pub(crate) counters: Counters,
}

/// On cache lines of its own, so that counting disturbs nobody.
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
    lock: SpinLock<Work>,
    start: Barrier,
    stop: AtomicBool,
}

impl Contest<'_> {
    /// Runs the contest, on threads of its own.
    pub(crate) fn run(&self) -> Result<Outcome> {
        let shared = Shared {
            lock: SpinLock::new(Work::new()),
            start: Barrier::new(self.threads + 1),
            stop: AtomicBool::new(false),
        };
        let counts: Vec<Count> = (0..self.threads).map(|_| Count::default()).collect();
        let total = || counts.iter().map(Count::get).sum::<u64>();
        let before = Counters::read()?;

        let (operations, time, waits) = thread::scope(|scope| {
            let workers: Vec<_> = counts
                .iter()
                .map(|count| scope.spawn(|| self.work(&shared, count)))
                .collect();

            shared.start.wait();
            let (begin, already) = (Instant::now(), total());
            thread::sleep(self.duration);
            let (operations, time) = (total() - already, begin.elapsed());
            shared.stop.store(true, Ordering::Relaxed);

            let waits: Result<Vec<Duration>> = workers
                .into_iter()
                .map(|worker| worker.join().expect("a worker panicked"))
                .collect();
            (operations, time, waits)
        });

        let longest_wait = waits?.into_iter().max().unwrap_or_default();
        if shared.lock.into_inner().done() != total() {
            return Err("the lock let two threads in at once".into());
        }
        Ok(Outcome {
            operations_per_second: operations as f64 / time.as_secs_f64(),
            longest_wait,
            counters: Counters::read()? - before,
        })
    }

    /// One thread's part. Returns its longest wait for the lock.
    fn work(&self, shared: &Shared, count: &Count) -> Result<Duration> {
        let ready = self.prepare();
        shared.start.wait();
        let mut registration = ready?;
        Ok(if self.extension {
            fight(&mut registration.bytes(), shared, count)
        } else {
            fight(&mut NoExtension, shared, count)
        })
    }

    /// Threads without the extension register as well, so that it is the only difference.
    fn prepare(&self) -> Result<Registration> {
        pin_to(self.cpus)?;
        let registration = Registration::new()?;
        if self.extension {
            set_layout(Some(Layout::Bytes))?;
        }
        Ok(registration)
    }
}

fn fight<C: Control>(control: &mut C, shared: &Shared, count: &Count) -> Duration {
    let mut longest = Duration::ZERO;
    while !shared.stop.load(Ordering::Relaxed) {
        let waited = shared.lock.with(control, &shared.stop, |work| {
            work.do_one();
            count.increment();
        });
        longest = longest.max(waited.unwrap_or_default());
        // An emulator that counts instructions lets its other CPUs run when one waits, and QEMU
        // before 8.1 hardly does otherwise.
        spin_loop();
    }
    longest
}
