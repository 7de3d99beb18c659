// SPDX-License-Identifier: GPL-2.0

//! The rseq time slice extension.
//!
//! A thread that holds a lock asks not to be preempted: it sets a request in the control word of
//! its `struct rseq`. When an interrupt wants to reschedule it, the kernel may grant that: it turns
//! the request into a grant, postpones the reschedule, and arms a timer that bounds the grant to
//! some microseconds. The thread leaves its critical section and calls `rseq_slice_yield(2)`.
//!
//! This is one of two implementations; C's, in [`kernel/rseq.c`](srctree/kernel/rseq.c) and
//! [`include/linux/rseq_entry.h`](srctree/include/linux/rseq_entry.h), is the reference. Kconfig
//! selects one.
//!
//! # One grant, from the interrupt to the yield
//!
//! 1. The exit path finds a reschedule due. The gate in
//!    [`include/linux/rseq_slice.h`](srctree/include/linux/rseq_slice.h) lets it pass unless the
//!    thread was interrupted in user mode with the extension on. `grant::at_resched()` updates
//!    the control word and carries out what `state::Plan::judge()` says of it.
//! 2. For a grant, `timer::arm()` starts the timer of this CPU, and the system call entry work is
//!    set, all in one section with interrupts disabled.
//! 3. The thread runs on in user mode. If it is still there when the timer fires, or when anything
//!    else wants to reschedule, the gate leads to `grant::take_back()`, which revokes.
//! 4. If it makes a system call, `syscall::enter()` ends the grant, gives the CPU up and erases
//!    the control word.
//! 5. `rseq_slice_yield(2)` then returns what `task::Thread::take_yielded()` finds.
//!
//! A thread that is switched out in the kernel comes back through rseq's own update of user space,
//! which erases the control word and calls `grant::revoke()`. The gate at the end of the exit loop
//! catches what is left, a spent grant, and sends its thread through the loop again.
//!
//! What is not of the extension works as if there were none: a restartable sequence is aborted, and
//! an interrupted unlock of a robust futex completed, by `rseq_event::user_irq`, which stays set
//! until the thread leaves (`rseq_slice_clear_events()`).
//!
//! # Layers
//!
//! `abi` and `state` decide and are pure. `task` owns the thread's fields, `timer` the
//! timers, and `cpu` asks what the CPU has against grants; `grant`, `syscall` and `prctl` carry
//! decisions out. `glue.c` has what Rust cannot say. C enters through the functions below, and
//! through the callback of the timers.

use kernel::{
    bindings,
    interrupt::LocalInterruptEnabled,
    prelude::*,
    seq_file::SeqFile, //
};

mod abi;
mod cpu;
mod grant;
mod knobs;
mod prctl;
mod state;
mod stats;
mod syscall;
mod task;
mod timer;

use task::Thread;

const __LOG_PREFIX: &[u8] = b"rseq\0";

/// Decides on a reschedule that is due on the way to user mode.
///
/// Returns whether it is postponed. `ti_work` are the work flags of the thread, `deny` those that
/// forbid a grant.
///
/// # Safety
///
/// `curr` must be `current`, and interrupts must be enabled.
#[export]
unsafe extern "C" fn rseq_slice_grant(
    curr: *mut bindings::task_struct,
    ti_work: usize,
    deny: usize,
) -> bool {
    // SAFETY: By the requirements of this function.
    let (thread, irqs) = unsafe {
        (
            Thread::from_current(curr),
            LocalInterruptEnabled::assume_enabled(),
        )
    };

    grant::at_resched(thread, ti_work, deny, irqs)
}

/// Takes the grant of a thread back that is about to reschedule on the way to user mode.
///
/// # Safety
///
/// `curr` must be `current`, have a grant, and interrupts must be enabled.
#[export]
unsafe extern "C" fn rseq_slice_take_back(curr: *mut bindings::task_struct) {
    // SAFETY: By the requirements of this function.
    let thread = unsafe { Thread::from_current(curr) };

    grant::take_back(thread);
}

