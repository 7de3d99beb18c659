// SPDX-License-Identifier: GPL-2.0

//! A global allocator behind a spin lock that asks for extensions.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rseq_slice::{Token, begin, end};

struct Locked;

#[global_allocator]
static ALLOCATOR: Locked = Locked;

static LOCKED: AtomicBool = AtomicBool::new(false);
/// Before the policy of the process is set there must be no section.
static SECTIONS: AtomicBool = AtomicBool::new(false);
static CALLS: AtomicU64 = AtomicU64::new(0);

/// From here on each allocation is in a section.
pub(crate) fn begin_sections() {
    SECTIONS.store(true, Ordering::Relaxed);
}

/// How often memory has been allocated or freed.
pub(crate) fn calls() -> u64 {
    CALLS.load(Ordering::Relaxed)
}

fn locked<R>(work: impl FnOnce() -> R) -> R {
    CALLS.fetch_add(1, Ordering::Relaxed);
    let sections = SECTIONS.load(Ordering::Relaxed);
    loop {
        let token = if sections { begin() } else { Token::NONE };
        if !LOCKED.swap(true, Ordering::Acquire) {
            let result = work();
            LOCKED.store(false, Ordering::Release);
            end(token);
            return result;
        }
        end(token);
        for _ in 0..100 {
            spin_loop();
        }
        thread::yield_now();
    }
}

// SAFETY: It is the system's allocator, one call at a time.
unsafe impl GlobalAlloc for Locked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: The caller passes a layout of a size other than zero.
        locked(|| unsafe { System.alloc(layout) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: The system's allocator has allocated the memory with that layout.
        locked(|| unsafe { System.dealloc(memory, layout) });
    }
}
