// SPDX-License-Identifier: GPL-2.0

//! The memory in which the threads of a program have their areas.
//!
//! It is used by address, because programs unmap it while they use it. A program that accesses memory
//! that is not there is killed, which is an outcome like others.

use std::cell::Cell;
use std::io;
use std::ptr::with_exposed_provenance_mut;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};

use anyhow::Result;
use nix::errno::Errno;
use rseq_slice_diff_program::arg::{PAGE_LEN, Place, Protection};
use rseq_slice_harness::sys;

const LEN: usize = PAGE_LEN as usize;
/// Offsets of fields of `struct rseq`.
pub(crate) const CPU_ID_START: usize = 0;
pub(crate) const CPU_ID: usize = 4;
pub(crate) const RSEQ_CS: usize = 8;
pub(crate) const FLAGS: usize = 16;
pub(crate) const WORD: usize = 28;

/// The page of a thread.
pub(crate) struct Page {
    address: AtomicUsize,
    /// Offset of the area that was registered last.
    base: AtomicU32,
    readable: AtomicBool,
}

/// Those of the main and the second thread, and of the thread or process that continues the program.
static THREAD_PAGES: [Page; 3] = [const {
    Page {
        address: AtomicUsize::new(0),
        base: AtomicU32::new(0),
        readable: AtomicBool::new(false),
    }
}; 3];

/// The pages by who uses them.
pub(crate) const MAIN: usize = 0;
pub(crate) const SECOND: usize = 1;
pub(crate) const SUCCESSOR: usize = 2;

/// The state of a thread.
#[derive(Clone, Copy)]
pub(crate) struct Own {
    page: usize,
    /// Whether the area that its page knows is registered.
    registered: bool,
}

impl Own {
    /// A page, and nothing registered.
    pub(crate) const fn page(page: usize) -> Self {
        Self {
            page,
            registered: false,
        }
    }
}

thread_local! {
    static MINE: Cell<Own> = const { Cell::new(Own::page(MAIN)) };
}

/// The page of the calling thread.
pub(crate) fn mine() -> &'static Page {
    &THREAD_PAGES[MINE.get().page]
}

/// Gives the calling thread a page; returns what it had.
pub(crate) fn use_page(own: Own) -> Own {
    MINE.replace(own)
}

/// Whether the calling thread can have restartable sequences: its area is registered.
pub(crate) fn is_registered() -> bool {
    MINE.get().registered
}

/// Notes a successful call of rseq(2).
pub(crate) fn note_registration(place: Place, registers: bool) {
    let mut own = MINE.get();
    if registers {
        THREAD_PAGES[own.page].set_base(place);
    }
    own.registered =
        registers && THREAD_PAGES[own.page].area() == THREAD_PAGES[own.page].address(place);
    MINE.set(own);
}

/// Maps the pages, so that their memory is there.
pub(crate) fn create() -> Result<()> {
    THREAD_PAGES
        .iter()
        .try_for_each(|page| page.map(libc::MAP_PRIVATE))
}

