// SPDX-License-Identifier: GPL-2.0

use super::{Instant, Monotonic};
use crate::bindings;
use core::marker::PhantomData;

impl Instant<Monotonic> {
    /// Gets the current time from a copy of the clock that any context may read, NMI included.
    ///
    /// The price is that around an update of the clock the time may step back by a little; see
    /// `ktime_get_mono_fast_ns()` in
    /// [`kernel/time/timekeeping.c`](srctree/kernel/time/timekeeping.c).
    #[inline]
    pub fn fast_now() -> Self {
        // SAFETY: Reading the fast clock has no preconditions.
        let nanos = unsafe { bindings::ktime_get_mono_fast_ns() };

        // INVARIANT: The clock starts at 0 with the boot and reaches `KTIME_MAX` 292 years later.
        Self {
            inner: nanos as i64,
            _c: PhantomData,
        }
    }

    /// Makes an instant from nanoseconds; what lies beyond `KTIME_MAX` becomes `KTIME_MAX`.
    #[inline]
    pub const fn from_nanos(nanos: u64) -> Self {
        const KTIME_MAX: u64 = i64::MAX as u64;

        // INVARIANT: The value is in the range from 0 to `KTIME_MAX`.
        Self {
            inner: if nanos > KTIME_MAX {
                KTIME_MAX as i64
            } else {
                nanos as i64
            },
            _c: PhantomData,
        }
    }
}

#[cfg(CONFIG_RUST_CPU_LOCAL_KUNIT_TEST)]
#[macros::kunit_tests(rust_time_monotonic)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_survive() {
        assert_eq!(Instant::from_nanos(5_000).as_nanos(), 5_000);
        assert_eq!(Instant::from_nanos(u64::MAX).as_nanos(), i64::MAX);
    }

    #[test]
    fn the_fast_clock_is_the_monotonic_one() {
        let before = Instant::<Monotonic>::now();
        let fast = Instant::fast_now();
        let after = Instant::<Monotonic>::now();
        assert!(fast.as_nanos() + 1_000_000 > before.as_nanos());
        assert!(fast.as_nanos() < after.as_nanos() + 1_000_000);
    }
}
