// SPDX-License-Identifier: GPL-2.0

//! Restartable sequences around what a step does.
//!
//! A sequence that was restarted is entered again. One that was not is held to a rule that needs no
//! other kernel to compare with: its thread was not switched out inside. The sequence itself looks at
//! what tells: the CPU, the counts of those who run only when the thread does not, and the calls of
//! membarrier(2) that have begun inside and are over.

use std::arch::asm;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use rseq_slice_harness::abi::SIGNATURE;
use rseq_slice_harness::clock::{ticks, ticks_in};

use crate::area::{Page, RSEQ_CS};
use crate::shared::{Totals, shared};

/// The record of a sequence that was entered.
#[repr(C)]
#[derive(Default)]
struct Look {
    restarted: u32,
    /// It ran to its end, although the thread was switched out inside.
    not_restarted: u32,
    /// The CPU, the sum of the counts and the membarrier calls at the start.
    cpu: u32,
    sum: u32,
    begun: u32,
    /// The changes of class at the start.
    classes: u32,
}

/// Runs some instructions as a restartable sequence of the area at `$area`.
///
/// Labels from 70 on are not theirs.
macro_rules! sequence {
    ($area:expr, $look:expr, [$($body:literal),* $(,)?], $($operands:tt)*) => {
        asm!(
            ".pushsection .data.rel.ro.rseq_slice_diff, \"aw\"",
            ".balign 32",
            "70:",
            ".long 0, 0",
            ".quad 71f, 72f - 71f, 73f",
            ".popsection",
            "lea rax, [rip + 70b]",
            "mov qword ptr [{area} + {cs}], rax",
            "71:",
            $($body,)*
            "72:",
            "mov qword ptr [{area} + {cs}], 0",
            "jmp 74f",
            // The signature is the operand of an undefined instruction.
            ".byte 0x0f, 0xb9, 0x3d",
            ".long {signature}",
            "73:",
            "mov dword ptr [{look} + {restarted}], 1",
            "74:",
            area = in(reg) $area,
            look = in(reg) $look,
            cs = const RSEQ_CS,
            signature = const SIGNATURE,
            restarted = const offset_of!(Look, restarted),
            $($operands)*
        )
    };
}

/// The same, with a look before and after the instructions. These may change `rax`, `rcx` and `rdx`.
///
/// Where a program drops the memory of its area, the pointer to the sequence is lost, and no rule holds.
/// A thread on another CPU than 0 runs beside the competitors.
macro_rules! watched_sequence {
    ($area:expr, $look:expr, [$($body:literal),* $(,)?], $($operands:tt)*) => {
        sequence!($area, $look, [
            "mov eax, dword ptr [{totals} + {first}]",
            "add eax, dword ptr [{totals} + {second}]",
            "add eax, dword ptr [{totals} + {signals}]",
            "mov dword ptr [{look} + {sum}], eax",
            "mov eax, dword ptr [{totals} + {begun}]",
            "mov dword ptr [{look} + {known}], eax",
            "rdtscp",
            "mov dword ptr [{look} + {cpu}], ecx",
            $($body,)*
            "rdtscp",
            "cmp dword ptr [{look} + {cpu}], ecx",
            "jne 76f",
            "mov eax, dword ptr [{totals} + {over}]",
            "sub eax, dword ptr [{look} + {known}]",
            "jg 76f",
            "test ecx, 0xfff",
            "jnz 77f",
            "mov eax, dword ptr [{totals} + {first}]",
            "add eax, dword ptr [{totals} + {second}]",
            "add eax, dword ptr [{totals} + {signals}]",
            "cmp eax, dword ptr [{look} + {sum}]",
            "je 77f",
            "76:",
            "lea rax, [rip + 70b]",
            "cmp qword ptr [{area} + {cs}], rax",
            "jne 77f",
            "mov dword ptr [{look} + {not_restarted}], 1",
            "77:",
        ],
        totals = in(reg) &raw const shared().totals,
        first = const offset_of!(Totals, competitors),
        second = const offset_of!(Totals, competitors) + size_of::<AtomicU32>(),
        signals = const offset_of!(Totals, signals),
        begun = const offset_of!(Totals, barriers_begun),
        over = const offset_of!(Totals, barriers_over),
        sum = const offset_of!(Look, sum),
        known = const offset_of!(Look, begun),
        cpu = const offset_of!(Look, cpu),
        not_restarted = const offset_of!(Look, not_restarted),
        out("rax") _, out("rcx") _, out("rdx") _,
        $($operands)*)
    };
}

/// Notes the result of a sequence. Returns whether it has to be entered again.
fn was_restarted(look: &Look) -> bool {
    shared().not_restarted.fetch_add(look.not_restarted, SeqCst);
    shared().totals.restarts.fetch_add(look.restarted, SeqCst);
    look.restarted != 0
}

/// A word whose change ends a wait, and what it held.
struct Watched {
    word: *const u32,
    value: u32,
}

