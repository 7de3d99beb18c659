// SPDX-License-Identifier: GPL-2.0

//! Per-CPU sums that threads add to in restartable sequences, with a request pending.
//!
//! The addition takes as long as an extension does. A thread that goes on with it although another
//! has added to the same sum in between loses what the other has added.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use rseq_slice_harness::Area;
#[cfg(target_arch = "x86_64")]
use rseq_slice_harness::abi::SIGNATURE;

use super::scene::BOTH_CPUS;

/// One sum, in a cache line of its own.
#[derive(Default)]
#[repr(C, align(64))]
struct Sum(AtomicU64);

/// The sums of all CPUs that tests run on.
#[derive(Default)]
#[repr(C)]
pub(crate) struct Sums([Sum; BOTH_CPUS.len()]);

/// How one addition goes.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// What to store in the control word at the start. 0 requests nothing.
    pub(crate) request: u32,
    /// How often to look for an answer, about a nanosecond each.
    pub(crate) looks: u32,
    /// Turns of a loop between the answer and the commit.
    pub(crate) work: u32,
}

/// Offsets in the area.
#[cfg(target_arch = "x86_64")]
const CPU_ID: usize = 4;
#[cfg(target_arch = "x86_64")]
const RSEQ_CS: usize = 8;
#[cfg(target_arch = "x86_64")]
const SLICE_CTRL: usize = 28;

#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".pushsection .data.rel.ro.rseq_slice_add, \"aw\"",
    ".balign 32",
    "2:",
    ".long 0, 0",
    ".quad 3f, 7f - 3f, 8f",
    ".popsection",
    ".pushsection .text.rseq_slice_add, \"ax\"",
    ".globl rseq_slice_add",
    ".type rseq_slice_add, @function",
    "rseq_slice_add:",
    "lea rax, [rip + 2b]",
    "mov qword ptr [rdi + {cs}], rax",
    "3:",
    "mov eax, dword ptr [rdi + {cpu}]",
    "shl rax, 6",
    "add rsi, rax",
    "mov r9, qword ptr [rsi]",
    "mov dword ptr [rdi + {ctrl}], edx",
    "4:",
    "cmp dword ptr [rdi + {ctrl}], edx",
    "jne 5f",
    "dec ecx",
    "jnz 4b",
    "5:",
    "dec r8d",
    "jnz 5b",
    // Probes are put here. The kernel emulates the instruction, so that it is never stepped over
    // outside of the sequence.
    ".globl rseq_slice_add_probed",
    "rseq_slice_add_probed:",
    "nop",
    "inc r9",
    "mov qword ptr [rsi], r9",
    "7:",
    "mov qword ptr [rdi + {cs}], 0",
    "mov eax, 1",
    "ret",
    ".long {signature}",
    "8:",
    "xor eax, eax",
    "ret",
    ".size rseq_slice_add, . - rseq_slice_add",
    ".popsection",
    cpu = const CPU_ID,
    ctrl = const SLICE_CTRL,
    cs = const RSEQ_CS,
    signature = const SIGNATURE,
);

#[cfg(target_arch = "x86_64")]
unsafe extern "C" {
    fn rseq_slice_add(
        area: *const Area,
        sums: *const Sums,
        request: u32,
        looks: u32,
        work: u32,
    ) -> bool;
    /// An instruction, not a function.
    safe fn rseq_slice_add_probed();
}

/// The addresses of the function that adds, and of the instruction in it that probes are put on.
#[cfg(target_arch = "x86_64")]
pub(crate) fn probed() -> [usize; 2] {
    let add: unsafe extern "C" fn(_, _, _, _, _) -> _ = rseq_slice_add;
    let inside: extern "C" fn() = rseq_slice_add_probed;
    [add as usize, inside as usize]
}

impl Sums {
    /// Adds 1 to the sum of the CPU, in a restartable sequence. Returns whether that was not aborted.
    ///
    /// The control word is the caller's to look at afterwards: the request may be there still, and a
    /// signal aborts the sequence but does not end a grant.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn add(&self, area: &Area, pace: Pace) -> bool {
        let Pace {
            request,
            looks,
            work,
        } = pace;
        // SAFETY: The area is the calling thread's own and registered with that signature; the
        // sequence ends with one store, to the sum of a CPU on which tests run.
        unsafe { rseq_slice_add(area, self, request, looks.max(1), work.max(1)) }
    }

    /// Expects the sums to come to `added`.
    pub(crate) fn ensure(&self, added: u64) -> Result<()> {
        let total: u64 = self.0.iter().map(|sum| sum.0.load(Ordering::Relaxed)).sum();
        ensure!(
            total == added,
            "torn sequences: {added} additions come to {total}"
        );
        Ok(())
    }
}
