// SPDX-License-Identifier: GPL-2.0

//! The timers that bound grants, one for each CPU.
//!
//! A timer is started when a grant is made and cancelled when a system call ends it. It is not
//! cancelled when the grant ends otherwise: that would cost more than a timer that fires without
//! effect, and does not belong in the context switch. So a timer can outlive its grant, and fire
//! while another thread runs, or the same one without a grant. It does nothing then. A new grant on
//! the CPU restarts it. CPU hotplug may have moved it to another CPU, whose current thread may have
//! a grant of its own: the callback acts only on a grant that its own timer bounds.

use super::{
    state::Phase,
    task::Thread, //
};
use core::mem::MaybeUninit;
use kernel::{
    define_per_cpu,
    impl_has_hr_timer,
    percpu::{
        CpuGuard,
        PerCpu, //
    },
    prelude::*,
    rseq::{
        slice::{
            CurrentSlice,
            SliceOwner,
            SliceStat, //
        },
        trace, //
    },
    sched::set_need_resched,
    time::{
        hrtimer::{
            AbsolutePinnedHardMode,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerRestart, //
        },
        Monotonic, //
    }, //
};

/// The timer of a CPU.
#[pin_data]
pub(crate) struct SliceTimer {
    #[pin]
    timer: HrTimer<Self>,
    owner: SliceOwner,
}

impl SliceTimer {
    /// A timer that is not queued.
    pub(crate) fn new(owner: SliceOwner) -> impl PinInit<Self> {
        pin_init!(Self {
            timer <- HrTimer::new(),
            owner,
        })
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for SliceTimer {
        mode: AbsolutePinnedHardMode<Monotonic>, field: self.timer
    }
}

define_per_cpu!(
    /// The timers of all CPUs.
    pub(crate) TIMERS: MaybeUninit<SliceTimer> = MaybeUninit::uninit()
);

impl HrTimerCallback for SliceTimer {
    type Pointer<'a> = Pin<&'a Self>;

    /// Requests a reschedule if the interrupted thread runs on the grant that started the timer.
    ///
    /// The reschedule revokes the grant on the way to user mode. In the kernel the scheduler may
    /// come first and pick the thread again. No work is left for the way to user mode then, so the
    /// callback also makes the thread enter the exit loop.
    // Inline: an expiry takes four instructions less.
    #[inline]
    fn run(this: Pin<&Self>, context: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        let irq = context.interrupts_disabled();
        let thread = Thread::from(CurrentSlice::get(this.owner));

        if thread.phase_for_timer(this, irq) == Phase::Granted {
            SliceStat::Expired.inc();
            trace::expire(&thread);
            thread.spend(irq);
            set_need_resched(irq);
            thread.raise_work();
        }

        HrTimerRestart::NoRestart
    }
}

/// Cancels the timer of this CPU.
///
/// It bounds either a grant of the current thread or none: any other thread was scheduled out since
/// it got a grant here. The callback cannot be running on this CPU. If it is running on another
/// CPU, to which hotplug has moved the timer, it does nothing.
pub(crate) fn cancel(timers: PerCpu<SliceTimer>, _guard: &CpuGuard) {
    timers.this_cpu().try_to_cancel();
}
