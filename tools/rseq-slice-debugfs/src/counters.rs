// SPDX-License-Identifier: MIT OR Apache-2.0

//! The kernel's counters.

use std::fmt;
use std::ops::Sub;
use std::str::FromStr;

/// The kernel's counts of what happened to requests, over all CPUs and processes: since boot, or in
/// the time between two readings, which is their difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Counters {
    /// Grants.
    pub granted: u64,
    /// Grants that expired: their timer fired while they were live.
    pub expired: u64,
    /// Grants that the kernel revoked.
    pub revoked: u64,
    /// Grants that `rseq_slice_yield(2)` ended.
    pub yielded: u64,
    /// Grants that another system call ended.
    pub aborted: u64,
    /// Grants that ended with their threads, by a violation, or by a fault. `None` on the C
    /// implementation, which does not count them.
    pub died: Option<u64>,
}

impl Counters {
    /// Nothing happened.
    pub const NOTHING: Self = Self {
        granted: 0,
        expired: 0,
        revoked: 0,
        yielded: 0,
        aborted: 0,
        died: Some(0),
    };

    /// That many grants, all yielded.
    pub const fn yields(count: u64) -> Self {
        Self {
            granted: count,
            yielded: count,
            ..Self::NOTHING
        }
    }

    /// That many grants, all ended by system calls.
    pub const fn aborts(count: u64) -> Self {
        Self {
            granted: count,
            aborted: count,
            ..Self::NOTHING
        }
    }

    /// That many grants, all revoked before they expired.
    pub const fn revokes(count: u64) -> Self {
        Self {
            granted: count,
            revoked: count,
            ..Self::NOTHING
        }
    }

    /// That many grants, all expired in user mode.
    pub const fn expiries(count: u64) -> Self {
        Self {
            expired: count,
            ..Self::revokes(count)
        }
    }

    /// That many grants, all ended with their threads before they expired.
    pub const fn deaths(count: u64) -> Self {
        Self {
            granted: count,
            died: Some(count),
            ..Self::NOTHING
        }
    }

    /// The same, with no deaths where the kernel does not count them.
    #[must_use]
    pub fn with_deaths_counted(self) -> Self {
        Self {
            died: self.died.or(Some(0)),
            ..self
        }
    }

    /// Grants less those of which the kernel counted an end. If no thread has a grant, this is 0 on the
    /// Rust implementation; the C one loses some, and does not count deaths. Negative if the kernel
    /// counted ends without grants.
    pub fn without_end(&self) -> i64 {
        let ended = self.yielded + self.aborted + self.revoked + self.died.unwrap_or(0);
        self.granted.wrapping_sub(ended) as i64
    }

    /// Whether every grant has ended in exactly one of the ways that are counted.
    pub fn adds_up(&self) -> bool {
        self.without_end() == 0
    }
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            granted: self.granted - earlier.granted,
            expired: self.expired - earlier.expired,
            revoked: self.revoked - earlier.revoked,
            yielded: self.yielded - earlier.yielded,
            aborted: self.aborted - earlier.aborted,
            died: self.died.zip(earlier.died).map(|(now, then)| now - then),
        }
    }
}

/// The line that is wrong in a text of counters, or the counter that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot make sense of {:?}", self.0)
    }
}

impl std::error::Error for Unreadable {}

impl FromStr for Counters {
    type Err = Unreadable;

    /// Reads the text of debugfs `rseq/stats`.
    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = |what: &str| Unreadable(what.to_owned());
        let find = |name: &str| {
            text.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().parse().map_err(|_| wrong(value.trim())))
                .transpose()
        };
        let need = |name: &str| find(name)?.ok_or_else(|| wrong(name));
        Ok(Self {
            granted: need("sgrant")?,
            expired: need("sexpir")?,
            revoked: need("srevok")?,
            yielded: need("syield")?,
            aborted: need("sabort")?,
            died: find("sdied")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: &str = "exit:   5\nsgrant:  70\nsexpir:   3\nsrevok:   8\nsyield:  40\nsabort:  22\n";

    #[test]
    fn both_implementations_are_read() {
        let c: Counters = C.parse().unwrap();
        let expected = Counters {
            granted: 70,
            expired: 3,
            revoked: 8,
            yielded: 40,
            aborted: 22,
            died: None,
        };
        assert_eq!(c, expected);
        let rust: Counters = format!("{C}sdied:   1\n").parse().unwrap();
        assert_eq!(
            rust,
            Counters {
                died: Some(1),
                ..expected
            }
        );
        assert_eq!((rust - rust).died, Some(0));
        assert_eq!((rust - rust).granted, 0);
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let missing = C.replace("syield", "other").parse::<Counters>();
        assert_eq!(missing, Err(Unreadable("syield".to_owned())));
        let garbage = C.replace("40", "forty").parse::<Counters>();
        assert_eq!(garbage, Err(Unreadable("forty".to_owned())));
    }

    #[test]
    fn every_grant_has_one_end() {
        for counters in [
            Counters::NOTHING,
            Counters::yields(3),
            Counters::aborts(3),
            Counters::revokes(3),
            Counters::expiries(3),
            Counters::deaths(3),
        ] {
            assert!(counters.adds_up(), "{counters:?}");
        }
        let lost = Counters {
            granted: 5,
            ..Counters::yields(3)
        };
        assert_eq!((lost.without_end(), lost.adds_up()), (2, false));
        let invented = Counters {
            granted: 2,
            ..Counters::yields(3)
        };
        assert_eq!(invented.without_end(), -1);
        let uncounted = Counters {
            died: None,
            ..Counters::deaths(2)
        };
        assert_eq!(uncounted.without_end(), 2);
        assert_eq!(uncounted.with_deaths_counted().died, Some(0));
    }
}
