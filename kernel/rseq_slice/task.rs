// SPDX-License-Identifier: GPL-2.0

//! The current thread as the slice extension sees it: the only place that touches
//! `task_struct::rseq`.
//!
//! The fields belong to the thread. The timer interrupt on its CPU reads them and lets a grant
//! expire, and the scheduler writes the event bits, so an access is a single volatile load or store
//! where interrupts are enabled. Of what is rseq's own nothing is written.

use super::{
    abi::{self, ByteOrder, Choice, Layout},
    state::{Grant, Phase},
};
use core::{
    mem::offset_of,
    ptr::{self, NonNull}, //
};
use kernel::{
    bindings,
    interrupt::LocalInterruptDisabled,
    types::NotThreadSafe,
    uaccess::UserPtr, //
};

const _: () = {
    assert!(abi::FLAG_AVAILABLE == bindings::rseq_cs_flags_RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE);
    assert!(abi::FLAG_ENABLED == bindings::rseq_cs_flags_RSEQ_CS_FLAG_SLICE_EXT_ENABLED);
    assert!(abi::PR_ENABLE as u32 == bindings::PR_RSEQ_SLICE_EXT_ENABLE);
    assert!(abi::PR_BITS as u32 == bindings::PR_RSEQ_SLICE_EXT_BITS);
    assert!(abi::PR_GET as u32 == bindings::PR_RSEQ_SLICE_EXTENSION_GET);
    assert!(abi::PR_SET as u32 == bindings::PR_RSEQ_SLICE_EXTENSION_SET);
    assert!(
        Layout::Bits.request(ByteOrder::NATIVE) == bindings::rseq_slice_ext_RSEQ_SLICE_EXT_REQUEST
    );
    assert!(
        Layout::Bits.granted(ByteOrder::NATIVE) == bindings::rseq_slice_ext_RSEQ_SLICE_EXT_GRANTED
    );
    assert!(offset_of!(bindings::rseq, flags) == 16);
    assert!(offset_of!(bindings::rseq, slice_ctrl) == 28);
};

/// Loads a field of a thread's `task_struct`.
macro_rules! load {
    ($thread:expr, $($field:tt)+) => {
        // SAFETY: The task is valid by the type invariants of `Thread`, and the field is only
        // written by the thread itself or by interrupts on its CPU.
        unsafe { (&raw const (*$thread.0.as_ptr()).$($field)+).read_volatile() }
    };
}

/// Stores to a field of a thread's `task_struct`.
macro_rules! store {
    ($thread:expr, $value:expr, $($field:tt)+) => {
        // SAFETY: The task is valid by the type invariants of `Thread`, and only the thread itself
        // and interrupts on its CPU write the field.
        unsafe { (&raw mut (*$thread.0.as_ptr()).$($field)+).write_volatile($value) }
    };
}

/// The thread that runs on this CPU, or that an interrupt on this CPU interrupted.
///
/// # Invariants
///
/// The pointer is `current`.
pub(crate) struct Thread(NonNull<bindings::task_struct>, NotThreadSafe);

impl Thread {
    /// Wraps the `current` that C passes.
    ///
    /// # Safety
    ///
    /// `curr` must be `current`.
    #[inline]
    pub(crate) unsafe fn from_current(curr: *mut bindings::task_struct) -> Self {
        // SAFETY: `current` is never null.
        let curr = unsafe { NonNull::new_unchecked(curr) };

        // INVARIANT: By the requirements of this function.
        Self(curr, NotThreadSafe)
    }

    /// Gets `current`.
    #[inline]
    pub(crate) fn current() -> Self {
        // SAFETY: The kernel always has a current task.
        unsafe { Self::from_current(bindings::get_current()) }
    }

    #[inline]
    fn as_ptr(&self) -> *mut bindings::task_struct {
        self.0.as_ptr()
    }

    /// What the thread chose.
    ///
    /// A grant is never left to a thread that chose [`Choice::OFF`].
    #[inline]
    pub(crate) fn choice(&self) -> Choice {
        Choice::from_enabled(load!(self, rseq.slice.state.__bindgen_anon_1.enabled))
    }

    /// Stores the choice of the thread.
    pub(crate) fn set_choice(&self, choice: Choice) {
        store!(
            self,
            choice.enabled(),
            rseq.slice.state.__bindgen_anon_1.enabled
        );
    }

