// SPDX-License-Identifier: MIT OR Apache-2.0

#![doc = include_str!("../README.md")]
#![no_std]

pub mod abi;
mod policy;
mod section;
mod why;
#[doc(hidden)]
pub mod word;

/// Whether the target has the extension. Miri runs no assembly.
macro_rules! with_extension {
    ($($item:item)*) => {$(
        #[cfg(all(
            target_os = "linux",
            target_pointer_width = "64",
            any(
                target_arch = "x86_64",
                target_arch = "riscv64",
                target_arch = "s390x",
                target_arch = "loongarch64"
            ),
            not(miri)
        ))]
        $item
    )*};
}
macro_rules! without_extension {
    ($($item:item)*) => {$(
        #[cfg(not(all(
            target_os = "linux",
            target_pointer_width = "64",
            any(
                target_arch = "x86_64",
                target_arch = "riscv64",
                target_arch = "s390x",
                target_arch = "loongarch64"
            ),
            not(miri)
        )))]
        $item
    )*};
}

with_extension! {
    #[macro_use]
    mod arch;
    mod exit;
    mod real;
    mod setup;
    mod thread;
}
without_extension! {
    #[path = "none.rs"]
    mod thread;
}

pub use policy::{Exit, Policy, TooLate, set_policy};
pub use section::{Section, Token, begin, control_word, end, leave, section, support};
pub use why::{Area, Why};
