// SPDX-License-Identifier: GPL-2.0

//! The timers that bound grants, one for each CPU.
//!
//! A timer is armed when a grant is made and cancelled when a system call ends it. It is not
//! cancelled when the grant ends otherwise: that costs more than an expiry for nothing, and the
//! context switch is no place for it. So a timer can outlive its grant, and fire while another
//! thread runs, or the same one without a grant. It does nothing then. A new grant on the CPU arms
//! it anew. CPU hotplug may have moved it to another CPU, where the thread that runs may have a
//! grant of its own: the callback looks for one that its own timer bounds.

use super::{
    state::Grant,
    stats::{self, Event},
    task::Thread,
};
use kernel::{
    define_per_cpu,
    impl_has_hr_timer,
    interrupt::LocalInterruptDisabled,
    preempt,
    prelude::*,
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

/// The timer of a CPU.
#[pin_data]
struct SliceTimer {
    #[pin]
    timer: HrTimer<Self>,
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
    /// revoked too. In the kernel the scheduler may come first and pick the thread again, which
    /// leaves no work for the way to user mode; so a flag of its own takes the thread there.
    #[inline]
    fn run(this: Pin<&Self>, _context: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        // SAFETY: The timer is of a hard mode, so this is interrupt context.
        let irq = unsafe { LocalInterruptDisabled::assume_disabled() };
        let thread = Thread::current();

        if thread.phase_bounded_by(this.get_ref(), irq).at_expiry() {
            stats::count(Event::Expired);
            thread.spend(irq);
            preempt::set_need_resched(irq);
            thread.visit_exit_loop(irq);
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
    // SAFETY: It takes a grant to use the timers first. The rest is the caller's promise.
    unsafe {
        TIMER.init(|_| {
            pin_init!(SliceTimer {
                timer <- HrTimer::new(),
            })
        })
    };
}

/// Bounds `grant`, which the current thread has begun in the same section with interrupts disabled:
/// the callback takes a thread in [`Phase::Granted`] that names the timer for who armed it.
///
/// [`Phase::Granted`]: super::state::Phase::Granted
#[inline]
pub(crate) fn arm(thread: &Thread, grant: Grant, irq: &LocalInterruptDisabled) {
    let timer = TIMER.this(irq);

    thread.bound_by(&raw const *timer, irq);
    StaticHrTimer::start(timer, Instant::from_nanos(grant.expires));
}

/// Cancels the timer of this CPU, whoever armed it.
///
/// The only grant that it may still bound is the current thread's: any other thread was switched
/// out since it got one here. If the callback is running, CPU hotplug has moved the timer, and it
/// does nothing: on this CPU it would be in an interrupt that has to end before the thread goes on.
#[inline]
pub(crate) fn cancel(guard: &preempt::Guard) {
    StaticHrTimer::try_to_cancel(TIMER.this(guard));
}
