// SPDX-License-Identifier: GPL-2.0

//! Functions in assembly that restartable sequences are part of.

/// Offsets in the area.
#[cfg(target_arch = "x86_64")]
pub(super) const CPU_ID: usize = 4;
#[cfg(target_arch = "x86_64")]
pub(super) const RSEQ_CS: usize = 8;
pub(super) const SLICE_CTRL: usize = 28;

/// Defines a function with a sequence in it, which lasts from label 3 to label 5 and is aborted to label
/// 6, in front of which there is `.long {signature}`. Its descriptor is at label 2.
#[cfg(target_arch = "x86_64")]
macro_rules! function_with_sequence {
    ($name:literal, [$($line:literal),* $(,)?], $($operands:tt)*) => {
        std::arch::global_asm!(
            concat!(".pushsection .data.rel.ro.", $name, ", \"aw\""),
            ".balign 32",
            "2:",
            ".long 0, 0",
            ".quad 3f, 5f - 3f, 6f",
            ".popsection",
            concat!(".pushsection .text.", $name, ", \"ax\""),
            concat!(".globl ", $name),
            concat!(".type ", $name, ", @function"),
            concat!($name, ":"),
            $($line,)*
            concat!(".size ", $name, ", . - ", $name),
            ".popsection",
            cs = const $crate::support::assembly::RSEQ_CS,
            signature = const rseq_slice_harness::abi::SIGNATURE,
            $($operands)*
        );
    };
}

#[cfg(target_arch = "x86_64")]
pub(super) use function_with_sequence;
