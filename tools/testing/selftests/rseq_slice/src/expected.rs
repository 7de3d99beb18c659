// SPDX-License-Identifier: GPL-2.0

//! What the C implementation lacks or gets wrong.

use rseq_slice::Implementation;

use crate::case::Case;
use crate::kernel::Kernel;

/// Cases that fail on the C implementation, with the reason.
const C: &[(&str, &str)] = &[];

/// Why `case` is expected to fail on `kernel`, if it is.
pub(crate) fn excuse(case: &Case, kernel: &Kernel) -> Option<&'static str> {
    if kernel.implementation == Implementation::Rust {
        return None;
    }
    if case.name.ends_with(".bits") {
        return Some("C knows no BITS layout");
    }
    C.iter()
        .find(|(name, _)| case.name == *name)
        .map(|&(_, why)| why)
}
