// SPDX-License-Identifier: GPL-2.0

use super::{
    Delta,
    Instant,
    Monotonic, //
};
use crate::bindings;

impl Instant<Monotonic> {
    /// Gets the current time from a copy of the clock that any context may read, NMI included.
    ///
    /// Around an update of the clock the time may step back by a little; see
    /// `ktime_get_mono_fast_ns()` in
    /// [`kernel/time/timekeeping.c`](srctree/kernel/time/timekeeping.c).
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::time::{
    ///     Delta,
    ///     Instant,
    ///     Monotonic, //
    /// };
    ///
    /// let before = Instant::<Monotonic>::now();
    /// let fast = Instant::fast_now();
    ///
    /// assert!(fast - before > Delta::from_millis(-1));
    /// assert!(fast - before < Delta::from_secs(10));
    /// ```
    #[inline]
    pub fn fast_now() -> Self {
        // SAFETY: Reading the fast clock has no preconditions.
        let nanos = unsafe { bindings::ktime_get_mono_fast_ns() };

        // CAST: The clock starts at 0 with the boot and reaches `KTIME_MAX` 292 years later.
        // SAFETY: So the value is in the range from 0 to `KTIME_MAX`.
        unsafe { Self::from_ktime(nanos as bindings::ktime_t) }
    }

    /// Adds a time span. The result stays in the range from 0 to `KTIME_MAX`.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::time::{
    ///     Delta,
    ///     Instant, //
    /// };
    ///
    /// let now = Instant::fast_now();
    ///
    /// assert!(now.saturating_add(Delta::from_secs(1)) - now == Delta::from_secs(1));
    /// assert!(now.saturating_add(Delta::from_nanos(i64::MAX)) - now > Delta::from_secs(1));
    /// assert!(now.saturating_add(Delta::from_nanos(i64::MIN)) - now < Delta::from_nanos(0));
    /// ```
    #[inline]
    pub fn saturating_add(self, span: Delta) -> Self {
        let nanos = match self.inner.saturating_add(span.as_nanos()) {
            nanos if span.is_negative() => nanos.max(0),
            nanos => nanos,
        };

        // SAFETY: The value is in the range from 0 to `KTIME_MAX`, which is `i64::MAX`.
        unsafe { Self::from_ktime(nanos) }
    }
}
