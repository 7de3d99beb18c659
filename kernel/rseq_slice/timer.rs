// SPDX-License-Identifier: GPL-2.0

//! The timers that bound grants, one for each CPU.
//!
//! A timer is armed when a grant is made and cancelled when a system call ends it. It is not
//! cancelled when the grant ends otherwise: that costs more than an expiry for nothing, and the
//! context switch is no place for it. So a timer can outlive its grant, and fire while another
//! thread or another grant runs, after CPU hotplug even on another CPU. It does nothing then.

use super::{
    state::Grant,
    stats::{self, Event},
    task::Thread,
};
use kernel::{
    bindings,
    define_per_cpu,
    impl_has_hr_timer,
    interrupt::LocalInterruptDisabled,
    preempt,
    prelude::*,
    sync::atomic::{Atomic, Relaxed},
    time::{
        hrtimer::{
            AbsolutePinnedHardMode,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerRestart,
            StaticHrTimer, //
        },
        Instant,
        Monotonic, //
    }, //
};

/// The timer of a CPU and the thread that armed it.
///
/// `owner` is only compared: the thread may be gone.
#[pin_data]
struct SliceTimer {
    #[pin]
    timer: HrTimer<Self>,
    owner: Atomic<*mut bindings::task_struct>,
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for SliceTimer {
        mode: AbsolutePinnedHardMode<Monotonic>, field: self.timer
    }
}

// SAFETY: This is built in.
unsafe impl StaticHrTimer for SliceTimer {}

define_per_cpu! {
    // SAFETY: `init()` below comes before any grant.
    static TIMER: SliceTimer = unsafe { uninit };
}

impl HrTimerCallback for SliceTimer {
    type Pointer<'a> = Pin<&'a Self>;

    /// Asks for a reschedule if the interrupted thread runs on the grant that armed the timer.
    ///
    /// On the way to user mode the grant is revoked then, and at system call entry it counts as
    /// revoked too. In the kernel the scheduler may come first and pick the thread again; that the
    /// thread enters the exit loop all the same, and with it the gate, takes a flag of its own.
    #[inline]
    fn run(this: Pin<&Self>, _context: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        // SAFETY: The timer is of a hard mode, so this is interrupt context.
        let irq = unsafe { LocalInterruptDisabled::assume_disabled() };
        let thread = Thread::current();
        let owner = this.owner.load(Relaxed) == thread.as_ptr()
            && core::ptr::eq(this.get_ref(), TIMER.this(irq).get_ref());

        // CAST: An `Instant` is not negative.
        let at = this.timer.expires().as_nanos() as u64;

        if owner && thread.phase().at_expiry(thread.expires(), at) {
            stats::count(Event::Expired);
            thread.spend(irq);
            preempt::set_need_resched(irq);
            thread.visit_exit_loop();
        }

        HrTimerRestart::NoRestart
    }
}

/// Sets the timers of all CPUs up.
///
/// # Safety
///
/// To be called once, before any thread can get a grant.
pub(crate) unsafe fn init() {
    // SAFETY: Nobody but a thread with a grant uses the timers. The rest is the caller's promise.
    unsafe {
        TIMER.init(|_| {
            pin_init!(SliceTimer {
                timer <- HrTimer::new(),
                owner: Atomic::new(core::ptr::null_mut()),
            })
        })
    };
}

/// Bounds `grant`, which `thread` just got.
#[inline]
pub(crate) fn arm(thread: &Thread, grant: Grant, irq: &LocalInterruptDisabled) {
    let slot = TIMER.this(irq);

    slot.owner.store(thread.as_ptr(), Relaxed);
    StaticHrTimer::start(slot, Instant::from_nanos(grant.expires));
}

/// Cancels the timer of this CPU if `thread` was the last to arm it.
///
/// The callback of a timer that this CPU armed cannot be running: that would be in an interrupt
/// that has to end before the thread goes on.
#[inline]
pub(crate) fn cancel(thread: &Thread, guard: &preempt::Guard) {
    let slot = TIMER.this(guard);

    if slot.owner.load(Relaxed) == thread.as_ptr() {
        StaticHrTimer::try_to_cancel(slot);
    }
}
