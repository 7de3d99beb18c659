// SPDX-License-Identifier: MIT OR Apache-2.0

//! The control word, as the thread that registered it sees it.
//!
//! Besides the thread only interrupts on its own CPU change the word, so that plain volatile
//! accesses between compiler fences suffice.

use std::sync::atomic::{Ordering, compiler_fence};

use crate::abi::{RSEQ_SLICE_EXT_GRANTED, RSEQ_SLICE_EXT_REQUEST};
use crate::area::Area;

/// What became of a request that was cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// No interrupt wanted to reschedule: the request was still there.
    Unused,
    /// A grant is live: the thread must call [`sys::rseq_slice_yield`](crate::sys::rseq_slice_yield)
    /// at once.
    Granted,
    /// The kernel refused the request, or has revoked the grant. The thread was scheduled out.
    Lost,
}

/// Operations on the control word of the calling thread.
pub trait Control {
    /// Asks for an extension if an interrupt wants to reschedule from now on.
    fn request(&self);

    /// Clears the request and tells what became of it.
    #[must_use = "a live grant must be ended with rseq_slice_yield"]
    fn clear_request(&self) -> Request;

    /// Whether a grant is live at this very moment.
    fn is_granted(&self) -> bool;
}

/// The BYTES layout: byte 0 is the request, byte 1 the grant.
///
/// From [`Registration::bytes`](crate::Registration::bytes_word), to be used while
/// [`Layout::Bytes`](crate::Layout::Bytes) is enabled.
pub struct Bytes<'a>(&'a Area);

impl<'a> Bytes<'a> {
    pub(crate) fn new(area: &'a Area) -> Self {
        Self(area)
    }

    fn byte(&self, index: usize) -> *mut u8 {
        debug_assert!(index < size_of::<u32>());
        self.0.slice_ctrl_ptr().cast::<u8>().wrapping_add(index)
    }

    fn set_request(&self, value: u8) {
        // SAFETY: A byte of our own area, which only this thread and the kernel use.
        unsafe { self.byte(0).write_volatile(value) }
    }

    fn is_requested(&self) -> bool {
        // SAFETY: A byte of our own area, which only this thread and the kernel use.
        unsafe { self.byte(0).read_volatile() != 0 }
    }
}

impl Control for Bytes<'_> {
    fn request(&self) {
        self.set_request(1);
        compiler_fence(Ordering::SeqCst);
    }

    /// An interrupt between the look at the request and its end may still grant; therefore the
    /// grant is looked at last and decides.
    fn clear_request(&self) -> Request {
        compiler_fence(Ordering::SeqCst);
        let unused = self.is_requested();
        self.set_request(0);
        match (self.is_granted(), unused) {
            (true, _) => Request::Granted,
            (false, true) => Request::Unused,
            (false, false) => Request::Lost,
        }
    }

    fn is_granted(&self) -> bool {
        // SAFETY: A byte of our own area, which only this thread and the kernel use.
        unsafe { self.byte(1).read_volatile() != 0 }
    }
}

/// The BITS layout: one native 32-bit word with the bits `RSEQ_SLICE_EXT_REQUEST` and
/// `RSEQ_SLICE_EXT_GRANTED`.
///
/// From [`Registration::bits`](crate::Registration::bits_word), to be used while
/// [`Layout::Bits`](crate::Layout::Bits) is enabled. A request during a live grant erases the grant,
/// for which the kernel kills the thread: end every request before the next.
pub struct Bits<'a>(&'a Area);

impl<'a> Bits<'a> {
    pub(crate) fn new(area: &'a Area) -> Self {
        Self(area)
    }

    /// Clears the request and returns whether it was set. One instruction, so that no interrupt
    /// falls between the two; other CPUs do not matter, hence no lock prefix.
    #[cfg(target_arch = "x86_64")]
    fn test_and_clear_request(&self) -> bool {
        let was_set: u8;
        // SAFETY: Changes one bit of our own area, which only this thread and the kernel use.
        unsafe {
            std::arch::asm!(
                "btr dword ptr [{word}], {bit}",
                "setc {was_set}",
                word = in(reg) self.0.slice_ctrl_ptr(),
                bit = const RSEQ_SLICE_EXT_REQUEST.trailing_zeros(),
                was_set = out(reg_byte) was_set,
                options(nostack),
            );
        }
        was_set != 0
    }

    /// Clears the request and returns whether it was set.
    #[cfg(not(target_arch = "x86_64"))]
    fn test_and_clear_request(&self) -> bool {
        use std::sync::atomic::AtomicU32;

        // SAFETY: An aligned word of our own area, which outlives the reference.
        let word = unsafe { AtomicU32::from_ptr(self.0.slice_ctrl_ptr()) };
        word.fetch_and(!RSEQ_SLICE_EXT_REQUEST, Ordering::Relaxed) & RSEQ_SLICE_EXT_REQUEST != 0
    }
}

impl Control for Bits<'_> {
    fn request(&self) {
        self.0.set_slice_ctrl(RSEQ_SLICE_EXT_REQUEST);
        compiler_fence(Ordering::SeqCst);
    }

    fn clear_request(&self) -> Request {
        compiler_fence(Ordering::SeqCst);
        if self.test_and_clear_request() {
            Request::Unused
        } else if self.is_granted() {
            Request::Granted
        } else {
            Request::Lost
        }
    }

    fn is_granted(&self) -> bool {
        self.0.slice_ctrl() & RSEQ_SLICE_EXT_GRANTED != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Acts as the kernel: grants if there is a request.
    fn grant(area: &Area, layout: fn(bool) -> u32) {
        assert_eq!(area.slice_ctrl(), layout(false));
        area.set_slice_ctrl(layout(true));
    }

    fn bytes_word(granted: bool) -> u32 {
        u32::from_ne_bytes([u8::from(!granted), u8::from(granted), 0, 0])
    }

    fn bits_word(granted: bool) -> u32 {
        if granted { 2 } else { 1 }
    }

    fn each_outcome<C: Control>(area: &Area, control: C, layout: fn(bool) -> u32) {
        control.request();
        assert!(!control.is_granted());
        assert_eq!(control.clear_request(), Request::Unused);
        assert_eq!(area.slice_ctrl(), 0);

        control.request();
        grant(area, layout);
        assert!(control.is_granted());
        assert_eq!(control.clear_request(), Request::Granted);
        assert_eq!(area.slice_ctrl(), layout(true));
        area.set_slice_ctrl(0);

        control.request();
        area.set_slice_ctrl(0);
        assert_eq!(control.clear_request(), Request::Lost);
        assert_eq!(area.slice_ctrl(), 0);
    }

    #[test]
    fn bytes_layout() {
        let area = Area::new();
        each_outcome(&area, Bytes::new(&area), bytes_word);
    }

    #[test]
    fn bits_layout() {
        let area = Area::new();
        each_outcome(&area, Bits::new(&area), bits_word);
    }

    #[test]
    fn bytes_layout_leaves_the_reserved_half_alone() {
        let area = Area::new();
        let reserved = u32::from_ne_bytes([0, 0, 0xa5, 0x5a]);
        area.set_slice_ctrl(reserved);
        let control = Bytes::new(&area);
        control.request();
        assert_eq!(control.clear_request(), Request::Unused);
        assert_eq!(area.slice_ctrl(), reserved);
    }
}
