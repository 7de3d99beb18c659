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
    percpu::PerCpuRef,
    time::ClockSource, //
};
use core::pin::Pin;

/// A timer in static per-CPU data.
///
/// # Why there is no handle
///
/// The other timers of this module are started through a handle, which cancels the timer and waits
/// for its callback when it is dropped: the timer must not outlive the memory that it is in. Static
/// per-CPU data is built in and never goes away, so there is nothing to wait for, and a handle
/// would have no owner. Such a timer is also started from contexts where nothing may block, and
/// the thread that starts it may be gone when it fires.
///
/// # Examples
///
/// ```
/// use core::mem::MaybeUninit;
/// use kernel::{
///     define_per_cpu,
///     impl_has_hr_timer,
///     prelude::*,
///     sync::atomic::{
///         Atomic,
///         Full, //
///     },
///     time::{
///         hrtimer::{
///             AbsolutePinnedHardMode,
///             HrTimer,
///             HrTimerCallback,
///             HrTimerCallbackContext,
///             HrTimerRestart, //
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
/// # // KUnit can run a test again.
/// # static READY: Atomic<bool> = Atomic::new(false);
/// # if !READY.xchg(true, Full) {
/// // SAFETY: This is the only call, and nothing has used `ALARMS` before.
/// unsafe { ALARMS.init(|| pin_init!(Alarm { timer <- HrTimer::new() })) };
/// # }
/// // SAFETY: `init()` has returned.
/// let alarm = unsafe { ALARMS.assume_init() }.this_cpu();
///
/// alarm.start(Instant::now() + Delta::from_secs(10));
/// assert!(alarm.try_to_cancel());
/// assert!(!alarm.try_to_cancel());
/// ```
impl<T> PerCpuRef<T>
where
    T: HasHrTimer<T> + for<'a> HrTimerCallback<Pointer<'a> = Pin<&'a T>> + Sync,
{
    /// Starts the timer, or restarts it if it is queued.
    ///
    /// Callable from any context but NMI.
    #[inline]
    pub fn start(&self, expires: <T::TimerMode as HrTimerMode>::Expires) {
        // SAFETY: By the type invariants the timer neither moves nor goes away. Nor does its
        // callback: `T` is a type of built-in code, as its static is.
        unsafe { <T as HasHrTimer<T>>::start(self.get().get_ref(), expires) };
    }

    /// Cancels the timer unless its callback is running.
    ///
    /// Returns whether the timer was queued. Never blocks. With preemption disabled, the callback
    /// cannot be running if the timer is pinned to its CPU, CPU hotplug has not moved the timer,
    /// and it expires in hard interrupt context.
    ///
    /// Callable from any context but NMI.
    #[inline]
    pub fn try_to_cancel(&self) -> bool {
        // SAFETY: The timer is valid by the type invariants.
        let timer = unsafe { T::raw_get_timer(self.get().get_ref()) };

        // SAFETY: `timer` is valid, and initialized by the type invariants of `HrTimer`.
        unsafe { bindings::hrtimer_try_to_cancel(HrTimer::raw_get(timer)) == 1 }
    }
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
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     sched::set_need_resched,
    ///     time::hrtimer::{
    ///         HardHrTimerMode,
    ///         HasHrTimer,
    ///         HrTimerCallbackContext, //
    ///     }, //
    /// };
    ///
    /// fn preempt<T>(context: &HrTimerCallbackContext<'_, T>)
    /// where
    ///     T: HasHrTimer<T>,
    ///     T::TimerMode: HardHrTimerMode,
    /// {
    ///     set_need_resched(context.interrupts_disabled());
    /// }
    /// ```
    #[inline]
    pub fn interrupts_disabled(&self) -> &LocalInterruptDisabled {
        // SAFETY: By the type invariants this is the callback of a timer, and such a timer's
        // callback runs in hard interrupt context.
        unsafe { LocalInterruptDisabled::assume_disabled() }
    }
}

#[cfg(CONFIG_RUST_PERCPU_HRTIMER_KUNIT_TEST)]
#[macros::kunit_tests(rust_hrtimer_per_cpu)]
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

    define_per_cpu!(ALARMS: MaybeUninit<Alarm> = MaybeUninit::uninit());

    /// Whether the slots are initialized: KUnit can run a test again.
    static READY: Atomic<bool> = Atomic::new(false);

    /// The alarm of this CPU, which has not rung.
    fn alarm() -> PerCpuRef<Alarm> {
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
    fn a_timer_that_is_restarted_fires_once() {
        let alarm = alarm();

        alarm.start(in_millis(10_000));
        alarm.start(in_millis(1));
        fsleep(Delta::from_millis(20));
        assert_eq!(alarm.rang.load(Relaxed), 1);
        assert!(!alarm.try_to_cancel());
    }

    #[test]
    fn a_timer_is_cancelled_once() {
        let alarm = alarm();

        alarm.start(in_millis(10_000));
        assert!(alarm.try_to_cancel());
        assert!(!alarm.try_to_cancel());
        assert_eq!(alarm.rang.load(Relaxed), 0);
    }

    #[test]
    fn a_section_with_interrupts_disabled_holds_a_timer_off() {
        let cpu = CpuGuard::new();
        let alarm = alarm();
        // SAFETY: KUnit runs tests with interrupts enabled, and no other token lives.
        let mut irqs = unsafe { LocalInterruptEnabled::assume_enabled() };

        let rang_inside = irqs.with_disabled(|_irq| {
            alarm.start(in_millis(1));
            udelay(Delta::from_micros(900));
            udelay(Delta::from_micros(900));
            alarm.rang.load(Relaxed)
        });
        udelay(Delta::from_micros(900));
        let rang_after = alarm.rang.load(Relaxed);
        drop(cpu);

        assert_eq!((rang_inside, rang_after), (0, 1));
    }
}
