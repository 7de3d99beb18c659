// SPDX-License-Identifier: GPL-2.0

//! Sections in signal handlers.

use std::arch::asm;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Result, anyhow, ensure};
use rseq_slice::{begin, end, support};

use super::start_bare;
use crate::competitor::{Competitor, at_rest, compute, grants};
use crate::runner::Case;
use crate::situation::Situation;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("every_instruction", at_every_instruction),
        Case::new("small_stack", on_a_small_stack),
    ]
}

/// How many signals come before those whose handlers have a section.
static SKIPPED: AtomicU32 = AtomicU32::new(0);
/// How many had one.
static HANDLED: AtomicU32 = AtomicU32::new(0);
/// Rounds that the handler's section takes.
static LENGTH: AtomicU32 = AtomicU32::new(0);

extern "C" fn handler(_: i32) {
    let skipped = SKIPPED.load(Ordering::Relaxed);
    if skipped > 0 {
        SKIPPED.store(skipped - 1, Ordering::Relaxed);
        return;
    }
    let token = begin();
    HANDLED.fetch_add(1, Ordering::Relaxed);
    compute(LENGTH.load(Ordering::Relaxed));
    end(token);
}

fn install_handler(signal: i32, flags: i32) -> Result<()> {
    // SAFETY: A structure of plain numbers, for which 0 is a value.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = flags;
    // SAFETY: The handler may run at any time.
    let result = unsafe { libc::sigaction(signal, &action, null_mut()) };
    ensure!(
        result == 0,
        "sigaction: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}

/// Runs `code` with a `SIGTRAP` after each instruction.
#[inline(never)]
fn step_through(code: impl FnOnce()) {
    const TRAP_FLAG: u64 = 1 << 8;
    // SAFETY: Sets the processor's trap flag; the signal has a handler.
    unsafe { asm!("pushfq", "or qword ptr [rsp], {flag}", "popfq", flag = const TRAP_FLAG) };
    code();
    // SAFETY: Clears it.
    unsafe {
        asm!("pushfq", "and qword ptr [rsp], {flag}", "popfq", flag = const !TRAP_FLAG as i32)
    };
}

/// Handlers with a section after each instruction of set-up but the first few: how many those are is
/// different in each thread, so that the first of those sections is at every place.
fn at_every_instruction(situation: Situation) -> Result<()> {
    start_bare(situation)?;
    install_handler(libc::SIGTRAP, 0)?;
    let _competitor = Competitor::start()?;
    for skipped in 0.. {
        let thread = thread::spawn(move || {
            SKIPPED.store(skipped, Ordering::Relaxed);
            HANDLED.store(0, Ordering::Relaxed);
            step_through(|| end(begin()));
            ensure!(
                support() == Ok(situation.area),
                "after {skipped} signals: {:?}",
                support()
            );
            at_rest()?;
            if skipped % 16 == 0 { grants(1) } else { Ok(()) }
        });
        thread
            .join()
            .map_err(|_| anyhow!("the thread panicked"))??;
        if HANDLED.load(Ordering::Relaxed) == 0 {
            ensure!(skipped > 100, "set-up is over after {skipped} instructions");
            return Ok(());
        }
    }
    Ok(())
}

/// A handler sets its thread up, and has its grants, on a stack that is hardly larger than what the
/// kernel stores there.
fn on_a_small_stack(situation: Situation) -> Result<()> {
    const SIGNAL: i32 = libc::SIGUSR1;
    start_bare(situation)?;
    install_handler(SIGNAL, libc::SA_ONSTACK)?;
    let _competitor = Competitor::start()?;
    let thread = thread::spawn(move || {
        let stack = SmallStack::new()?;
        let send = || {
            // SAFETY: The signal has a handler.
            unsafe { libc::raise(SIGNAL) };
        };
        send();
        ensure!(support() == Ok(situation.area), "{:?}", support());
        at_rest()?;
        // Handlers in which grants are found, the first of which looks for a filter.
        LENGTH.store(1000, Ordering::Relaxed);
        for _ in 0..3000 {
            send();
        }
        at_rest()?;
        drop(stack);
        grants(3)
    });
    thread.join().map_err(|_| anyhow!("the thread panicked"))?
}

/// An alternate signal stack, with an inaccessible page below.
struct SmallStack {
    memory: *mut libc::c_void,
    len: usize,
}

impl SmallStack {
    fn new() -> Result<Self> {
        const PAGE: usize = 4096;
        // SAFETY: The call takes no pointers.
        let least = unsafe { libc::getauxval(libc::AT_MINSIGSTKSZ) } as usize;
        ensure!(
            least > 0,
            "the kernel does not say how long a stack has to be"
        );
        // MINSIGSTKSZ of old leaves as much.
        let stack_len = least + 1024;
        let len = PAGE + stack_len.next_multiple_of(PAGE);
        let (access, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: Anywhere.
        let memory = unsafe { libc::mmap(null_mut(), len, access, flags, -1, 0) };
        ensure!(
            memory != libc::MAP_FAILED,
            "mmap: {}",
            std::io::Error::last_os_error()
        );
        // SAFETY: The page is ours.
        let result = unsafe { libc::mprotect(memory, PAGE, libc::PROT_NONE) };
        ensure!(result == 0, "mprotect: {}", std::io::Error::last_os_error());
        let stack = libc::stack_t {
            ss_sp: memory.wrapping_byte_add(PAGE),
            ss_flags: 0,
            ss_size: stack_len,
        };
        // SAFETY: The memory is mapped until the stack is taken away.
        let result = unsafe { libc::sigaltstack(&stack, null_mut()) };
        ensure!(
            result == 0,
            "sigaltstack: {}",
            std::io::Error::last_os_error()
        );
        Ok(Self { memory, len })
    }
}

impl Drop for SmallStack {
    fn drop(&mut self) {
        let none = libc::stack_t {
            ss_sp: null_mut(),
            ss_flags: libc::SS_DISABLE,
            ss_size: 0,
        };
        // SAFETY: No handler runs.
        unsafe { libc::sigaltstack(&none, null_mut()) };
        // SAFETY: Nobody uses the memory any more.
        unsafe { libc::munmap(self.memory, self.len) };
    }
}
