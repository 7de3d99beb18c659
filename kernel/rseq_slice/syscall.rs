// SPDX-License-Identifier: GPL-2.0

//! The end of a grant by a system call.

use super::{
    grant,
    state::{
        Call,
        Ending,
        Resched, //
    },
    task::Thread,
    timer::{
        self,
        SliceTimer, //
    }, //
};
use kernel::{
    interrupt::LocalInterruptEnabled,
    percpu::{
        CpuGuard,
        PerCpu, //
    },
    rseq::{
        self,
        slice::{
            CurrentSlice,
            SliceOwner, //
        }, //
    },
    sched::{
        cond_resched,
        set_need_resched, //
    }, //
};

/// The work at the entry of the first system call after a grant: after syscall user dispatch, and
/// before ptrace and seccomp.
///
/// If the grant has ended already, this only checks the control word, where that is checked, and
/// cancels the timer. May sleep.
pub(crate) fn enter(
    thread: &Thread,
    call: Call,
    irqs: LocalInterruptEnabled,
    timers: PerCpu<SliceTimer>,
) {
    thread.clear_syscall_work();

    if is_consistent(thread) {
        leave(thread, call, true, irqs, timers);
    } else {
        violation(thread.owner(), call, irqs, timers);
    }
}

/// Not inlined, and without `thread`, so that the path without a violation saves no registers.
#[cold]
#[inline(never)]
fn violation(
    owner: SliceOwner,
    call: Call,
    irqs: LocalInterruptEnabled,
    timers: PerCpu<SliceTimer>,
) {
    let thread = Thread::from(CurrentSlice::get(owner));

    thread.force_sigsegv();
    leave(&thread, call, false, irqs, timers);
}

/// Ends the grant, if it has not ended, and gives the CPU up. The control word is erased when the
/// thread runs again.
///
/// Compiled once for each value of `consistent`, on which most of the following depends.
#[inline(always)]
fn leave(
    thread: &Thread,
    call: Call,
    consistent: bool,
    mut irqs: LocalInterruptEnabled,
    timers: PerCpu<SliceTimer>,
) {
    let guard = CpuGuard::new();
    timer::cancel(timers, &guard);

    // No timer changes the phase after this. If it fired before, the reschedule that it requested
    // has happened, or happens when the guard is dropped.
    let Some((ending, resched)) = thread.phase().at_syscall(call, consistent) else {
        return;
    };
    grant::finish(thread, ending);
    if ending == Ending::Yielded {
        thread.set_yielded();
    }
    if resched == Resched::Due {
        irqs.with_disabled(set_need_resched);
    }

    // Reschedules, unless that is left to `cond_resched()`.
    drop(guard);
    cond_resched();

    if thread.slice_ctrl().put_user_u32(0).is_err() {
        thread.force_sigsegv();
    }
}

/// Whether the control word of the thread is consistent with the kernel's state, as far as that is
/// checked.
///
/// The word is not erased here: without a grant its content is up to user space.
fn is_consistent(thread: &Thread) -> bool {
    let layout = thread.mode().layout();
    let granted = thread.has_grant();
    let checked = layout.checked_at_entry(granted, rseq::debug_enabled());

    checked == 0
        || thread
            .slice_ctrl()
            .get_user_u32()
            .is_ok_and(|word| layout.is_consistent(word, granted, checked))
}
