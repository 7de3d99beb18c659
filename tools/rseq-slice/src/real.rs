// SPDX-License-Identifier: MIT OR Apache-2.0

//! The real kernel and process, for set-up.

use core::cell::UnsafeCell;
use core::ptr::NonNull;

use crate::Area;
use crate::abi::{
    AREA_LEN, CPU_ID_OFFSET, FLAGS_OFFSET, LEGACY_LEN, PR_RSEQ_SLICE_EXT_ENABLE,
    PR_RSEQ_SLICE_EXTENSION, PR_RSEQ_SLICE_EXTENSION_GET, PR_RSEQ_SLICE_EXTENSION_SET,
    REQUEST_OFFSET, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON, RSEQ_FLAG_UNREGISTER, SIGNATURE,
};
use crate::arch::{self, nr};
use crate::setup::{Kernel, LibcArea};

/// Offset in bytes of the word `cpu_id_start` in an area.
const CPU_ID_START_OFFSET: usize = 0;
/// Offset in bytes of `rseq_cs`, 64 bits, in an area.
const SEQUENCE_OFFSET: usize = 8;

/// A `struct rseq` of this crate.
#[repr(C, align(64))]
pub(crate) struct OwnArea(UnsafeCell<[u8; AREA_LEN as usize]>);

impl OwnArea {
    #[cfg(test)]
    const fn new() -> Self {
        Self(UnsafeCell::new([0; AREA_LEN as usize]))
    }

    fn as_ptr(&self) -> *mut u8 {
        self.0.get().cast()
    }
}

pub(crate) struct Real<'a> {
    own: &'a OwnArea,
    /// Address and length of the C library's area.
    libc: Option<(*mut u8, u32)>,
}

impl<'a> Real<'a> {
    pub(crate) fn new(own: &'a OwnArea) -> Self {
        Self { own, libc: libc() }
    }

    /// The address of the control word in an area.
    pub(crate) fn control_word(&self, area: Area) -> Option<NonNull<u8>> {
        NonNull::new(self.base(area).wrapping_add(REQUEST_OFFSET))
    }

    /// The address of an area.
    fn base(&self, area: Area) -> *mut u8 {
        match (area, self.libc) {
            (Area::Libc, Some((base, _))) => base,
            _ => self.own.as_ptr(),
        }
    }

    fn read(&self, area: Area, offset: usize) -> u32 {
        let field = self.base(area).wrapping_add(offset).cast::<u32>();
        // SAFETY: An aligned word of an area, each of which is at least 32 bytes long and stays.
        unsafe { field.read_volatile() }
    }

    fn rseq(&self, area: Area, flags: u32) -> Result<(), i32> {
        let len = match area {
            Area::Libc => LEGACY_LEN,
            _ => AREA_LEN,
        };
        let args = [
            self.base(area) as usize,
            len as usize,
            flags as usize,
            SIGNATURE as usize,
        ];
        // SAFETY: The area is `len` bytes of this thread's own memory, which stays as long as the
        // thread does.
        done(unsafe { arch::syscall(nr::RSEQ, args) }).map(drop)
    }
}

impl Kernel for Real<'_> {
    fn libc_area(&self) -> Option<LibcArea> {
        let (_, len) = self.libc?;
        let registered = self.read(Area::Libc, CPU_ID_OFFSET) <= i32::MAX as u32;
        registered.then_some(if len > LEGACY_LEN {
            LibcArea::Long
        } else {
            LibcArea::Legacy
        })
    }

    fn flags(&self, area: Area) -> u32 {
        self.read(area, FLAGS_OFFSET)
    }

    /// By its symbols, which an executable that it is linked into may not export, and by what it leaves
    /// in the area: a restartable sequence, or the bit that some versions set in the number of the CPU.
    fn has_tcmalloc(&self) -> bool {
        const CACHED: u32 = 1 << 31;
        let sequence = [SEQUENCE_OFFSET, SEQUENCE_OFFSET + 4];
        arch::has_tcmalloc()
            || sequence
                .iter()
                .any(|&half| self.read(Area::Libc, half) != 0)
            || self.read(Area::Libc, CPU_ID_START_OFFSET) & CACHED != 0
    }

    fn register(&self, area: Area) -> Result<(), i32> {
        self.rseq(
            area,
            match area {
                Area::Libc => 0,
                _ => RSEQ_FLAG_SLICE_EXT_DEFAULT_ON,
            },
        )
    }

    fn unregister(&self, area: Area) -> Result<(), i32> {
        self.rseq(area, RSEQ_FLAG_UNREGISTER)
    }

    fn get(&self) -> Result<usize, i32> {
        prctl(PR_RSEQ_SLICE_EXTENSION_GET, 0)
    }

    fn enable(&self) -> Result<(), i32> {
        prctl(PR_RSEQ_SLICE_EXTENSION_SET, PR_RSEQ_SLICE_EXT_ENABLE).map(drop)
    }
}

/// glibc 2.35 and newer, and other libraries with these symbols, say where their area is, relative to
/// the thread pointer, and how much of it is in use. The latter is 0 if they register none.
fn libc() -> Option<(*mut u8, u32)> {
    let (offset, size) = arch::libc_symbols()?;
    // SAFETY: A variable of the C library, initialized before threads run our code.
    let size = unsafe { size.read() };
    // SAFETY: A variable of the C library, initialized before threads run our code.
    let offset = unsafe { offset.read() };
    (size != 0).then(|| (arch::thread_pointer().wrapping_offset(offset), size))
}

fn prctl(operation: usize, mode: usize) -> Result<usize, i32> {
    // SAFETY: No argument of this operation is a pointer.
    done(unsafe { arch::syscall(nr::PRCTL, [PR_RSEQ_SLICE_EXTENSION, operation, mode, 0]) })
}

fn done(result: isize) -> Result<usize, i32> {
    usize::try_from(result).map_err(|_| -result as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(C, align(64))]
    struct Words([u32; 16]);

    #[test]
    fn restartable_sequences_are_taken_for_tcmalloc() {
        let has = |words: [u32; 4]| {
            let mut area = Words([0; 16]);
            area.0[..4].copy_from_slice(&words);
            let own = OwnArea::new();
            let kernel = Real {
                own: &own,
                libc: Some((area.0.as_mut_ptr().cast(), LEGACY_LEN)),
            };
            assert_eq!(kernel.libc_area(), Some(LibcArea::Legacy));
            kernel.has_tcmalloc()
        };
        assert!(!has([3, 3, 0, 0]));
        assert!(has([3, 3, 0x1000, 0]));
        assert!(has([3, 3, 0, 0x7fff]));
        assert!(has([1 << 31 | 3, 3, 0, 0]));
    }
}