/// Revokes the grant of a thread whose control word rseq's update of user space just erased.
///
/// # Safety
///
/// `curr` must be `current`.
#[export]
unsafe extern "C" fn rseq_slice_revoke(curr: *mut bindings::task_struct) {
    // SAFETY: By the requirements of this function.
    let thread = unsafe { Thread::from_current(curr) };

    grant::revoke(thread);
}

/// Erases the control word of a thread that rseq could not update, and ends its grant.
///
/// # Safety
///
/// `curr` must be `current`, and interrupts must be enabled.
#[export]
unsafe extern "C" fn rseq_slice_erase_and_revoke(curr: *mut bindings::task_struct) {
    // SAFETY: By the requirements of this function.
    let thread = unsafe { Thread::from_current(curr) };

    grant::erase_and_revoke(thread);
}

/// Does the work at system call entry that a grant has asked for.
///
/// # Safety
///
/// To be called at system call entry with interrupts enabled.
#[export]
unsafe extern "C" fn rseq_syscall_enter_work(syscall: isize) {
    // SAFETY: By the requirements of this function.
    let irqs = unsafe { LocalInterruptEnabled::assume_enabled() };

    syscall::enter(&Thread::current(), syscall::classify(syscall), irqs);
}

/// Returns and forgets whether `rseq_slice_yield(2)` gave the CPU up inside a grant: 1 or 0.
///
/// # Safety
///
/// `curr` must be `current`.
#[export]
unsafe extern "C" fn rseq_slice_take_yielded(curr: *mut bindings::task_struct) -> c_long {
    // SAFETY: By the requirements of this function.
    let thread = unsafe { Thread::from_current(curr) };

    thread.take_yielded().into()
}

/// Handles `prctl(PR_RSEQ_SLICE_EXTENSION, arg2, arg3, 0, 0)`.
///
/// # Safety
///
/// Always safe to call; `#[export]` asks for `unsafe`.
#[export]
unsafe extern "C" fn rseq_slice_extension_prctl(arg2: usize, arg3: usize) -> c_int {
    match prctl::call(&Thread::current(), arg2, arg3) {
        Ok(value) => value,
        Err(error) => error.to_errno(),
    }
}

/// Takes out of a child's copy of the state what belongs to its parent.
///
/// # Safety
///
/// `child` must be a valid task that does not run yet.
#[export]
unsafe extern "C" fn rseq_slice_inherit(child: *mut bindings::task_struct) {
    // SAFETY: By the requirements of this function.
    unsafe { task::inherit(child) };
}

/// Accounts for the grant of a thread that exits.
///
/// # Safety
///
/// `curr` must be `current`.
#[export]
unsafe extern "C" fn rseq_slice_die(curr: *mut bindings::task_struct) {
    // SAFETY: By the requirements of this function.
    let thread = unsafe { Thread::from_current(curr) };

    grant::end(&thread, state::Ending::Died);
}

/// Sets the timers up.
///
/// # Safety
///
/// To be called once, before there is user space.
#[export]
unsafe extern "C" fn rseq_slice_init_timers() {
    // SAFETY: By the requirements of this function.
    unsafe { timer::init() };
}

/// Says in the boot log which implementation runs.
///
/// # Safety
///
/// Always safe to call; `#[export]` asks for `unsafe`.
#[export]
unsafe extern "C" fn rseq_slice_announce() {
    knobs::announce();
}

/// Shows the length of an extension in debugfs.
///
/// # Safety
///
/// `m` must be a valid `seq_file` that nobody else uses.
#[export]
unsafe extern "C" fn rseq_slice_length_show(m: *mut bindings::seq_file) {
    // SAFETY: By the requirements of this function.
    knobs::show_length(unsafe { SeqFile::from_raw(m) });
}

/// Sets the length of an extension to `nsecs` nanoseconds. Returns 0, or `-ERANGE` out of bounds.
///
/// # Safety
///
/// Always safe to call; `#[export]` asks for `unsafe`.
#[export]
unsafe extern "C" fn rseq_slice_length_store(nsecs: u32) -> c_int {
    match knobs::set_length(nsecs) {
        Ok(()) => 0,
        Err(error) => error.to_errno(),
    }
}
