// SPDX-License-Identifier: GPL-2.0

//! The rseq time slice extension.
//!
//! A thread that holds a lock asks not to be preempted: it sets a request in the control word of
//! its `struct rseq`. When an interrupt is about to reschedule the thread, the kernel may grant the
//! request: it turns the request into a grant, postpones the reschedule, and starts a timer that
//! bounds the grant to some microseconds. The thread leaves its critical section and calls
//! `rseq_slice_yield(2)`.
//!
//! The C implementation in [`kernel/rseq.c`](srctree/kernel/rseq.c) and
//! [`include/linux/rseq_entry.h`](srctree/include/linux/rseq_entry.h) is the reference. Kconfig
//! selects one of the two.
//!
//! # One grant, from the interrupt to the yield
//!
//! 1. The exit loop finds a reschedule due. The inline fast path in
//!    [`include/linux/rseq_slice.h`](srctree/include/linux/rseq_slice.h) returns unless the thread
//!    has the extension on and was interrupted in user mode. `grant::at_resched()` modifies
//!    the control word and acts on `state::Verdict`.
//! 2. For a grant, `grant::make()` sets the system call entry work, withdraws the reschedule and
//!    starts the timer of this CPU, all in one section with interrupts disabled.
//! 3. The thread goes on in user mode. If it is still there when the timer fires, or when another
//!    reschedule comes, the fast path calls `grant::keep()` if that is lazy and there is no other
//!    work, and otherwise `grant::revoke()`.
//! 4. If it makes a system call, `syscall::enter()` ends the grant, gives the CPU up and erases
//!    the control word.
//! 5. `rseq_slice_yield(2)` then returns what `task::Thread::take_yielded()` finds.
//!
//! A thread that is scheduled out in the kernel comes back through rseq's own update of user space,
//! which erases the control word and calls `grant::user_updated()`. At the end of the exit loop the
//! fast path finds a grant that is spent and not updated, and sends its thread through the loop
//! again.
//!
//! rseq aborts restartable sequences and completes interrupted unlocks of robust futexes as
//! without the extension. It does so only if `rseq_event::user_irq` is set, which therefore stays
//! set until the return to user mode (`rseq_slice_clear_events()`).
//!
//! The words are those of the glossary in
//! [`rseq_slice.rst`](srctree/Documentation/userspace-api/rseq_slice.rst).
//!
//! # Layers
//!
//! `abi` and `state` decide and are pure. `task` gives the fields of the thread their meaning,
//! `timer` has the timers. `grant`, `syscall` and `prctl` carry decisions out. C enters through the
//! functions below, and through the callback of the timers; `glue.c` has what Rust cannot
//! express.

use kernel::{
    bindings,
    interrupt::LocalInterruptEnabled,
    prelude::*,
    rseq::slice::{
        self,
        CurrentSlice,
        ExitToUser,
        SliceOwner, //
    }, //
};

mod abi;
mod grant;
mod prctl;
mod state;
mod syscall;
mod task;
mod timer;

use state::Call;
use task::Thread;
use timer::{
    SliceTimer,
    TIMERS, //
};

/// Decides on a reschedule that is due on the way to user mode.
///
/// Returns whether it is postponed. `ti_work` are the work flags of the thread, `deny` those that
/// deny a grant.
///
/// # Safety
///
/// To be called in the exit loop with interrupts enabled, after `rseq_slice_init_timers()`. `curr`
/// must be `current`, and `ti_work` the work flags that the loop read.
#[export]
unsafe extern "C" fn rseq_slice_grant(
    curr: *mut bindings::task_struct,
    ti_work: c_ulong,
    deny: c_ulong,
) -> bool {
    // SAFETY: `curr` is `current` by the safety requirements. This is the implementation, and a
    // timer bounds each grant.
    let thread = unsafe { CurrentSlice::from_raw(curr) };
    // SAFETY: This is the exit loop with its work flags by the safety requirements. A grant starts
    // a timer that requests the withdrawn reschedule.
    let exit = unsafe { ExitToUser::assume(ti_work) };
    // SAFETY: Interrupts are enabled by the safety requirements, and no other token lives.
    let irqs = unsafe { LocalInterruptEnabled::assume_enabled() };
    // SAFETY: `rseq_slice_init_timers()` was called before, by the safety requirements.
    let timers = unsafe { TIMERS.assume_init() };

    grant::at_resched(thread.into(), exit, deny, irqs, timers)
}

/// Postpones a lazy reschedule of a thread that has a grant and no other work on its way to user
/// mode. Returns whether that was possible.
///
/// # Safety
///
/// To be called in the exit loop with interrupts enabled. `curr` must be `current` and have a
/// grant, and `ti_work` must be the work flags that the loop read.
#[export]
unsafe extern "C" fn rseq_slice_keep(curr: *mut bindings::task_struct, ti_work: c_ulong) -> bool {
    // SAFETY: `curr` is `current` by the safety requirements. This is the implementation, and a
    // timer bounds each grant.
    let thread = unsafe { CurrentSlice::from_raw(curr) };
    // SAFETY: This is the exit loop with its work flags by the safety requirements. A reschedule
    // is withdrawn for a live grant only, whose timer requests it.
    let exit = unsafe { ExitToUser::assume(ti_work) };
    // SAFETY: Interrupts are enabled by the safety requirements, and no other token lives.
    let irqs = unsafe { LocalInterruptEnabled::assume_enabled() };

    grant::keep(thread.into(), exit, irqs)
}