impl Page {
    fn map(&self, kind: i32) -> Result<()> {
        let (hint, fixed) = match self.address.load(SeqCst) {
            0 => (0, 0),
            address => (address, libc::MAP_FIXED),
        };
        let prot = libc::PROT_READ | libc::PROT_WRITE;
        let flags = kind | libc::MAP_ANONYMOUS | libc::MAP_POPULATE | fixed;
        // SAFETY: A new mapping, either placed by the kernel or where one of ours has been.
        let page =
            unsafe { libc::mmap(with_exposed_provenance_mut(hint), LEN, prot, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(Errno::last().into());
        }
        self.address.store(page.expose_provenance(), SeqCst);
        self.readable.store(true, SeqCst);
        Ok(())
    }

    /// Maps zeros where the page is or has been, private or shared.
    pub(crate) fn map_again(&self, kind: i32) -> i64 {
        if self.map(kind).is_ok() {
            0
        } else {
            -i64::from(Errno::last_raw())
        }
    }

    /// Drops the memory of the page, which holds zeros then, unless it is shared.
    pub(crate) fn drop_memory(&self) -> i64 {
        let address = with_exposed_provenance_mut(self.address.load(SeqCst));
        // SAFETY: Nothing but areas is in the page, and nobody has a reference to it.
        outcome(unsafe { libc::madvise(address, LEN, libc::MADV_DONTNEED) }.into())
    }

    /// Unmaps the page.
    pub(crate) fn unmap(&self) -> i64 {
        self.readable.store(false, SeqCst);
        let address = with_exposed_provenance_mut(self.address.load(SeqCst));
        // SAFETY: Nothing but areas is in the page, and nobody has a reference to it.
        outcome(unsafe { libc::munmap(address, LEN) }.into())
    }

    /// Changes what may be done with the page.
    pub(crate) fn protect(&self, to: Protection) -> i64 {
        let prot = match to {
            Protection::None => libc::PROT_NONE,
            Protection::Read => libc::PROT_READ,
            Protection::ReadWrite => libc::PROT_READ | libc::PROT_WRITE,
        };
        if to == Protection::None {
            self.readable.store(false, SeqCst);
        }
        let address = with_exposed_provenance_mut(self.address.load(SeqCst));
        // SAFETY: Nothing but areas is in the page, and nobody has a reference to it.
        let result = zero_or_error(unsafe { sys::mprotect(address, LEN, prot) });
        if result == 0 && to != Protection::None {
            self.readable.store(true, SeqCst);
        }
        result
    }

    /// The address of a place, as this thread sees it.
    pub(crate) fn address(&self, place: Place) -> usize {
        match place {
            Place::Page(offset) => self.address.load(SeqCst) + offset as usize,
            Place::Null => 0,
            Place::Kernel => usize::MAX << 12,
            Place::Other => {
                let other = if MINE.get().page == SECOND {
                    MAIN
                } else {
                    SECOND
                };
                THREAD_PAGES[other].address.load(SeqCst)
            }
        }
    }

    /// Notes where the area is.
    fn set_base(&self, place: Place) {
        if let Place::Page(offset) = place {
            self.base.store(offset.min(PAGE_LEN - 64), SeqCst);
        }
    }

    /// The address of the area.
    pub(crate) fn area(&self) -> usize {
        self.address.load(SeqCst) + self.base.load(SeqCst) as usize
    }

    /// The address of the control word.
    pub(crate) fn word(&self) -> *const u32 {
        self.field(WORD)
    }

    fn field<T>(&self, offset: usize) -> *mut T {
        with_exposed_provenance_mut(self.area() + offset)
    }

    /// Reads a field of the area, or 0 if that cannot be read.
    pub(crate) fn read(&self, offset: usize) -> u32 {
        if !self.readable.load(SeqCst) {
            return 0;
        }
        // SAFETY: The field lies in our page and is aligned. Should the page go away in this very
        // moment, the process is killed, as intended.
        unsafe { self.field::<u32>(offset).read_volatile() }
    }

    /// Writes a field of the area, whether it can be written or not.
    pub(crate) fn write(&self, offset: usize, value: u32) {
        // SAFETY: The field lies in our page and is aligned. Where the page cannot be written, the
        // process is killed, as intended.
        unsafe { self.field::<u32>(offset).write_volatile(value) }
    }

    /// Writes one byte of a field.
    pub(crate) fn write_byte(&self, offset: usize, value: u8) {
        // SAFETY: The byte lies in our page. Where the page cannot be written, the process is killed,
        // as intended.
        unsafe { self.field::<u8>(offset).write_volatile(value) }
    }
}

/// The return value of a system call of the C library, with the error number negative.
pub(crate) fn outcome(ret: libc::c_long) -> i64 {
    if ret == -1 {
        -i64::from(Errno::last_raw())
    } else {
        ret
    }
}

/// 0, or the error number, negative.
pub(crate) fn zero_or_error(result: io::Result<()>) -> i64 {
    match result {
        Ok(()) => 0,
        Err(error) => -i64::from(error.raw_os_error().unwrap_or_default()),
    }
}
