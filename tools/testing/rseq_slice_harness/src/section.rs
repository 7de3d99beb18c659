// SPDX-License-Identifier: MIT OR Apache-2.0

//! A critical section that asks not to be preempted.

use crate::control::{Control, Request};
use crate::sys;

/// How a critical section ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nobody wanted the CPU meanwhile.
    Undisturbed,
    /// The kernel granted an extension, and the CPU was given up inside it.
    Yielded,
    /// The kernel granted an extension, and ended it itself in the last moment.
    TooLate,
    /// The thread was scheduled out inside the critical section.
    Preempted,
}

/// A live critical section, from the request to the yield. Dropping it ends it.
///
/// Sections of one thread do not nest: each borrows the control word, of which a registration gives
/// out one at a time.
///
/// ```compile_fail
/// # use rseq_slice_harness::{Registration, Section};
/// # let mut thread = Registration::new()?;
/// let (mut one, mut other) = (thread.bytes(), thread.bytes());
/// let (outer, inner) = (Section::begin(&mut one), Section::begin(&mut other));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "the critical section lasts as long as this value"]
pub struct Section<'a, C: Control> {
    control: &'a mut C,
}

impl<'a, C: Control> Section<'a, C> {
    /// Requests an extension. Without effect unless the layout that `control` stands for is enabled.
    pub fn begin(control: &'a mut C) -> Self {
        control.request();
        Self { control }
    }

    /// Clears the request and gives the CPU up if there is a grant.
    pub fn end(self) -> End {
        let end = finish(self.control);
        std::mem::forget(self);
        end
    }
}

impl<C: Control> Drop for Section<'_, C> {
    fn drop(&mut self) {
        finish(self.control);
    }
}

/// Clears the request and gives the CPU up if there is a grant.
pub(crate) fn finish<C: Control>(control: &C) -> End {
    match control.clear_request() {
        Request::Unused => End::Undisturbed,
        Request::Lost => End::Preempted,
        // A filter may forbid the call. Its entry has ended the grant nevertheless.
        Request::Granted => match sys::rseq_slice_yield() {
            Ok(1) => End::Yielded,
            _ => End::TooLate,
        },
    }
}
