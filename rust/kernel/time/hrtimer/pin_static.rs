// SPDX-License-Identifier: GPL-2.0

use super::{
    AbsolutePinnedHardMode,
    HasHrTimer,
    HrTimer,
    HrTimerCallback,
    HrTimerCallbackContext,
    HrTimerMode, //
};
use crate::{
    bindings,
    interrupt::LocalInterruptDisabled,
    time::ClockSource, //
};
use core::pin::Pin;

/// A timer that lives as long as the kernel.
///
/// # Why there is no handle
///
/// The other timers of this module are started through a handle, which cancels the timer and waits
/// for its callback when it is dropped: the timer must not outlive the memory that it is in. The
/// memory of a static never goes away, so there is nothing to wait for, and a handle would have no
/// owner. A static timer is also started from contexts where nothing may block, and the thread that
/// starts it may be gone when it fires.
///
/// # Safety
///
/// The callback and every `&'static Self` must stay valid as long as the timer may be queued or its
/// callback running. For code and data that are built in this always holds; a module would have to
/// cancel its timers before it is unloaded. [`impl_static_hr_timer!`](crate::impl_static_hr_timer)
/// implements the trait for the former and refuses the latter.
///
/// # Examples
///
/// ```
/// use core::mem::MaybeUninit;
/// use kernel::{
///     define_per_cpu,
///     impl_has_hr_timer,
///     impl_static_hr_timer,
///     prelude::*,
///     time::{
///         hrtimer::{
///             AbsolutePinnedHardMode,
///             HrTimer,
///             HrTimerCallback,
///             HrTimerCallbackContext,
///             HrTimerRestart,
///             StaticHrTimer, //
///         },
///         Delta,
///         Instant,
///         Monotonic, //
///     }, //
/// };
///
/// #[pin_data]
/// struct Alarm {
///     #[pin]
///     timer: HrTimer<Self>,
/// }
///
/// impl_has_hr_timer! {
///     impl HasHrTimer<Self> for Alarm {
///         mode: AbsolutePinnedHardMode<Monotonic>, field: self.timer
///     }
/// }
///
/// impl_static_hr_timer!(Alarm);
///
/// impl HrTimerCallback for Alarm {
///     type Pointer<'a> = Pin<&'a Self>;
///
///     fn run(_alarm: Pin<&Self>, _context: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
///         HrTimerRestart::NoRestart
///     }
/// }
///
/// define_per_cpu!(ALARMS: MaybeUninit<Alarm> = MaybeUninit::uninit());
///
/// // SAFETY: This is the first use, and there is one only.
/// unsafe { ALARMS.init(|| pin_init!(Alarm { timer <- HrTimer::new() })) };
/// // SAFETY: Initialized by the line above.
/// let alarm = unsafe { ALARMS.assume_init() }.this_cpu();
///
/// alarm.start_detached(Instant::now() + Delta::from_secs(10));
/// assert!(alarm.try_to_cancel());
/// ```
pub unsafe trait StaticHrTimer:
    HasHrTimer<Self> + for<'a> HrTimerCallback<Pointer<'a> = Pin<&'a Self>> + Sync + Sized + 'static
{
    /// Starts the timer, or restarts it if it is queued.
    ///
    /// Callable from any context but NMI.
    #[inline]
    fn start_detached(
        self: Pin<&'static Self>,
        expires: <Self::TimerMode as HrTimerMode>::Expires,
    ) {
        // SAFETY: `self` is valid and lives forever.
        unsafe { <Self as HasHrTimer<Self>>::start(self.get_ref(), expires) };
    }

    /// Cancels the timer unless its callback is running. Returns false if it is.
    ///
    /// Never blocks. The callback is never found running by a thread with preemption disabled if
    /// the timer is pinned to its CPU, CPU hotplug has not moved the timer, and it expires in hard
    /// interrupt context.
    ///
    /// Callable from any context but NMI.
    #[inline]
    fn try_to_cancel(self: Pin<&'static Self>) -> bool {
        // SAFETY: `self` is valid.
        let timer = unsafe { Self::raw_get_timer(self.get_ref()) };

        // SAFETY: `timer` is valid, and initialized by the type invariants of `HrTimer`.
        unsafe { bindings::hrtimer_try_to_cancel(HrTimer::raw_get(timer)) >= 0 }
    }
}

/// Implements [`StaticHrTimer`](crate::time::hrtimer::StaticHrTimer) for a type of built-in code.
///
/// In a module this does not compile.
#[macro_export]
macro_rules! impl_static_hr_timer {
    ($timer:ty) => {
        const _: () = assert!(
            !cfg!(MODULE),
            "a module can be unloaded before its timers fire"
        );

        // SAFETY: This is built in, and neither code nor statics of the kernel go away.
        unsafe impl $crate::time::hrtimer::StaticHrTimer for $timer {}
    };
}

