// SPDX-License-Identifier: GPL-2.0

//! Threads on one CPU count under a spin lock, with time slice extensions around it.
//!
//! An example of the crate `tools/rseq-slice`. In the folder `tools`:
//!
//! ```sh
//! GLIBC_TUNABLES=glibc.pthread.rseq=0 cargo run --example spin_counter
//! ```
//!
//! The exit status is 0 when the threads were granted extensions and gave the CPU back in time, 4
//! when the kernel has none, else 1.

use std::error::Error;
use std::hint::spin_loop;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rseq_slice_harness::{Control, End, Layout, Registration, Section, SliceError, pin_to, set_layout};

const THREADS: usize = 4;
/// Each thread stops after so many extensions, or after `LIMIT`.
const WANTED: u64 = 10;
const LIMIT: Duration = Duration::from_secs(10);

static LOCKED: AtomicBool = AtomicBool::new(false);
/// Changed under the lock only, and not by an atomic addition: a broken lock loses counts.
static COUNTER: AtomicU64 = AtomicU64::new(0);

fn increment<C: Control>(control: &mut C) -> End {
    loop {
        let section = Section::begin(control);
        if !LOCKED.swap(true, Ordering::Acquire) {
            COUNTER.store(COUNTER.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
            LOCKED.store(false, Ordering::Release);
            return section.end();
        }
        // A waiter that is granted an extension keeps the CPU from the owner of the lock.
        section.end();
        spin_loop();
    }
}

/// Returns how often the calling thread counted, and how many extensions it gave back in time.
fn count() -> Result<(u64, u64), Box<dyn Error + Send + Sync>> {
    let mut registration = Registration::new()?;
    set_layout(Some(Layout::Bytes))?;
    let mut control = registration.bytes();

    let start = Instant::now();
    let (mut counted, mut yielded) = (0, 0);
    while yielded < WANTED && start.elapsed() < LIMIT {
        yielded += u64::from(increment(&mut control) == End::Yielded);
        counted += 1;
    }
    Ok((counted, yielded))
}

fn run() -> Result<bool, Box<dyn Error + Send + Sync>> {
    // SAFETY: The call has no arguments and no effect.
    let cpu = unsafe { libc::sched_getcpu() };
    pin_to(&[usize::try_from(cpu)?])?;

    let threads: Vec<_> = (0..THREADS).map(|_| thread::spawn(count)).collect();
    let (mut counted, mut yielded) = (0, 0);
    for thread in threads {
        let of_thread = thread.join().map_err(|_| "a thread panicked")??;
        counted += of_thread.0;
        yielded += of_thread.1;
    }

    println!("{THREADS} threads counted to {counted}, extended and given back in time: {yielded}");
    Ok(COUNTER.load(Ordering::Relaxed) == counted && yielded >= WANTED)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("spin_counter: {error}");
            match error.downcast_ref() {
                Some(SliceError::NotSupported | SliceError::Invalid) => ExitCode::from(4),
                _ => ExitCode::FAILURE,
            }
        }
    }
}
