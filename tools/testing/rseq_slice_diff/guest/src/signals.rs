// SPDX-License-Identifier: GPL-2.0

//! Signal handlers of the programs.

use std::mem;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use nix::unistd::{getpid, gettid};
use rseq_slice_diff_program::arg::{Handler, Signal};
use rseq_slice_harness::abi::NR_RSEQ_SLICE_YIELD;

use crate::area::{self, WORD, outcome};
use crate::shared::shared;

/// The exit status of a process whose handler for `SIGSEGV` does not help, and of one whose handler is
/// to end it.
const STILL_FAULTS: i32 = 99;
const DONE: i32 = 98;
/// So many times is `SIGSEGV` handled.
const PATIENCE: u32 = 3;

static FOR_USER: AtomicU32 = AtomicU32::new(0);
static FOR_SEGV: AtomicU32 = AtomicU32::new(0);
static SEGVS: AtomicU32 = AtomicU32::new(0);

const fn number(signal: Signal) -> i32 {
    match signal {
        Signal::User => libc::SIGUSR1,
        Signal::Segv => libc::SIGSEGV,
        Signal::Kill => libc::SIGKILL,
    }
}

/// Clears what was counted in the process that this one was forked from.
pub(crate) fn start() {
    SEGVS.store(0, SeqCst);
}

/// Installs a handler.
pub(crate) fn handle(signal: Signal, with: Handler) -> i64 {
    let index = Handler::ALL.iter().position(|&other| other == with);
    let index = index.unwrap_or_default() as u32;
    match signal {
        Signal::User => FOR_USER.store(index, SeqCst),
        Signal::Segv => FOR_SEGV.store(index, SeqCst),
        Signal::Kill => {}
    }
    // SAFETY: The structure is plain data, for which all zeros is valid.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
    let (number, old) = (number(signal), std::ptr::null_mut());
    // SAFETY: The structure lives through the call; the handler uses atomics and system calls only.
    outcome(unsafe { libc::sigaction(number, &raw const action, old) }.into())
}

extern "C" fn on_signal(signal: i32, info: *const libc::siginfo_t, _context: *const libc::c_void) {
    let (shared, page) = (shared(), area::mine());
    shared.handler_word.store(page.read(WORD), SeqCst);
    // SAFETY: The kernel provides the structure.
    shared.code.store(unsafe { (*info).si_code }, SeqCst);
    shared.totals.signals.fetch_add(1, SeqCst);
    let how = if signal == libc::SIGSEGV {
        if SEGVS.fetch_add(1, SeqCst) >= PATIENCE {
            // SAFETY: Ends the process.
            unsafe { libc::_exit(STILL_FAULTS) };
        }
        &FOR_SEGV
    } else {
        &FOR_USER
    };
    let result = match Handler::ALL[how.load(SeqCst) as usize] {
        Handler::Return => 0,
        // SAFETY: The call takes no argument.
        Handler::Yield => outcome(unsafe { libc::syscall(NR_RSEQ_SLICE_YIELD) }),
        // SAFETY: The call takes no argument.
        Handler::Getpid => i64::from(unsafe { libc::syscall(libc::SYS_getpid) } < 0),
        Handler::Request => {
            page.write(WORD, 1);
            0
        }
        Handler::Clear => {
            page.write(WORD, 0);
            0
        }
        // SAFETY: Ends the process.
        Handler::Exit => unsafe { libc::_exit(DONE) },
    };
    shared.handler_result.store(result, SeqCst);
}

/// Sends the calling thread a signal.
pub(crate) fn raise(signal: Signal) -> i64 {
    let (process, thread) = (getpid().as_raw(), gettid().as_raw());
    // SAFETY: The call takes no pointer.
    outcome(unsafe { libc::syscall(libc::SYS_tgkill, process, thread, number(signal)) })
}
