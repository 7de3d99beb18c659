// SPDX-License-Identifier: MIT OR Apache-2.0

//! Noticing that the thread was scheduled out.

use crate::area::Area;

/// What [`Area::rseq_cs`] points to.
#[repr(C, align(32))]
struct Descriptor {
    version: u32,
    flags: u32,
    start_ip: u64,
    post_commit_offset: u64,
    abort_ip: u64,
}

/// A restartable sequence without an instruction in it. The kernel never restarts it: it clears
/// the pointer of a thread that it schedules out.
static NOWHERE: Descriptor = Descriptor {
    version: 0,
    flags: 0,
    start_ip: 0,
    post_commit_offset: 0,
    abort_ip: 0,
};

/// Tells whether the calling thread was scheduled out, with or without an extension.
///
/// From [`Registration::parts`](crate::Registration::parts). It uses the area's restartable
/// sequence.
pub struct Witness<'a>(&'a Area);

impl<'a> Witness<'a> {
    pub(crate) fn new(area: &'a Area) -> Self {
        Self(area)
    }

    /// Begins to look.
    pub fn watch(&self) {
        self.0.set_rseq_cs((&raw const NOWHERE).addr() as u64);
    }

    /// Ends looking, and tells whether the thread was scheduled out since [`watch`](Self::watch) or
    /// got a signal.
    pub fn was_scheduled_out(&self) -> bool {
        let gone = self.0.rseq_cs() == 0;
        self.0.set_rseq_cs(0);
        gone
    }
}
