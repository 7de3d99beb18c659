// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of time slice extensions.
//!
//! Without `CONFIG_TRACEPOINTS` these functions do nothing.
//!
//! C header: [`include/trace/events/rseq_slice.h`](srctree/include/trace/events/rseq_slice.h)

use super::CurrentRseq;
use crate::{
    bindings::{
        ktime_t,
        task_struct, //
    },
    ffi::{
        c_char,
        c_ulong, //
    },
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    },
    tracepoint::declare_trace, //
};

declare_trace! {
    /// # Safety
    ///
    /// `curr` must be `current`.
    unsafe fn rseq_slice_grant(curr: *mut task_struct, end: ktime_t);

    /// # Safety
    ///
    /// Always safe to call.
    unsafe fn rseq_slice_refuse(requested: bool, work: c_ulong, switched: bool);

    /// # Safety
    ///
    /// `curr` must be `current`.
    unsafe fn rseq_slice_expire(curr: *mut task_struct);

    /// # Safety
    ///
    /// `curr` must be `current`, and `how` a string that ends with NUL.
    unsafe fn rseq_slice_end(curr: *mut task_struct, how: *const c_char);
}

/// Traces the grant of `rseq`, which expires at `end`.
#[inline]
pub fn grant(rseq: &CurrentRseq, end: Instant<Monotonic>) {
    // SAFETY: The pointer is `current` by the type invariants.
    unsafe { rseq_slice_grant(rseq.0.as_ptr(), end.as_nanos()) };
}

/// Why a request was refused.
pub enum Refusal {
    /// The other work on the way to user mode, as work flags.
    Work(c_ulong),
    /// The thread was scheduled out meanwhile.
    Switched,
    /// This CPU must not postpone a reschedule.
    Cpu,
}

/// Traces the refusal of a request, unless nothing was `requested`.
///
/// The tracepoint checks `requested`, so that nothing is computed while it is off.
///
/// # Examples
///
/// ```
/// use kernel::rseq::trace::{
///     self,
///     Refusal, //
/// };
///
/// // No event.
/// trace::refuse(false, Refusal::Cpu);
/// ```
#[inline]
pub fn refuse(requested: bool, why: Refusal) {
    let (work, switched) = match why {
        Refusal::Work(work) => (work, false),
        Refusal::Switched => (0, true),
        Refusal::Cpu => (0, false),
    };

    // SAFETY: Always safe to call.
    unsafe { rseq_slice_refuse(requested, work, switched) };
}

/// Traces the expiry of the grant of `rseq`.
#[inline]
pub fn expire(rseq: &CurrentRseq) {
    // SAFETY: The pointer is `current` by the type invariants.
    unsafe { rseq_slice_expire(rseq.0.as_ptr()) };
}

/// Traces the end of the grant of `rseq`.
#[inline]
pub fn end(rseq: &CurrentRseq, how: &'static CStr) {
    // SAFETY: The pointer is `current` by the type invariants. A `CStr` ends with NUL.
    unsafe { rseq_slice_end(rseq.0.as_ptr(), how.as_char_ptr()) };
}
