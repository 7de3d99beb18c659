// SPDX-License-Identifier: MIT OR Apache-2.0

//! The memory that a thread shares with the kernel.

use std::cell::UnsafeCell;
use std::mem::offset_of;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::abi::{AREA_LEN, MIN_LEN};

#[repr(C)]
struct Fields {
    cpu_id_start: u32,
    cpu_id: u32,
    rseq_cs: u64,
    flags: u32,
    node_id: u32,
    mm_cid: u32,
    slice_ctrl: u32,
    reserved: [u8; 32],
}

/// The kernel's `struct rseq`, padded to 64 bytes.
///
/// Every access is volatile, because the kernel changes the fields at any interrupt. The type is not
/// `Sync`: only the thread that registers an area may use it.
#[repr(C, align(64))]
pub struct Area(UnsafeCell<Fields>);

const _: () = {
    assert!(size_of::<Area>() == AREA_LEN as usize);
    assert!(offset_of!(Fields, flags) == 16);
    assert!(offset_of!(Fields, slice_ctrl) == 28);
    assert!(offset_of!(Fields, reserved) + 1 == MIN_LEN as usize);
};

macro_rules! accessors {
    ($($(#[$doc:meta])* $get:ident $(/ $set:ident)?: $ty:ty;)*) => {$(
        $(#[$doc])*
        pub fn $get(&self) -> $ty {
            // SAFETY: The field lies in our own memory, is aligned, and every bit pattern is valid.
            unsafe { (&raw const (*self.0.get()).$get).read_volatile() }
        }

        $(
            #[doc = concat!("Overwrites what [`", stringify!($get), "`](Self::", stringify!($get), ") reads.")]
            pub fn $set(&self, value: $ty) {
                // SAFETY: The field lies in our own memory and is aligned; `UnsafeCell` allows the write,
                // and the type is not `Sync`.
                unsafe { (&raw mut (*self.0.get()).$get).write_volatile(value) }
            }
        )?
    )*};
}

impl Area {
    /// An area of zeros, not registered.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(Fields {
            cpu_id_start: 0,
            cpu_id: 0,
            rseq_cs: 0,
            flags: 0,
            node_id: 0,
            mm_cid: 0,
            slice_ctrl: 0,
            reserved: [0; 32],
        }))
    }

    accessors! {
        /// The CPU that the thread runs on, always a possible one.
        cpu_id_start: u32;
        /// The CPU that the thread runs on, or a huge number while none is known.
        cpu_id: u32;
        /// Address of the active restartable sequence, or 0.
        rseq_cs / set_rseq_cs: u64;
        /// The kernel's feature bits (`RSEQ_CS_FLAG_*`). Written by the kernel only; a thread
        /// that writes them itself gets killed by the next `prctl(2)` that changes them.
        flags / set_flags: u32;
        /// The NUMA node that the thread runs on.
        node_id: u32;
        /// The thread's concurrency ID, unique among the running threads of the process.
        mm_cid: u32;
        /// The whole control word of the time slice extension, both layouts.
        slice_ctrl / set_slice_ctrl: u32;
    }

    /// Sets `bits` in the control word, in one instruction of the calling thread.
    pub fn set_bits_in_slice_ctrl(&self, bits: u32) {
        self.atomic_slice_ctrl().fetch_or(bits, Ordering::Relaxed);
    }

    /// Clears `bits` in the control word, in one instruction of the calling thread.
    pub fn clear_bits_in_slice_ctrl(&self, bits: u32) {
        self.atomic_slice_ctrl().fetch_and(!bits, Ordering::Relaxed);
    }

    fn atomic_slice_ctrl(&self) -> &AtomicU32 {
        // SAFETY: An aligned word of our own area, which outlives the reference.
        unsafe { AtomicU32::from_ptr(self.slice_ctrl_ptr()) }
    }

    /// Address of the control word.
    pub(crate) fn slice_ctrl_ptr(&self) -> *mut u32 {
        // SAFETY: A place projection inside our own memory; nothing is read.
        unsafe { &raw mut (*self.0.get()).slice_ctrl }
    }
}

impl Default for Area {
    fn default() -> Self {
        Self::new()
    }
}