    /// Whether the thread has a grant.
    #[inline]
    pub(crate) fn has_grant(&self) -> bool {
        load!(self, rseq.slice.state.__bindgen_anon_1.granted) != 0
    }

    /// Whether user space sees the grant of a thread that has one.
    #[inline]
    pub(crate) fn shows_grant(&self) -> bool {
        load!(self, rseq.slice.state.__bindgen_anon_1.granted) == SHOWN
    }

    /// What the thread is doing.
    #[inline]
    pub(crate) fn phase(&self) -> Phase {
        if self.has_grant() {
            self.phase_with_grant()
        } else {
            Phase::Idle
        }
    }

    /// The phase of a thread that has a grant, or had one until now.
    #[inline]
    pub(crate) fn phase_with_grant(&self) -> Phase {
        Phase::with_grant(load!(self, rseq.slice.switches), self.switches())
    }

    /// The phase of a thread that has a grant which `timer` bounds; [`Phase::Idle`] of any other.
    #[inline]
    pub(crate) fn phase_bounded_by<T>(
        &self,
        timer: *const T,
        _irq: &LocalInterruptDisabled,
    ) -> Phase {
        // SAFETY: The task is valid by the type invariants. Only the thread itself and interrupts
        // on its CPU write here, and neither runs while this does.
        let slice = unsafe { &(*self.as_ptr()).rseq.slice };

        if slice.timer == timer.cast() {
            Phase::with_grant(slice.switches, self.switches())
        } else {
            Phase::Idle
        }
    }

    /// Enters [`Phase::Granted`].
    ///
    /// Interrupts are disabled because a grant must not be seen without the timer that bounds it.
    /// A yield that nobody collected is forgotten: seccomp or a tracer skipped the system call.
    #[inline]
    pub(crate) fn begin(&self, grant: Grant, _irq: &LocalInterruptDisabled) {
        store!(self, grant.switches, rseq.slice.switches);
        store!(self, 0, rseq.slice.yielded);
        store!(self, SHOWN, rseq.slice.state.__bindgen_anon_1.granted);
    }

    /// Notes that `timer`, of which only the address counts, bounds the grant that has just begun.
    ///
    /// Interrupts are disabled until the timer is started: an expiry that is left of an older grant
    /// must not pass for this one's.
    #[inline]
    pub(crate) fn bound_by<T>(&self, timer: *const T, _irq: &LocalInterruptDisabled) {
        store!(self, timer.cast(), rseq.slice.timer);
    }

    /// Enters [`Phase::Spent`] without a switch.
    #[inline]
    pub(crate) fn spend(&self, _irq: &LocalInterruptDisabled) {
        store!(self, Grant::SPENT, rseq.slice.switches);
    }

    /// Notes that rseq's update of user space has erased the control word of a grant that goes on.
    #[inline]
    pub(crate) fn hide_grant(&self) {
        store!(self, HIDDEN, rseq.slice.state.__bindgen_anon_1.granted);
    }

    /// Enters [`Phase::Idle`].
    #[inline]
    pub(crate) fn end(&self) {
        // The timer first: it must not act on a grant that has ended.
        store!(self, ptr::null(), rseq.slice.timer);
        store!(self, 0, rseq.slice.state.__bindgen_anon_1.granted);
    }

    /// Leaves word for `rseq_slice_yield(2)` that it gave the CPU up.
    #[inline]
    pub(crate) fn set_yielded(&self) {
        store!(self, 1, rseq.slice.yielded);
    }

    /// Collects what [`Thread::set_yielded()`] left: 1, or 0 if that was nothing.
    #[inline]
    pub(crate) fn take_yielded(&self) -> u8 {
        let yielded = load!(self, rseq.slice.yielded);

        store!(self, 0, rseq.slice.yielded);
        yielded
    }

    /// How often the thread was switched out.
    #[inline]
    pub(crate) fn switches(&self) -> usize {
        // SAFETY: The task is valid by the type invariants. The thread itself counts, while it is
        // switched out, so nobody writes now.
        let (voluntary, involuntary) = unsafe {
            let task = self.as_ptr();
            ((*task).nvcsw, (*task).nivcsw)
        };

        voluntary.wrapping_add(involuntary)
    }

