// SPDX-License-Identifier: GPL-2.0

//! Time.
//!
//! Only the order of moments matters to the rules. So the model keeps every moment relative to the
//! present, and of moments in the past only whether they are the same.

use core::fmt;

/// A moment in ticks from now. A tick is the length of the shortest extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(pub(crate) i8);

impl Moment {
    /// The present.
    pub(crate) const NOW: Self = Self(0);

    /// A moment in the past that is different from any other.
    pub(crate) const LONG_AGO: Self = Self(-2);

    /// Whether it has come.
    pub(crate) fn is_due(self) -> bool {
        self <= Self::NOW
    }
}

/// Shows moments as absolute ones, for a trace that knows how many ticks have passed.
pub(crate) struct At(pub(crate) Moment, pub(crate) u32);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", i64::from(self.1) + i64::from(self.0 .0))
    }
}
