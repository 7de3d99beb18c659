// SPDX-License-Identifier: GPL-2.0

//! Measures what the paths of the time slice extension cost, in ticks of the time stamp counter.
//!
//! Meant for a guest whose clock counts instructions (QEMU's `-icount shift=0`), where a tick is an
//! instruction and a figure repeats to the digit. All measuring is done on CPU 0, beside a
//! real-time rival that wakes up there every 50 us and so forces the reschedules that grants
//! postpone.
//!
//! Prints one line for each path: its name, the number of samples, and their 10th, 50th and 99th
//! percentile. What the measuring itself takes is included everywhere, the same for all kernels.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rseq_slice::{Bytes, Control, Layout, Registration, implementation, pin_to, set_layout, sys};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Samples of each path.
const SAMPLES: usize = 5_000;

/// Looks for a grant before a request counts as refused; more than a rival sleeps.
const PATIENCE: usize = 100_000;

/// A gap between two readings of the counter that only an interrupt can leave.
const INTERRUPTED: u64 = 500;

fn main() -> ExitCode {
    match measure() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rseq-slice-cost: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Result<()> {
    pin_to(&[0])?;
    println!("implementation: {:?}", implementation()?);
    println!(
        "{:<28} {:>7} {:>7} {:>7} {:>7}",
        "path", "samples", "p10", "p50", "p99"
    );

    report("nothing", sample(|| ()));
    report("null call, unregistered", sample(null_call));
    let mut registration = Registration::new()?;
    report("null call, registered", sample(null_call));
    set_layout(Some(Layout::Bytes))?;
    report("null call, enabled", sample(null_call));
    report("yield without a grant", sample(yield_call));
    report(
        "prctl get",
        sample(|| drop(black_box(rseq_slice::layout()))),
    );
    report(
        "prctl set, off and on",
        sample(|| {
            drop(black_box(set_layout(None)));
            drop(black_box(set_layout(Some(Layout::Bytes))));
        }),
    );

    let control = registration.bytes();
    beside_a_rival(|| {
        let (gaps, yields) = grants(&control, yield_call)?;
        report("interrupt with a grant", gaps);
        report("yield, there and back", yields);
        let (_, aborts) = grants(&control, null_call)?;
        report("abort, there and back", aborts);
        Ok(())
    })
}

fn null_call() {
    // SAFETY: The call has no arguments and no effect.
    unsafe { libc::syscall(libc::SYS_getppid) };
}

fn yield_call() {
    drop(black_box(sys::rseq_slice_yield()));
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> u64 {
    // SAFETY: Reading the counter has no effect.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Nanoseconds, where there is no time stamp counter. Less exact: reading the clock takes some.
#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

fn time(path: impl FnOnce()) -> u64 {
    let begin = ticks();
    path();
    ticks() - begin
}

fn sample(mut path: impl FnMut()) -> Vec<u64> {
    (0..SAMPLES).map(|_| time(&mut path)).collect()
}

/// Gets grants and ends each with `end`. Returns the gap that the granting interrupt left in the
/// time of the thread, and the time that `end` took.
fn grants(control: &Bytes<'_>, end: impl Fn()) -> Result<(Vec<u64>, Vec<u64>)> {
    let (mut gaps, mut ends) = (Vec::new(), Vec::new());
    let mut refused = 0;
    while gaps.len() < SAMPLES {
        control.request();
        match wait_for_grant(control) {
            Some(gap) => {
                ends.push(time(&end));
                gaps.push(gap);
            }
            None => refused += 1,
        }
        if refused > SAMPLES {
            return Err("the kernel grants too little to measure".into());
        }
    }
    Ok((gaps, ends))
}

/// Returns the gap in which the grant appeared. Two readings of the counter stand around each look,
/// so that the interrupt falls between two readings wherever it comes.
fn wait_for_grant(control: &Bytes<'_>) -> Option<u64> {
    let mut last = ticks();
    for _ in 0..PATIENCE {
        let granted = control.is_granted();
        let now = ticks();
        if granted {
            return Some(now - last);
        }
        if now - last > INTERRUPTED && control.is_granted() {
            return Some(now - last);
        }
        last = now;
    }
    None
}

/// Runs `f` while a thread on the same CPU sleeps, wakes up and sleeps again.
fn beside_a_rival(f: impl FnOnce() -> Result<()>) -> Result<()> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let rival = scope.spawn(|| {
            become_real_time()?;
            while !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_micros(50));
            }
            Ok(())
        });
        let result = f();
        stop.store(true, Ordering::Relaxed);
        rival.join().expect("the rival does not panic").and(result)
    })
}

/// Makes every wake-up of this thread preempt the others.
fn become_real_time() -> Result<()> {
    let param = libc::sched_param { sched_priority: 1 };
    // SAFETY: The parameters are valid and outlive the call.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &param) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().into()),
    }
}

fn report(path: &str, mut samples: Vec<u64>) {
    samples.sort_unstable();
    let percentile = |p: usize| samples[(samples.len() - 1) * p / 100];
    println!(
        "{path:<28} {:>7} {:>7} {:>7} {:>7}",
        samples.len(),
        percentile(10),
        percentile(50),
        percentile(99),
    );
}
