// SPDX-License-Identifier: MIT OR Apache-2.0

//! Threads count under a spin lock whose holder asks not to be preempted.
//!
//! An example of the crate `tools/rseq-slice-locks`. In the folder `tools`:
//!
//! ```sh
//! cargo run --example spin_counter
//! ```
//!
//! The exit status is 0 when the count is right and all threads had the extension, 4 when the count is right
//! and they had not, else 1.

use std::hint::black_box;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use rseq_slice::{Area, Policy, Why};
use rseq_slice_locks::SpinLock;

const THREADS: usize = 4;
const TIME: Duration = Duration::from_secs(1);

static COUNT: SpinLock<u64> = SpinLock::new(0);

/// Returns how often the calling thread counted, and whether it had the extension.
fn count() -> (u64, Result<Area, Why>) {
    let start = Instant::now();
    let mut counted = 0;
    while start.elapsed() < TIME {
        let mut count = COUNT.lock();
        // A broken lock would lose counts.
        *count = black_box(*count) + 1;
        counted += 1;
    }
    (counted, rseq_slice::support())
}

fn main() -> ExitCode {
    // glibc 2.35 to 2.40 has an area that is too short. Nothing else here uses it.
    let policy = Policy {
        take_over: true,
        ..Policy::DEFAULT
    };
    if let Err(error) = rseq_slice::set_policy(policy) {
        eprintln!("spin_counter: {error}");
        return ExitCode::FAILURE;
    }

    let threads: Vec<_> = (0..THREADS).map(|_| thread::spawn(count)).collect();
    let mut counted = 0;
    let mut support = Ok(());
    for thread in threads {
        let Ok((of_thread, its)) = thread.join() else {
            return ExitCode::FAILURE;
        };
        counted += of_thread;
        support = support.and(its.map(drop));
    }

    println!("{THREADS} threads counted to {counted}");
    match support {
        _ if *COUNT.lock() != counted => {
            eprintln!(
                "spin_counter: the lock is broken: {} counts arrived",
                *COUNT.lock()
            );
            ExitCode::FAILURE
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("spin_counter: no time slice extensions: {why}");
            ExitCode::from(4)
        }
    }
}
