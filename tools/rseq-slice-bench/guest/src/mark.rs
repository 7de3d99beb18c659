// SPDX-License-Identifier: MIT OR Apache-2.0

//! Instructions that mark places for the plugin of the emulator.

use rseq_slice_bench_record::mark::{Mark, OPCODE};

macro_rules! functions {
    ($($(#[$doc:meta])* $name:ident: $mark:expr;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: A no-operation.
            unsafe {
                std::arch::asm!(
                    ".byte {}, {}, {}",
                    ".long {}",
                    const OPCODE[0],
                    const OPCODE[1],
                    const OPCODE[2],
                    const $mark.displacement(),
                    options(nostack, preserves_flags),
                );
            }
        }
    )*};
}

functions! {
    /// Opens a window.
    begin: Mark::Begin;
    /// Closes the window.
    end: Mark::End;
    /// Ends a group of windows.
    next: Mark::Next;
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use rseq_slice_bench_record::mark::LEN;

    /// The mark among the first instructions of a function.
    fn marks(function: fn()) -> Option<Mark> {
        let code = function as *const u8;
        // SAFETY: The code of the functions behind it follows, which nobody writes to.
        let code = unsafe { std::slice::from_raw_parts(code, 24) };
        code.windows(LEN).find_map(Mark::decode)
    }

    #[test]
    fn the_plugin_knows_the_instructions() {
        assert_eq!(marks(begin), Some(Mark::Begin));
        assert_eq!(marks(end), Some(Mark::End));
        assert_eq!(marks(next), Some(Mark::Next));
    }
}
