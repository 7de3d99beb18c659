// SPDX-License-Identifier: GPL-2.0

//! Real-time threads that want a CPU at certain moments.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};

use crate::ticks;

/// Until the first wake-up: enough for all threads to start.
const LEAD: Duration = Duration::from_micros(500);

/// Of the periodic threads.
pub const PRIORITY: i32 = 2;

/// When a thread wakes up.
#[derive(Debug, Clone, Copy)]
pub enum Wake {
    /// So long after it has gone to sleep.
    After(Duration),
    /// So long after each multiple of the period.
    Every {
        /// Between two wake-ups.
        period: Duration,
        /// After the multiple.
        offset: Duration,
    },
}

/// A thread that wakes up, computes, and sleeps again.
#[derive(Debug, Clone, Copy)]
pub struct Periodic {
    /// When it wakes up.
    pub wake: Wake,
    /// How many ticks it computes.
    pub compute: u64,
}

/// `CLOCK_MONOTONIC`.
///
/// # Errors
///
/// None that the kernel would return for this clock.
pub fn now() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}

/// Sleeps until a moment of [`now`].
///
/// # Errors
///
/// None but `EINTR`, which is not returned: the sleep goes on.
pub fn sleep_until(moment: Duration) -> Result<()> {
    let flags = ClockNanosleepFlags::TIMER_ABSTIME;
    loop {
        match clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &moment.into()) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes the wake-ups of this thread preempt all of lower priority, and of none.
///
/// # Errors
///
/// `EPERM`.
pub fn become_real_time(priority: i32) -> Result<()> {
    schedule_as(libc::SCHED_FIFO, priority)
}

/// Makes this thread one of many again.
///
/// # Errors
///
/// None that the kernel would return for the calling thread.
pub fn become_fair() -> Result<()> {
    schedule_as(libc::SCHED_OTHER, 0)
}

fn schedule_as(policy: i32, sched_priority: i32) -> Result<()> {
    let param = libc::sched_param { sched_priority };
    // SAFETY: The parameters are valid and outlive the call.
    let ret = unsafe { libc::sched_setscheduler(0, policy, &raw const param) };
    Errno::result(ret).context("sched_setscheduler")?;
    Ok(())
}

/// Spends time in user mode.
pub fn compute(duration: u64) {
    let begin = ticks();
    while ticks() - begin < duration {}
}

impl Periodic {
    fn run(&self, base: Duration, stop: &AtomicBool) -> Result<()> {
        become_real_time(PRIORITY)?;
        sleep_until(base)?;
        let mut due = base;
        while !stop.load(Ordering::Relaxed) {
            match self.wake {
                Wake::After(pause) => thread::sleep(pause),
                Wake::Every { period, offset } => {
                    due += period;
                    let now = now()?;
                    while due + offset <= now {
                        due += period;
                    }
                    sleep_until(due + offset)?;
                }
            }
            compute(self.compute);
        }
        Ok(())
    }
}

/// Runs `f` while `threads` want its CPUs; tells it the moment from which periods are counted.
///
/// # Errors
///
/// Those of `f`, and those of the threads.
///
/// # Panics
///
/// If a thread panics.
pub fn beside<T>(threads: &[Periodic], f: impl FnOnce(Duration) -> Result<T>) -> Result<T> {
    let stop = AtomicBool::new(false);
    let base = now()? + LEAD;
    thread::scope(|scope| {
        let running: Vec<_> = threads
            .iter()
            .map(|periodic| scope.spawn(|| periodic.run(base, &stop)))
            .collect();
        sleep_until(base)?;
        let result = f(base);
        stop.store(true, Ordering::Relaxed);
        for thread in running {
            thread.join().expect("a periodic thread panicked")?;
        }
        result
    })
}
