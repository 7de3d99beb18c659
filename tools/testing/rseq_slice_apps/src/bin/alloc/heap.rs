// SPDX-License-Identifier: GPL-2.0

//! The global allocator: talc, behind the lock that was chosen. That is its first type parameter.
//!
//! What is allocated before the choice comes from the system's allocator, and goes back there.

use std::alloc::{GlobalAlloc, Layout, System};
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::{Error, bail};
use rseq_slice_locks::lock_api_04::{RawSpin, Sliced};
use rustix_futex_sync::RawMutex;
use talc::TalcLock;
use talc::source::Claim;

const SIZE: usize = 32 << 20;
static mut HEAP: [u8; SIZE] = [0; SIZE];

/// The heap, for the one allocator that is used.
const fn claim() -> Claim {
    let heap = &raw mut HEAP;
    // SAFETY: Nothing else uses the array, and only the chosen allocator claims it.
    unsafe { Claim::array(heap) }
}

static SPIN: TalcLock<RawSpin, Claim> = TalcLock::new(claim());
static MUTEX: TalcLock<Sliced<RawMutex>, Claim> = TalcLock::new(claim());
static PLAIN_MUTEX: TalcLock<RawMutex, Claim> = TalcLock::new(claim());

/// What the allocator is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Lock {
    /// A spin lock, with the extension switched off for the process.
    Spin = 1,
    /// The same with the extension.
    Sliced,
    /// A mutex over futexes, with the extension switched off for the process.
    Mutex,
    /// The same with the extension.
    SlicedMutex,
    /// The same mutex, which knows nothing of sections.
    PlainMutex,
}

impl Lock {
    const ALL: [(&str, Self); 5] = [
        ("spin", Self::Spin),
        ("sliced", Self::Sliced),
        ("mutex", Self::Mutex),
        ("sliced-mutex", Self::SlicedMutex),
        ("plain-mutex", Self::PlainMutex),
    ];

    /// Whether the process uses the extension.
    pub(crate) fn is_sliced(self) -> bool {
        matches!(self, Self::Sliced | Self::SlicedMutex)
    }

    /// Puts the allocator behind this lock. Once only.
    pub(crate) fn choose(self) {
        let before = CHOICE.swap(self as u8, Ordering::Relaxed);
        assert_eq!(before, 0, "two allocators cannot share the heap");
    }
}

impl FromStr for Lock {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let Some((_, lock)) = Self::ALL.into_iter().find(|(name, _)| *name == word) else {
            let names = Self::ALL.map(|(name, _)| name);
            bail!("--lock {word}: no such lock, one of {}", names.join(", "));
        };
        Ok(lock)
    }
}

static CHOICE: AtomicU8 = AtomicU8::new(0);

fn chosen() -> &'static dyn GlobalAlloc {
    const SYSTEM: u8 = 0;
    const SPINNING: u8 = Lock::Spin as u8;
    const SLICED: u8 = Lock::Sliced as u8;
    const PLAIN: u8 = Lock::PlainMutex as u8;
    match CHOICE.load(Ordering::Relaxed) {
        SYSTEM => &System,
        SPINNING | SLICED => &SPIN,
        PLAIN => &PLAIN_MUTEX,
        _ => &MUTEX,
    }
}

/// Where an allocation came from.
fn origin(address: *mut u8) -> &'static dyn GlobalAlloc {
    let offset = address.addr().wrapping_sub((&raw const HEAP).addr());
    if offset < SIZE { chosen() } else { &System }
}

struct Global;

#[global_allocator]
static GLOBAL: Global = Global;

// SAFETY: Each allocation goes back to where it came from.
unsafe impl GlobalAlloc for Global {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: The caller passes a layout of a size other than zero.
        unsafe { chosen().alloc(layout) }
    }
    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: This allocator has allocated the memory with that layout.
        unsafe { origin(address).dealloc(address, layout) };
    }
    unsafe fn realloc(&self, address: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: This allocator has allocated the memory with that layout, and the caller passes a size
        // other than zero.
        unsafe { origin(address).realloc(address, layout, size) }
    }
}