/// Revokes the grant of a thread that is about to reschedule on its way to user mode.
///
/// # Safety
///
/// `curr` must be `current` and have a grant, and interrupts must be enabled.
#[export]
unsafe extern "C" fn rseq_slice_revoke(curr: *mut bindings::task_struct) {
    // SAFETY: `curr` is `current` by the safety requirements. This is the implementation, and a
    // timer bounds each grant.
    let thread = unsafe { CurrentSlice::from_raw(curr) };

    grant::revoke(thread.into());
}

/// Revokes the grant of a thread whose control word was erased by rseq's update of user space.
///
/// # Safety
///
/// `curr` must be `current` and have a grant.
#[export]
unsafe extern "C" fn rseq_slice_user_updated(curr: *mut bindings::task_struct) {
    // SAFETY: `curr` is `current` by the safety requirements. This is the implementation, and a
    // timer bounds each grant.
    let thread = unsafe { CurrentSlice::from_raw(curr) };

    grant::user_updated(thread.into());
}

/// Revokes the grant, if any, of a thread that gets a `SIGSEGV` because rseq could not update its
/// `struct rseq`.
///
/// # Safety
///
/// `curr` must be `current`, and interrupts must be enabled.
#[export]
unsafe extern "C" fn rseq_slice_update_failed(curr: *mut bindings::task_struct) {
    // SAFETY: `curr` is `current` by the safety requirements. This is the implementation, and a
    // timer bounds each grant.
    let thread = unsafe { CurrentSlice::from_raw(curr) };

    grant::update_failed(thread.into());
}

/// Does the work at system call entry that a grant sets.
///
/// # Safety
///
/// To be called at system call entry with interrupts enabled, after `rseq_slice_init_timers()`.
#[export]
unsafe extern "C" fn rseq_syscall_enter_work(syscall: c_long) {
    // SAFETY: Interrupts are enabled by the safety requirements, and no other token lives.
    let irqs = unsafe { LocalInterruptEnabled::assume_enabled() };
    // SAFETY: `rseq_slice_init_timers()` was called before, by the safety requirements.
    let timers = unsafe { TIMERS.assume_init() };
    // SAFETY: This is the implementation, and a timer bounds each grant.
    let owner = unsafe { SliceOwner::claim() };
    let call = if slice::is_yield(syscall) {
        Call::Yield
    } else {
        Call::Other
    };

    syscall::enter(&CurrentSlice::get(owner).into(), call, irqs, timers);
}

/// Returns and forgets whether `rseq_slice_yield(2)` gave the CPU up inside a grant: 1 or 0.
///
/// # Safety
///
/// `curr` must be `current`.
#[export]
unsafe extern "C" fn rseq_slice_take_yielded(curr: *mut bindings::task_struct) -> c_long {
    // SAFETY: `curr` is `current` by the safety requirements. This is the implementation, and a
    // timer bounds each grant.
    let thread = unsafe { CurrentSlice::from_raw(curr) };

    Thread::from(thread).take_yielded().into()
}

/// Handles `prctl(PR_RSEQ_SLICE_EXTENSION, arg2, arg3, 0, 0)`.
///
/// # Safety
///
/// Always safe to call; `#[export]` requires `unsafe`.
#[export]
unsafe extern "C" fn rseq_slice_extension_prctl(arg2: c_ulong, arg3: c_ulong) -> c_int {
    // SAFETY: This is the implementation, and a timer bounds each grant.
    let owner = unsafe { SliceOwner::claim() };

    match prctl::call(&CurrentSlice::get(owner).into(), arg2, arg3) {
        Ok(value) => value,
        Err(error) => error.to_errno(),
    }
}

/// Ends the grant, if any, of a thread that exits.
///
/// # Safety
///
/// `curr` must be `current`.
#[export]
unsafe extern "C" fn rseq_slice_exit(curr: *mut bindings::task_struct) {
    // SAFETY: `curr` is `current` by the safety requirements. This is the implementation, and a
    // timer bounds each grant.
    let thread = unsafe { CurrentSlice::from_raw(curr) };

    grant::thread_exit(thread.into());
}

/// Initializes the timers. Returns 0, as an initcall does.
///
/// # Safety
///
/// To be called once, before there is user space.
#[export]
unsafe extern "C" fn rseq_slice_init_timers() -> c_int {
    // SAFETY: This is the implementation, and a timer bounds each grant.
    let owner = unsafe { SliceOwner::claim() };

    // SAFETY: This is the only call, and nobody uses the timers before there is user space, by the
    // safety requirements.
    unsafe { TIMERS.init(|| SliceTimer::new(owner)) };
    0
}
