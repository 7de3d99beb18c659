// SPDX-License-Identifier: MIT OR Apache-2.0

//! What the tests and benchmarks of the rseq time slice extension share: its raw user-space side, and
//! what it takes to provoke and observe a kernel's decisions.
//!
//! A thread that is about to hold a lock for a moment asks the kernel not to preempt it: it stores a
//! request in its registered [`Area`]. When an interrupt wants to reschedule, the kernel may grant
//! a few microseconds more. The thread then leaves its critical section and calls
//! [`sys::rseq_slice_yield`].
//!
//! The order of use, per thread:
//!
//! 1. [`Registration::new`] registers an own area. The C library must not have registered one
//!    before: run with `GLIBC_TUNABLES=glibc.pthread.rseq=0`.
//! 2. [`set_layout`] enables the extension in one of two layouts of the control word.
//! 3. [`Section::begin`] and [`Section::end`] surround each critical section, over what
//!    [`Registration::bytes`] or [`Registration::bits`] returns, whichever was enabled.
//!
//! ```no_run
//! use rseq_slice_harness::{Layout, Registration, Section, set_layout};
//!
//! let mut thread = Registration::new()?;
//! set_layout(Some(Layout::Bytes))?;
//! let mut control = thread.bytes();
//! let section = Section::begin(&mut control);
//! // ... the critical section ...
//! let how = section.end();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! All of that is local to the calling thread; no atomic operation is needed, because only the thread
//! itself and the kernel on the same CPU touch the area.

pub mod abi;
mod affinity;
mod area;
pub mod child;
pub mod clock;
pub mod contest;
mod control;
pub mod lock;
mod prctl;
mod registration;
pub mod scheduler;
pub mod seccomp;
mod section;
pub mod sys;
pub mod timer;
mod witness;

pub use affinity::pin_to;
pub use area::Area;
pub use control::{Bits, Bytes, Control, Request};
pub use prctl::{Layout, SliceError, layout, set_layout};
pub use registration::{RegisterError, Registration};
pub use rseq_slice_debugfs::{
    Counters, DebugfsError, ExtensionLength, Implementation, counters, extension_length,
    implementation, set_extension_length,
};
pub use section::{End, Section};
pub use witness::Witness;
