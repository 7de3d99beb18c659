// SPDX-License-Identifier: GPL-2.0

//! The vDSO's unlock of a robust futex.

use std::fs;
use std::mem;
use std::ops::Range;
use std::slice;
use std::sync::atomic::{AtomicU32, AtomicU64};

use anyhow::{Context, Result};
use object::{Object, ObjectSymbol};

use crate::case::Skip;

const SYMBOL: &str = "__vdso_futex_robust_list64_try_unlock";

/// Takes the lock, the id of the thread that has it, and where the pending operation is noted.
type TryUnlock = unsafe extern "C" fn(*const AtomicU32, u32, *const AtomicU64) -> u32;

/// The function that unlocks, then clears the pending operation.
pub(super) struct Unlock {
    function: TryUnlock,
    /// From the first instruction after the lock is released to the end of the one that clears it.
    pub(super) section: Range<usize>,
}

impl Unlock {
    pub(super) fn find() -> Result<Self> {
        let image = image()?;
        let file = object::File::parse(image).context("the vDSO is no ELF file")?;
        let symbol = file
            .dynamic_symbols()
            .find(|symbol| symbol.name() == Ok(SYMBOL))
            .ok_or_else(|| Skip(format!("the vDSO has no {SYMBOL}")))?;
        // CAST: The kernel places the vDSO in memory, and its addresses count from its start.
        let (start, size) = (symbol.address() as usize, symbol.size() as usize);
        let code = image.get(start..start + size).context(SYMBOL)?;
        let section = section(code).context("unknown instructions in the vDSO")?;
        let address = image.as_ptr().addr() + start;
        // SAFETY: The symbol is a function of that type.
        let function = unsafe { mem::transmute::<*const u8, TryUnlock>(code.as_ptr()) };
        Ok(Self {
            function,
            section: section.start + address..section.end + address,
        })
    }

    /// Releases `lock` if `thread` has it, then stores 0 to `pending`. Returns whether it had it.
    pub(super) fn try_unlock(&self, lock: &AtomicU32, thread: u32, pending: &AtomicU64) -> bool {
        // SAFETY: Both words live through the call, which accesses nothing else.
        unsafe { (self.function)(lock, thread, pending) == thread }
    }
}

/// The vDSO of this process.
fn image() -> Result<&'static [u8]> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    let range = maps
        .lines()
        .find(|line| line.ends_with("[vdso]"))
        .and_then(|line| line.split_once(' '))
        .and_then(|(range, _)| range.split_once('-'));
    let (start, end) = range.ok_or_else(|| Skip("there is no vDSO".into()))?;
    let start = usize::from_str_radix(start, 16)?;
    let len = usize::from_str_radix(end, 16)? - start;
    let start = std::ptr::with_exposed_provenance(start);
    // SAFETY: The kernel has mapped it readable, and nobody unmaps or changes it.
    Ok(unsafe { slice::from_raw_parts(start, len) })
}

/// What stands between the `cmpxchg` and the end of the jump over the store, as offsets.
fn section(code: &[u8]) -> Option<Range<usize>> {
    const JNE: u8 = 0x75;
    let (at, over) = code
        .windows(5)
        .enumerate()
        .find_map(|(at, bytes)| match *bytes {
            [0x0f, 0xb1, _, JNE, over] => Some((at, usize::from(over))),
            _ => None,
        })?;
    let start = at + 3;
    Some(start..start + 2 + over)
}
