// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `begin` and `end` do to a control word.
//!
//! Tests implement the trait with a kernel of their own.

use core::sync::atomic::{Ordering, compiler_fence};

/// The control word of the calling thread. Each call is one access, in program order; the kernel may
/// change both bytes between any two of them.
///
/// The bytes are accessed one by one: a wider load after a store of one byte has to wait for the store.
pub trait ControlWord: Copy {
    /// Reads the byte `request`.
    fn request(self) -> u8;
    /// Reads the byte `granted`.
    fn granted(self) -> u8;
    /// Writes the byte `request`.
    fn set_request(self, value: u8);
    /// Gives up the CPU: a system call that ends the grant.
    fn leave(self);
}

/// Requests an extension, unless a section around this one does or has been granted one already.
/// Returns whether it did.
///
/// Neither byte is set in a thread without a section, and the kernel sets `granted` only if
/// `request` was set. So nothing changes between the loads and the store.
#[inline(always)]
#[must_use = "a request has to be cleared"]
pub fn begin<W: ControlWord>(word: W) -> bool {
    if word.request() | word.granted() != 0 {
        return false;
    }
    word.set_request(1);
    compiler_fence(Ordering::SeqCst);
    true
}

/// Ends a section for which [`begin`] made a request.
///
/// `granted` is read last: until the request is cleared the kernel may still grant it.
#[inline(always)]
pub fn end<W: ControlWord>(word: W) {
    compiler_fence(Ordering::SeqCst);
    word.set_request(0);
    compiler_fence(Ordering::SeqCst);
    if word.granted() != 0 {
        word.leave();
    }
}
