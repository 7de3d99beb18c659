// SPDX-License-Identifier: MIT OR Apache-2.0

//! Time without system calls, which would end a grant.

use std::hint;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The counter that user mode can read: the time stamp counter.
#[cfg(target_arch = "x86_64")]
pub fn ticks() -> u64 {
    // SAFETY: Every x86_64 processor has the instruction, and user mode may use it by default.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// The counter that user mode can read: the time counter.
#[cfg(target_arch = "riscv64")]
pub fn ticks() -> u64 {
    let ticks;
    // SAFETY: Reads the time counter, which user mode may do.
    unsafe { std::arch::asm!("rdtime {}", out(reg) ticks, options(nomem, nostack)) };
    ticks
}

/// Nanoseconds, where no counter is known. Less exact: reading the clock takes some.
#[cfg(not(any(target_arch = "x86_64", target_arch = "riscv64")))]
pub fn ticks() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

struct Scale {
    start: u64,
    /// Nanoseconds of `CLOCK_MONOTONIC` per 2^32 ticks.
    factor: u64,
}

static SCALE: OnceLock<Scale> = OnceLock::new();

fn scale() -> &'static Scale {
    SCALE.get_or_init(|| {
        let (start, clock) = (ticks(), Instant::now());
        while clock.elapsed() < Duration::from_millis(5) {
            hint::spin_loop();
        }
        let nanos = clock.elapsed().as_nanos();
        let factor = (nanos << 32) / u128::from(ticks() - start);
        Scale {
            start,
            factor: u64::try_from(factor).expect("a tick takes less than a second"),
        }
    })
}

/// Measures the speed of the counter, unless that is known. Takes system calls and 5 ms.
pub fn calibrate() {
    scale();
}

/// The speed of the counter: nanoseconds of `CLOCK_MONOTONIC` per 2^32 ticks.
pub fn speed() -> u64 {
    scale().factor
}

/// Takes over the speed of the counter that another process has measured. Without effect on a process
/// that knows one.
pub fn take_over_speed(speed: u64) {
    SCALE.get_or_init(|| Scale {
        start: ticks(),
        factor: speed.max(1),
    });
}

/// Nanoseconds since some moment, the same for all threads of the process and its forked children.
pub fn now() -> u64 {
    // The start of the scale is measured first: earlier values of the counter would be negative.
    calibrate();
    moment_of(ticks())
}

/// What [`now`] says at that value of the counter.
pub fn moment_of(ticks: u64) -> u64 {
    let scale = scale();
    let passed = u128::from(ticks.wrapping_sub(scale.start));
    u64::try_from((passed * u128::from(scale.factor)) >> 32).expect("centuries have passed")
}

/// How far the counter gets in `nanos`.
pub fn ticks_in(nanos: u64) -> u64 {
    let ticks = (u128::from(nanos) << 32) / u128::from(scale().factor);
    u64::try_from(ticks).expect("centuries would pass")
}

/// Spins in user mode for `nanos`.
pub fn spin(nanos: u64) {
    spin_until(now() + nanos);
}

/// Spins in user mode until the moment `end` of [`now`].
pub fn spin_until(end: u64) {
    while now() < end {
        hint::spin_loop();
    }
}

/// Spins in user mode while `going` says so, for at most `nanos`. Returns whether `going` ended it.
pub fn spin_while(nanos: u64, going: impl FnMut() -> bool) -> bool {
    spin_in_turns::<1>(nanos, going)
}

/// Like [`spin_while`], but makes a pause only every microsecond or so.
///
/// Where QEMU counts instructions, a pause lets the other CPUs run and takes the host as long as
/// hundreds of instructions.
pub fn spin_long_while(nanos: u64, going: impl FnMut() -> bool) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_and_ticks_agree() {
        calibrate();
        let start = ticks();
        let moment = moment_of(start + ticks_in(1_000_000));
        let apart = moment - moment_of(start);
        assert!((999_990..=1_000_010).contains(&apart), "{apart} ns");
    }

    #[test]
    fn the_speed_stays_what_it_is() {
        let speed = speed();
        take_over_speed(2 * speed);
        assert_eq!(super::speed(), speed);
    }

    #[test]
    fn whoever_ends_a_wait_is_told() {
        let (clock, mut looks) = (Instant::now(), 0);
        let ended = spin_while(1_000_000_000_000, || {
            looks += 1;
            looks < 5
        });
        assert!(ended && looks == 5);
        assert!(!spin_while(1_000_000, || true));
        assert!(!spin_long_while(1_000_000, || true));
        assert!(clock.elapsed() >= Duration::from_micros(1_900));
    }
}
