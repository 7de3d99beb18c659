// SPDX-License-Identifier: GPL-2.0

//! The window between the look at the control word and the system call, instruction by instruction.
//!
//! A restartable sequence covers the window, so that the kernel tells whether it switched the thread
//! out there. Every instruction of the window changes a register: what the registers hold
//! at the abort tells where the interrupt came.

use anyhow::Result;
use rseq_slice_harness::Layout;

#[cfg(target_arch = "x86_64")]
use super::assembly::{SLICE_CTRL, function_with_sequence};
use super::setup::{Setup, grant_word, request_word};

/// The instructions of the window. An interrupt comes in front of one of them.
pub(crate) const INSTRUCTIONS: [&str; 5] = ["read", "test", "branch", "number", "syscall"];

/// What came of one walk through the window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk {
    /// There was a grant before the delay.
    pub(crate) obtained: bool,
    /// What the yield returned. `None`: the word showed no grant, and it was not called.
    pub(crate) yielded: Option<i64>,
    /// The thread was switched out in front of this one of the [`INSTRUCTIONS`].
    pub(crate) interrupted: Option<usize>,
}

/// What the window returns instead of the yield's result.
#[cfg(target_arch = "x86_64")]
const NO_GRANT: i64 = -1;
/// How often the window looks for an answer before it gives up.
#[cfg(target_arch = "x86_64")]
const SPINS: u64 = 2_000_000;
/// What the branch counts down from.
#[cfg(target_arch = "x86_64")]
const PASSES: u64 = 16;

#[cfg(target_arch = "x86_64")]
function_with_sequence!(
    "rseq_slice_window",
    [
        "push rbx",
        "mov rbx, rcx",
        "mov dword ptr [rdi + {ctrl}], edx",
        "mov ecx, {spins}",
        "7:",
        "mov eax, dword ptr [rdi + {ctrl}]",
        "cmp eax, edx",
        "jne 8f",
        "dec ecx",
        "jnz 7b",
        "8:",
        "mov edx, eax",
        "lea rax, [rip + 2b]",
        "mov qword ptr [rdi + {cs}], rax",
        "mov ecx, {passes}",
        // Two instructions per turn, and one more or less for an odd number.
        "mov rax, rbx",
        "shr rax",
        "jnc 9f",
        "nop",
        "9:",
        "dec rax",
        "jnz 9b",
        "3:",
        "mov eax, dword ptr [rdi + {ctrl}]",
        "test eax, esi",
        "loope 10f",
        "4:",
        "mov eax, r8d",
        "syscall",
        "5:",
        "pop rbx",
        "ret",
        "10:",
        "mov rax, {no_grant}",
        "pop rbx",
        "ret",
        ".long {signature}",
        "6:",
        "pushfq",
        "pop r10",
        "mov qword ptr [r9], 1",
        "mov qword ptr [r9 + 8], rax",
        "mov qword ptr [r9 + 16], r10",
        "mov qword ptr [r9 + 24], rcx",
        "mov ecx, {passes}",
        // Go on where the word has been read already; if not, where it is.
        "test eax, eax",
        "jz 3b",
        "jmp 4b",
    ],
    ctrl = const SLICE_CTRL,
    spins = const SPINS,
    passes = const PASSES,
    no_grant = const NO_GRANT,
);

/// Requests, waits for the answer, lets `delay` more instructions pass and enters the window. There
/// is no other system call in between.
#[cfg(target_arch = "x86_64")]
pub(crate) fn walk(setup: &Setup, layout: Layout, delay: u64) -> Result<Walk> {
    use rseq_slice_harness::abi::NR_RSEQ_SLICE_YIELD;

    /// At the abort. `rax` is 0 before the read, then the word, then the number of the call; the
    /// test clears the zero flag that the delay has set; the branch counts `rcx` down.
    #[derive(Default)]
    #[repr(C)]
    struct Registers {
        aborted: u64,
        rax: u64,
        flags: u64,
        rcx: u64,
    }

    #[repr(C)]
    struct Answer {
        yielded: i64,
        word: u64,
    }

    unsafe extern "C" {
        fn rseq_slice_window(
            area: *const rseq_slice_harness::Area,
            granted: u64,
            requested: u64,
            delay: u64,
            number: u64,
            registers: *mut Registers,
        ) -> Answer;
    }

    const ZERO_FLAG: u64 = 1 << 6;

    let number = u64::try_from(NR_RSEQ_SLICE_YIELD)?;
    let mut registers = Registers::default();
    // SAFETY: The area is the thread's own and registered with that signature; the function keeps
    // to the calling convention, and its one system call touches nothing but the area.
    let answer = unsafe {
        rseq_slice_window(
            setup.area(),
            u64::from(grant_word(layout)),
            u64::from(request_word(layout)),
            delay.max(4),
            number,
            &raw mut registers,
        )
    };
    let interrupted = (registers.aborted != 0).then_some(match registers {
        Registers { rax: 0, .. } => 0,
        Registers { rax, .. } if rax == number => 4,
        Registers { rcx, .. } if rcx != PASSES => 3,
        Registers { flags, .. } if flags & ZERO_FLAG == 0 => 2,
        _ => 1,
    });
    Ok(Walk {
        obtained: answer.word == u64::from(grant_word(layout)),
        yielded: (answer.yielded != NO_GRANT).then_some(answer.yielded),
        interrupted,
    })
}

/// Requests, waits for the answer, lets `delay` more instructions pass and enters the window. There
/// is no other system call in between.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn walk(_: &Setup, _: Layout, _: u64) -> Result<Walk> {
    Err(crate::case::Skip("knows no instructions of this architecture".into()).into())
}
