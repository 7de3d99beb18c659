// SPDX-License-Identifier: GPL-2.0

use super::{HasHrTimer, HrTimer, HrTimerCallback, HrTimerMode};
use crate::{bindings, ffi::c_ulong, interrupt::LocalInterruptDisabled};
use core::pin::Pin;

/// What [`StaticHrTimer::try_to_cancel()`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryCancel {
    /// The timer was not queued.
    Inactive,
    /// The timer was queued, and is not any more.
    Cancelled,
    /// The callback is running, on another CPU or as the caller.
    Running,
}

/// A timer that lives as long as the kernel.
///
/// Since what holds the timer can never go away, nothing has to wait for the callback, and there is
/// no handle to keep: a timer can be started and left alone, from contexts that must not block.
///
/// # Safety
///
/// The callback and every `&'static Self` must stay valid as long as the timer may be queued or its
/// callback running. For code and data that are built in this is always so; a module has to cancel
/// its timers before it goes.
pub unsafe trait StaticHrTimer:
    HasHrTimer<Self> + for<'a> HrTimerCallback<Pointer<'a> = Pin<&'a Self>> + Sync + Sized + 'static
{
    /// Starts the timer, or restarts it if it is queued.
    ///
    /// Callable from any context but NMI.
    #[inline]
    fn start(self: Pin<&'static Self>, expires: <Self::TimerMode as HrTimerMode>::Expires) {
        // SAFETY: `self` is valid and lives forever.
        unsafe { <Self as HasHrTimer<Self>>::start(self.get_ref(), expires) };
    }

    /// Cancels the timer if its callback is not running.
    ///
    /// Never blocks. A timer that is pinned to the CPU of the caller, has not been moved by CPU
    /// hotplug since, and expires in hard interrupt context is never found [`TryCancel::Running`]
    /// by a thread with preemption disabled.
    ///
    /// Callable from any context but NMI.
    #[inline]
    fn try_to_cancel(self: Pin<&'static Self>) -> TryCancel {
        // SAFETY: `self` is valid.
        let timer = unsafe { Self::raw_get_timer(self.get_ref()) };

        // SAFETY: `timer` is valid, and initialized by the type invariants of `HrTimer`.
        match unsafe { bindings::hrtimer_try_to_cancel(HrTimer::raw_get(timer)) } {
            0 => TryCancel::Inactive,
            1 => TryCancel::Cancelled,
            _ => TryCancel::Running,
        }
    }
}

/// Programs the clock event device of this CPU if the interrupt being left has put that off.
///
/// `work` are the thread's work flags as read when the thread was leaving. The scheduler does the
/// same on its way in, so this is for whoever leaves to user mode instead of scheduling. Timers
/// that are started before this call cost no programming of their own.
///
/// Must not be called by the callback of a timer, nor below one: `work` tells of an interrupt that
/// is being left, and in a callback it still goes through the timers that the device is to be
/// programmed for.
///
/// Does nothing without `CONFIG_HRTIMER_REARM_DEFERRED`.
#[inline]
pub fn rearm_deferred(_irq: &LocalInterruptDisabled, work: c_ulong) {
    // SAFETY: Interrupts are disabled. Called too early, the function programs the device for what
    // is queued then, which is no matter of memory safety.
    unsafe { bindings::hrtimer_rearm_deferred_tif(work) };
}

#[cfg(CONFIG_RUST_CPU_LOCAL_KUNIT_TEST)]
#[macros::kunit_tests(rust_hrtimer_static)]
mod tests {
    use super::*;
    use crate::{
        define_per_cpu, preempt,
        prelude::*,
        sync::atomic::{Atomic, Relaxed},
        time::{
            delay::fsleep,
            hrtimer::{AbsolutePinnedHardMode, HrTimerCallbackContext, HrTimerRestart},
            Delta, Instant, Monotonic,
        },
    };

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

    // SAFETY: This is built in.
    unsafe impl StaticHrTimer for Alarm {}

    define_per_cpu! {
        // SAFETY: The test calls `init()` first.
        static ALARM: Alarm = unsafe { uninit };
    }

    /// Whether the slots are initialized: KUnit can run a test again.
    static READY: Atomic<bool> = Atomic::new(false);

    #[test]
    fn a_static_timer_fires_once_and_can_be_cancelled() {
        let millis = |ms| Instant::now() + Delta::from_millis(ms);

        if !READY.load(Relaxed) {
            // SAFETY: The static is `uninit`, and this happens once, before its only use.
            unsafe {
                ALARM.init(|_| {
                    pin_init!(Alarm {
                        timer <- HrTimer::new(),
                        rang: Atomic::new(0),
                    })
                })
            };
            READY.store(true, Relaxed);
        }
        let alarm = ALARM.this(&preempt::Guard::new());
        alarm.rang.store(0, Relaxed);

        assert_eq!(alarm.try_to_cancel(), TryCancel::Inactive);

        alarm.start(millis(10_000));
        assert_eq!(alarm.try_to_cancel(), TryCancel::Cancelled);
        assert_eq!(alarm.try_to_cancel(), TryCancel::Inactive);

        alarm.start(millis(10_000));
        alarm.start(millis(1));
        fsleep(Delta::from_millis(20));
        assert_eq!(alarm.rang.load(Relaxed), 1);
        assert_eq!(alarm.try_to_cancel(), TryCancel::Inactive);
    }
}
