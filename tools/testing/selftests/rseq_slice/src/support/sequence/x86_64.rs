// SPDX-License-Identifier: GPL-2.0

//! The instructions of a sequence, and how the list of steps is handed to them.

use rseq_slice_harness::Area;

use super::{SPIN, STAMP, STORE, Step, TOUCH, UNTIL, WAIT_WHILE};
use crate::support::assembly::{CPU_ID, function_with_sequence};

/// How the function says that a sequence ended.
pub(super) const DONE: u64 = 1;
pub(super) const ABORTED: u64 = 2;
pub(super) const NOT_RESTARTED: u64 = 3;
pub(super) const ELSEWHERE: u64 = 4;

/// What the function takes.
#[repr(C)]
pub(super) struct Program {
    pub(super) steps: *const u64,
    pub(super) watched: *const u64,
    pub(super) committed: *mut u64,
    pub(super) cpu: u64,
    pub(super) call: i64,
}

/// What the function gives.
#[derive(Default)]
#[repr(C)]
pub(super) struct Answer {
    pub(super) how: u64,
    pub(super) next: usize,
    pub(super) called: i64,
}

unsafe extern "C" {
    /// Runs the steps of a program as one sequence of the area.
    pub(super) fn rseq_slice_sequence(
        area: *const Area,
        program: *const Program,
        answer: *mut Answer,
    );
    /// An instruction, not a function.
    safe fn rseq_slice_sequence_probed();
}

/// The addresses of the function that runs sequences, and of the instruction in it that probes are put on.
pub(crate) fn probe_addresses() -> [usize; 2] {
    let run: unsafe extern "C" fn(_, _, _) = rseq_slice_sequence;
    let inside: extern "C" fn() = rseq_slice_sequence_probed;
    [run as usize, inside as usize]
}

// The last instruction of the sequence is the store in front of label 5. An abort changes nothing
// but the instruction pointer.
function_with_sequence!(
    "rseq_slice_sequence",
    [
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "mov r12, [rsi]",
        "mov r9, [rsi + 8]",
        "mov r13, [rsi + 16]",
        "mov r10, [rsi + 24]",
        "mov r14, [rsi + 32]",
        "mov rsi, rdx",
        "lea rax, [rip + 2b]",
        "mov qword ptr [rdi + {cs}], rax",
        "3:",
        "cmp dword ptr [rdi + {cpu}], r10d",
        "jne 38f",
        "mov r8, [r9]",
        "20:",
        "mov rax, [r12]",
        "mov rbx, [r12 + 8]",
        "mov rcx, [r12 + 16]",
        "mov rbp, [r12 + 24]",
        "add r12, {size}",
        "cmp eax, {store}",
        "je 21f",
        "cmp eax, {touch}",
        "je 22f",
        "cmp eax, {spin}",
        "je 23f",
        "cmp eax, {wait_while}",
        "je 24f",
        "cmp eax, {stamp}",
        "je 25f",
        "cmp eax, {until}",
        "jne 29f",
        "add rcx, [rbx]",
        // A pause lets the other CPUs run, and takes long where instructions are counted.
        "26:",
        "inc r11d",
        "test r11b, 15",
        "jnz 28f",
        "pause",
        "28:",
        "rdtsc",
        "shl rdx, 32",
        "or rax, rdx",
        "cmp rax, rcx",
        "jb 26b",
        "jmp 20b",
        "21:",
        "mov dword ptr [rbx], ecx",
        "jmp 20b",
        "22:",
        "mov byte ptr [rbx], 1",
        "jmp 20b",
        "23:",
        "dec rcx",
        "jnz 23b",
        "jmp 20b",
        "24:",
        "rdtsc",
        "shl rdx, 32",
        "or rax, rdx",
        "add rbp, rax",
        "27:",
        "inc r11d",
        "test r11b, 15",
        "jnz 32f",
        "pause",
        "32:",
        "cmp dword ptr [rbx], ecx",
        "jne 20b",
        "rdtsc",
        "shl rdx, 32",
        "or rax, rdx",
        "cmp rax, rbp",
        "jb 27b",
        "jmp 20b",
        "25:",
        "rdtsc",
        "shl rdx, 32",
        "or rax, rdx",
        "mov [rbx], rax",
        "jmp 20b",
        "29:",
        // Probes are put here. The kernel emulates the instruction, so that it is never stepped over
        // outside of the sequence.
        ".globl rseq_slice_sequence_probed",
        "rseq_slice_sequence_probed:",
        "nop",
        "cmp dword ptr [rdi + {cpu}], r10d",
        "jne 37f",
        "cmp [r9], r8",
        "jne 37f",
        "inc r8",
        "mov [r13], r8",
        "5:",
        "test r14, r14",
        "jz 36f",
        "mov rax, r14",
        "syscall",
        "mov [rsi + 16], rax",
        "36:",
        "mov eax, {done}",
        "39:",
        "mov qword ptr [rdi + {cs}], 0",
        "mov [rsi], rax",
        "mov [rsi + 8], r12",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        "37:",
        "mov eax, {not_restarted}",
        "jmp 39b",
        "38:",
        "mov eax, {elsewhere}",
        "jmp 39b",
        ".long {signature}",
        "6:",
        "mov eax, {aborted}",
        "jmp 39b",
    ],
    cpu = const CPU_ID,
    size = const Step::SIZE,
    store = const STORE,
    touch = const TOUCH,
    spin = const SPIN,
    wait_while = const WAIT_WHILE,
    stamp = const STAMP,
    until = const UNTIL,
    done = const DONE,
    not_restarted = const NOT_RESTARTED,
    elsewhere = const ELSEWHERE,
    aborted = const ABORTED,
);
