// SPDX-License-Identifier: GPL-2.0

//! Time without system calls, which would end a grant.

use std::hint;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

#[cfg(target_arch = "x86_64")]
fn ticks() -> u64 {
    // SAFETY: Every x86_64 processor has the instruction, and user mode may use it by default.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "riscv64")]
fn ticks() -> u64 {
    let ticks;
    // SAFETY: Reads the time counter, which user mode may do.
    unsafe { core::arch::asm!("rdtime {}", out(reg) ticks, options(nomem, nostack)) };
    ticks
}

struct Scale {
    start: u64,
    /// Nanoseconds of `CLOCK_MONOTONIC` per 2^32 ticks.
    factor: u128,
}

static SCALE: OnceLock<Scale> = OnceLock::new();

fn scale() -> &'static Scale {
    SCALE.get_or_init(|| {
        let (start, clock) = (ticks(), Instant::now());
        while clock.elapsed() < Duration::from_millis(5) {
            hint::spin_loop();
        }
        let nanos = clock.elapsed().as_nanos();
        let passed = u128::from(ticks() - start);
        Scale {
            start,
            factor: (nanos << 32) / passed,
        }
    })
}

/// Measures the speed of the counter, which takes system calls.
pub(crate) fn calibrate() {
    scale();
}

/// Nanoseconds since some moment, the same for all threads of the process and its children.
pub(crate) fn now() -> u64 {
    // What the counter says before is no moment.
    calibrate();
    moment_of(ticks())
}

/// What [`now`] says at that value of the counter.
pub(crate) fn moment_of(ticks: u64) -> u64 {
    let scale = scale();
    let passed = u128::from(ticks.wrapping_sub(scale.start));
    u64::try_from((passed * scale.factor) >> 32).expect("centuries have passed")
}

/// How far the counter gets in `nanos`.
pub(super) fn ticks_in(nanos: u64) -> u64 {
    let ticks = (u128::from(nanos) << 32) / scale().factor;
    u64::try_from(ticks).expect("centuries would pass")
}

/// Spins in user mode for `nanos`.
pub(crate) fn spin(nanos: u64) {
    spin_until(now() + nanos);
}

/// Spins in user mode until the moment `end`.
pub(crate) fn spin_until(end: u64) {
    while now() < end {
        hint::spin_loop();
    }
}

/// Spins in user mode while `going` says so, for at most `nanos`. Returns whether `going` ended it.
pub(crate) fn spin_while(nanos: u64, going: impl FnMut() -> bool) -> bool {
    spin_in_turns::<1>(nanos, going)
}

/// Like [`spin_while`], but makes a pause only every microsecond or so.
///
/// Where QEMU counts instructions, a pause is the other CPUs' turn and takes the host as long as
/// hundreds of instructions.
pub(crate) fn spin_long_while(nanos: u64, going: impl FnMut() -> bool) -> bool {
    spin_in_turns::<32>(nanos, going)
}

fn spin_in_turns<const LOOKS: u32>(nanos: u64, mut going: impl FnMut() -> bool) -> bool {
    let end = now() + nanos;
    loop {
        for _ in 0..LOOKS {
            if !going() {
                return true;
            }
            if now() >= end {
                return false;
            }
        }
        hint::spin_loop();
    }
}