/// A mode of timers whose callbacks run in hard interrupt context, also under `PREEMPT_RT`.
///
/// # Safety
///
/// [`HrTimerMode::C_MODE`] must contain `HRTIMER_MODE_HARD`.
pub unsafe trait HardHrTimerMode: HrTimerMode {}

// SAFETY: `C_MODE` is `HRTIMER_MODE_ABS_PINNED_HARD`.
unsafe impl<C: ClockSource> HardHrTimerMode for AbsolutePinnedHardMode<C> {}

impl<T> HrTimerCallbackContext<'_, T>
where
    T: HasHrTimer<T>,
    T::TimerMode: HardHrTimerMode,
{
    /// The proof that interrupts are disabled, as they are in hard interrupt context.
    #[inline]
    pub fn interrupts_disabled(&self) -> &LocalInterruptDisabled {
        // SAFETY: By the type invariants this is the callback of a timer, and such a timer's
        // callback runs in hard interrupt context.
        unsafe { LocalInterruptDisabled::assume_disabled() }
    }
}

#[cfg(CONFIG_RUST_STATIC_HRTIMER_KUNIT_TEST)]
#[macros::kunit_tests(rust_hrtimer_static)]
mod tests {
    use super::*;
    use crate::{
        define_per_cpu,
        interrupt::LocalInterruptEnabled,
        percpu::CpuGuard,
        prelude::*,
        sync::atomic::{
            Atomic,
            Relaxed, //
        },
        time::{
            delay::{
                fsleep,
                udelay, //
            },
            hrtimer::{
                AbsolutePinnedHardMode,
                HrTimerCallbackContext,
                HrTimerRestart, //
            },
            Delta,
            Instant,
            Monotonic, //
        }, //
    };
    use core::mem::MaybeUninit;

    #[pin_data]
    struct Alarm {
        #[pin]
        timer: HrTimer<Self>,
        rang: Atomic<i32>,
    }

    impl_has_hr_timer! {
        impl HasHrTimer<Self> for Alarm {
            mode: AbsolutePinnedHardMode<Monotonic>, field: self.timer
        }
    }

    impl HrTimerCallback for Alarm {
        type Pointer<'a> = Pin<&'a Self>;

        fn run(this: Pin<&Self>, _context: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
            this.rang.store(this.rang.load(Relaxed) + 1, Relaxed);
            HrTimerRestart::NoRestart
        }
    }

    impl_static_hr_timer!(Alarm);

    define_per_cpu!(ALARMS: MaybeUninit<Alarm> = MaybeUninit::uninit());

    /// Whether the slots are initialized: KUnit can run a test again.
    static READY: Atomic<bool> = Atomic::new(false);

    /// The alarm of this CPU, which has not rung.
    fn alarm() -> Pin<&'static Alarm> {
        if !READY.load(Relaxed) {
            // SAFETY: This happens once, before the only use.
            unsafe {
                ALARMS.init(|| {
                    pin_init!(Alarm {
                        timer <- HrTimer::new(),
                        rang: Atomic::new(0),
                    })
                })
            };
            READY.store(true, Relaxed);
        }
        // SAFETY: `init()` has returned.
        let alarm = unsafe { ALARMS.assume_init() }.this_cpu();
        alarm.rang.store(0, Relaxed);
        alarm
    }

    fn in_millis(millis: i64) -> Instant<Monotonic> {
        Instant::now() + Delta::from_millis(millis)
    }

    #[test]
    fn a_static_timer_fires_once() {
        let alarm = alarm();

        alarm.start_detached(in_millis(10_000));
        alarm.start_detached(in_millis(1));
        fsleep(Delta::from_millis(20));
        assert_eq!(alarm.rang.load(Relaxed), 1);
        assert!(alarm.try_to_cancel());
    }

    #[test]
    fn a_static_timer_that_is_cancelled_does_not_fire() {
        let alarm = alarm();

        alarm.start_detached(in_millis(5));
        assert!(alarm.try_to_cancel());
        fsleep(Delta::from_millis(20));
        assert_eq!(alarm.rang.load(Relaxed), 0);
    }

    #[test]
    fn a_timer_of_this_cpu_waits_for_the_end_of_a_section_without_interrupts() {
        let cpu = CpuGuard::new();
        let alarm = alarm();
        // SAFETY: KUnit runs tests with interrupts enabled.
        let mut irqs = unsafe { LocalInterruptEnabled::assume_enabled() };

        let irq = irqs.disable();
        alarm.start_detached(in_millis(1));
        udelay(Delta::from_micros(900));
        udelay(Delta::from_micros(900));
        let rang_inside = alarm.rang.load(Relaxed);
        drop(irq);
        udelay(Delta::from_micros(900));
        let rang_after = alarm.rang.load(Relaxed);
        drop(cpu);

        assert_eq!((rang_inside, rang_after), (0, 1));
    }
}