impl Watched {
    fn new(word: *const u32) -> Self {
        // SAFETY: The callers name words that live, or whose access is to kill the process.
        let value = unsafe { word.read_volatile() };
        Self { word, value }
    }
}

/// Waits inside of a sequence until `watched` has changed, somebody ran, a class was changed, or the
/// counter shows `deadline`, then stores a byte.
fn wait(page: &Page, deadline: u64, watched: &Watched, to: *mut u8) {
    let (area, mut look) = (page.area(), Look::default());
    // SAFETY: The words live; the area is ours, and where it is not the process is killed. At a
    // restart nothing is changed but what is declared to be.
    unsafe {
        watched_sequence!(area, &raw mut look, [
            "mov eax, dword ptr [{totals} + {classes}]",
            "mov dword ptr [{look} + {known_classes}], eax",
            "2:",
            "pause",
            "cmp dword ptr [{watched}], {value:e}",
            "jne 3f",
            "mov eax, dword ptr [{totals} + {classes}]",
            "cmp eax, dword ptr [{look} + {known_classes}]",
            "jne 3f",
            "mov eax, dword ptr [{totals} + {first}]",
            "add eax, dword ptr [{totals} + {second}]",
            "add eax, dword ptr [{totals} + {signals}]",
            "cmp eax, dword ptr [{look} + {sum}]",
            "jne 3f",
            "rdtsc",
            "shl rdx, 32",
            "or rax, rdx",
            "cmp rax, {deadline}",
            "jb 2b",
            "3:",
            "mov byte ptr [{to}], 1",
        ],
        classes = const offset_of!(Totals, classes),
        known_classes = const offset_of!(Look, classes),
        watched = in(reg) watched.word,
        value = in(reg) watched.value,
        deadline = in(reg) deadline,
        to = in(reg) to,
        options(nostack));
    }
    was_restarted(&look);
}

/// Waits inside of sequences while `going` says so and for at most `nanos`. It is asked after each
/// restart, and when something has changed that `wait` looks at. Returns whether
/// `going` ended it.
pub(crate) fn wait_while(
    page: &Page,
    nanos: u64,
    word: *const u32,
    mut going: impl FnMut() -> bool,
) -> bool {
    let (deadline, mut nothing) = (ticks() + ticks_in(nanos), 0);
    loop {
        // The look at the word comes first, so that no change is missed.
        let watched = Watched::new(word);
        if !going() {
            return true;
        }
        if ticks() >= deadline {
            return false;
        }
        wait(page, deadline, &watched, &raw mut nothing);
    }
}

/// Waits for `nanos` inside of sequences, and stores a byte in each before it ends.
pub(crate) fn wait_and_store(page: &Page, nanos: u64, to: *mut u8) {
    let (deadline, same) = (ticks() + ticks_in(nanos), 0);
    while ticks() < deadline {
        wait(page, deadline, &Watched::new(&raw const same), to);
    }
}

/// Stores a byte inside of a sequence.
pub(crate) fn store(page: &Page, to: *mut u8) {
    loop {
        let (area, mut look) = (page.area(), Look::default());
        // SAFETY: The area is ours, and where it or `to` is not accessible the process is killed, as
        // intended. At a restart nothing is changed but what is declared to be.
        unsafe {
            watched_sequence!(area, &raw mut look, ["mov byte ptr [{to}], 1"],
                to = in(reg) to, options(nostack));
        }
        if !was_restarted(&look) {
            return;
        }
    }
}

/// Executes an undefined instruction inside of a sequence.
pub(crate) fn undefined(page: &Page) {
    let (area, mut look) = (page.area(), Look::default());
    // SAFETY: The kernel sends a signal.
    unsafe {
        sequence!(area, &raw mut look, ["ud2"], out("rax") _, options(nostack));
    }
    was_restarted(&look);
}

/// Executes a breakpoint instruction inside of a sequence.
pub(crate) fn breakpoint(page: &Page) {
    let (area, mut look) = (page.area(), Look::default());
    // SAFETY: The kernel sends a signal.
    unsafe {
        sequence!(area, &raw mut look, ["int3"], out("rax") _, options(nostack));
    }
    was_restarted(&look);
}

/// Makes a system call inside of a sequence, which `rseq_debug` takes for a violation.
///
/// # Safety
///
/// As for the call.
pub(crate) unsafe fn call(page: &Page, number: libc::c_long, arguments: [usize; 4]) -> i64 {
    loop {
        let (area, mut look) = (page.area(), Look::default());
        let result: i64;
        // SAFETY: The area is ours, and where it is not the process is killed. At a restart nothing is
        // changed but what is declared to be. The caller vouches for the call, which is not the last
        // instruction, because after that the thread would be outside.
        unsafe {
            sequence!(area, &raw mut look, ["mov rax, {number}", "syscall", "nop"],
                number = in(reg) number,
                in("rdi") arguments[0], in("rsi") arguments[1], in("rdx") arguments[2], in("r10") arguments[3],
                out("rax") result, out("rcx") _, out("r11") _, options(nostack));
        }
        if !was_restarted(&look) {
            return result;
        }
    }
}
