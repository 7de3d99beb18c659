// SPDX-License-Identifier: GPL-2.0

//! The end of a grant by a system call.

use super::{
    abi::ByteOrder,
    grant,
    knobs,
    state::{AtSyscall, Call, Ending},
    task::Thread,
    timer, //
};
use kernel::{
    bindings,
    interrupt::LocalInterruptEnabled,
    preempt, //
};

/// What a system call number means to a grant.
pub(crate) fn classify(syscall: isize) -> Call {
    // x32 has the numbers of x86-64, and a bit on top.
    #[cfg(CONFIG_X86_X32_ABI)]
    let syscall = syscall & !(bindings::__X32_SYSCALL_BIT as isize);

    if syscall == bindings::__NR_rseq_slice_yield as isize {
        Call::Yield
    } else {
        Call::Other
    }
}

/// The work at the entry of the first system call after a grant, before anything else of it.
///
/// The grant may have ended in the meantime; then only the control word is checked, if at all, and
/// the timer cancelled, which is nobody's then. May sleep.
pub(crate) fn enter(thread: &Thread, call: Call, irqs: LocalInterruptEnabled) {
    thread.unwatch_syscall();

    if is_truthful(thread) {
        leave(thread, call, true, irqs);
    } else {
        lie(call, irqs);
    }
}

#[cold]
#[inline(never)]
fn lie(call: Call, irqs: LocalInterruptEnabled) {
    let thread = Thread::current();

    thread.segv();
    leave(&thread, call, false, irqs);
}

/// Ends the grant, if it still lives, and gives the CPU up. The control word is erased when the
/// thread runs again.
///
/// Compiled once for each value of `truthful`, which decides most of what follows.
#[inline(always)]
fn leave(thread: &Thread, call: Call, truthful: bool, mut irqs: LocalInterruptEnabled) {
    let guard = preempt::Guard::new();
    timer::cancel(&guard);

    // From here on no timer changes the phase. If it fired before, the reschedule that it asked for
    // has taken place, or does so when the guard is dropped.
    match thread.phase().at_syscall(call, truthful) {
        AtSyscall::NoGrant => return,
        AtSyscall::GiveUp(ending) => {
            grant::end(thread, ending);
            if ending == Ending::Yielded {
                thread.set_yielded();
            }
            preempt::set_need_resched(irqs.disable().disabled());
        }
        AtSyscall::GaveUp(ending) => grant::end(thread, ending),
    }

    // Reschedules, unless that is left to `cond_resched()`.
    drop(guard);
    preempt::cond_resched();

    if thread.ctrl().put_u32(0).is_err() {
        thread.segv();
    }
}

/// Whether the control word of the thread agrees with the kernel, as far as that is checked.
///
/// Erasing the word is none of this function's business: where there is no grant, what user space
/// keeps in the word is its own affair.
fn is_truthful(thread: &Thread) -> bool {
    let layout = thread.choice().layout();
    if !layout.checked_at_entry(knobs::debug()) {
        return true;
    }

    let granted = thread.has_grant();
    thread
        .ctrl()
        .get_u32()
        .is_ok_and(|word| layout.truthful_at_entry(ByteOrder::NATIVE, word, granted))
}