    /// Whether the thread was switched out since it was interrupted in user mode.
    #[inline]
    pub(crate) fn scheduled_out(&self) -> bool {
        load!(
            self,
            rseq.event
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .__bindgen_anon_1
                .sched_switch
        ) != 0
    }

    /// Whether the thread registered a `struct rseq`.
    pub(crate) fn is_registered(&self) -> bool {
        !load!(self, rseq.usrptr).is_null()
    }

    /// Whether the registered `struct rseq` is long enough to have a control word.
    pub(crate) fn has_ctrl(&self) -> bool {
        load!(self, rseq.event.__bindgen_anon_1.__bindgen_anon_1.has_rseq) > 1
    }

    /// The control word in user space.
    ///
    /// Some other address if [`Thread::has_ctrl()`] does not hold, which user access survives.
    #[inline]
    pub(crate) fn ctrl(&self) -> UserPtr {
        self.user_field(offset_of!(bindings::rseq, slice_ctrl))
    }

    /// The flags in user space.
    pub(crate) fn flags(&self) -> UserPtr {
        self.user_field(offset_of!(bindings::rseq, flags))
    }

    #[inline]
    fn user_field(&self, offset: usize) -> UserPtr {
        UserPtr::from_ptr(load!(self, rseq.usrptr).cast()).wrapping_byte_add(offset)
    }

    /// Routes the next system call through `rseq_syscall_enter_work()`.
    #[inline]
    pub(crate) fn watch_syscall(&self) {
        // SAFETY: The task is valid by the type invariants. The bit operation is atomic.
        unsafe { bindings::set_bit(SLICE_WORK, self.syscall_work()) };
    }

    /// Takes the detour out again.
    #[inline]
    pub(crate) fn unwatch_syscall(&self) {
        // SAFETY: As in `watch_syscall()`.
        unsafe { bindings::clear_bit(SLICE_WORK, self.syscall_work()) };
    }

    #[inline]
    fn syscall_work(&self) -> *mut usize {
        // SAFETY: The task is valid by the type invariants; this only computes an address.
        unsafe { &raw mut (*self.as_ptr()).thread_info.syscall_work }
    }

    /// Makes the thread enter the exit loop on its way to user mode, and with it come to
    /// `rseq_arm_slice_extension_timer()`.
    ///
    /// `TIF_RSEQ` is read on the way to user mode only. Without `rseq_event::sched_switch`, which a
    /// context switch sets along with it, it leads to no update of user space, and no event of the
    /// thread is lost: `rseq_slice_clear_events()` leaves `user_irq` alone, by which the base finds
    /// restartable sequences and futexes that were interrupted.
    #[inline]
    pub(crate) fn visit_exit_loop(&self, _irq: &LocalInterruptDisabled) {
        // SAFETY: The task is valid by the type invariants; this only computes an address.
        let flags = unsafe { &raw mut (*self.as_ptr()).thread_info.flags };

        // SAFETY: As in `watch_syscall()`.
        unsafe { bindings::set_bit(bindings::TIF_RSEQ as usize, flags) };
    }

    /// Sends the thread a `SIGSEGV` that it cannot block or ignore.
    #[cold]
    pub(crate) fn segv(&self) {
        // SAFETY: The signal number is valid, and `force_sig()` acts on `current`, which is this.
        unsafe { bindings::force_sig(bindings::SIGSEGV as i32) };
    }
}

/// `rseq_slice_state::granted` of a grant that the control word shows, or showed until now.
const SHOWN: u8 = 1;
/// `rseq_slice_state::granted` of a grant that rseq's update of user space has erased.
const HIDDEN: u8 = 2;

const SLICE_WORK: usize = bindings::syscall_work_bit_SYSCALL_WORK_BIT_SYSCALL_RSEQ_SLICE as usize;

/// Takes a live grant and a yield that waits to be collected out of the copy that a forked child
/// got of its parent's state.
///
/// # Safety
///
/// `child` must be a valid task that does not run yet.
pub(crate) unsafe fn inherit(child: *mut bindings::task_struct) {
    // SAFETY: The task is valid, and nobody else touches the state of a task that does not run.
    let slice = unsafe { &mut (*child).rseq.slice };

    slice.state.__bindgen_anon_1.granted = 0;
    slice.timer = ptr::null();
    slice.yielded = 0;
}
