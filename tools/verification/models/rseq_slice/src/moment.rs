// SPDX-License-Identifier: GPL-2.0

//! Time.
//!
//! Only the order of moments matters to the rules, so the model keeps every moment relative to the
//! present, and of the past no more than which moments are the same.

use core::fmt;

use crate::abi::Length;

/// The present, in nanoseconds, whenever the rules ask for it.
pub(crate) const NOW: u64 = 1_000_000_000;

/// The length of a tick in nanoseconds, which is that of the shortest extension.
pub(crate) const TICK: u32 = Length::MIN.as_nanos();

/// A moment in ticks from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Moment(pub(crate) i8);

impl Moment {
    /// The present.
    pub(crate) const NOW: Self = Self(0);

    /// A moment in the past that is that of nothing else.
    pub(crate) const LONG_AGO: Self = Self(-2);

    /// Decodes what the rules have as nanoseconds.
    ///
    /// # Panics
    ///
    /// If the rules made up a moment that is not a tick.
    pub(crate) fn from_nanos(nanos: u64) -> Self {
        let ticks = (nanos as i64 - NOW as i64) / i64::from(TICK);
        let moment = Self(i8::try_from(ticks).expect("a moment near the present"));

        assert_eq!(moment.as_nanos(), nanos, "a moment that is not a tick");
        moment
    }

    /// In nanoseconds, as the rules have it.
    pub(crate) fn as_nanos(self) -> u64 {
        NOW.wrapping_add_signed(i64::from(self.0) * i64::from(TICK))
    }

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
