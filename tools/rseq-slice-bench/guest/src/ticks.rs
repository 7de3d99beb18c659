// SPDX-License-Identifier: GPL-2.0

//! The time stamp counter.

/// Ticks of the time stamp counter.
#[cfg(target_arch = "x86_64")]
pub fn ticks() -> u64 {
    // SAFETY: Reading the counter has no effect.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Nanoseconds, where there is no time stamp counter. Less exact: reading the clock takes some.
#[cfg(not(target_arch = "x86_64"))]
pub fn ticks() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;

    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}
