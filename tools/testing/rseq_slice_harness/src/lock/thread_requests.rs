// SPDX-License-Identifier: MIT OR Apache-2.0

//! When a thread asks for extensions around a lock.

use crate::control::{Control, Request};
use crate::section::{End, finish};

/// Whether a thread that waits for a lock asks for extensions meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// It does not: the request stands from the attempt that succeeds to the end. Recommended: a
    /// waiter that holds the CPU longer only keeps the lock's holder from it.
    Dropped,
    /// It does: one request covers the wait and the critical section.
    Held,
}

/// How requests ended, counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct EndCounts {
    /// Nobody wanted the CPU meanwhile.
    pub undisturbed: u64,
    /// Granted, and yielded in time.
    pub yielded: u64,
    /// Granted, and ended by the kernel after the last look.
    pub too_late: u64,
    /// The request was gone without a grant: the thread was scheduled out.
    pub preempted: u64,
}

impl EndCounts {
    fn count(&mut self, end: End) {
        *match end {
            End::Undisturbed => &mut self.undisturbed,
            End::Yielded => &mut self.yielded,
            End::TooLate => &mut self.too_late,
            End::Preempted => &mut self.preempted,
        } += 1;
    }
}

impl std::ops::Add for EndCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            undisturbed: self.undisturbed + other.undisturbed,
            yielded: self.yielded + other.yielded,
            too_late: self.too_late + other.too_late,
            preempted: self.preempted + other.preempted,
        }
    }
}

/// The requests that one thread makes around locks.
pub struct ThreadRequests<'a, C: Control> {
    control: &'a mut C,
    pattern: Pattern,
    ends: EndCounts,
}

impl<'a, C: Control> ThreadRequests<'a, C> {
    /// Makes requests through `control`. Without effect unless its layout is enabled.
    pub fn new(control: &'a mut C, pattern: Pattern) -> Self {
        Self {
            control,
            pattern,
            ends: EndCounts::default(),
        }
    }

    /// How all requests until now ended.
    pub fn ends(&self) -> EndCounts {
        self.ends
    }

    pub(super) fn begin(&mut self) {
        self.control.request();
    }

    /// Before waiting.
    pub(super) fn pause(&mut self) {
        if self.pattern == Pattern::Dropped {
            self.end();
        }
    }

    /// After waiting.
    pub(super) fn resume(&mut self) {
        if self.pattern == Pattern::Dropped {
            self.begin();
        }
    }

    /// Instead of [`resume`](Self::resume()), when the wait ends without the lock.
    pub(super) fn cancel(&mut self) {
        if self.pattern == Pattern::Held {
            self.end();
        }
    }

    pub(super) fn end(&mut self) {
        self.ends.count(finish(self.control));
    }
}

/// The control word of a thread that does without the extension.
pub struct NoExtension;

impl Control for NoExtension {
    fn request(&self) {}

    fn clear_request(&self) -> Request {
        Request::Unused
    }

    fn is_granted(&self) -> bool {
        false
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::cell::Cell;

    /// Counts requests, and how many of them were cleared.
    #[derive(Default)]
    pub(crate) struct Log(pub(crate) Cell<(u32, u32)>);

    impl Control for Log {
        fn request(&self) {
            let (requests, ends) = self.0.get();
            self.0.set((requests + 1, ends));
        }

        fn clear_request(&self) -> Request {
            let (requests, ends) = self.0.get();
            self.0.set((requests, ends + 1));
            Request::Lost
        }

        fn is_granted(&self) -> bool {
            false
        }
    }

    fn wait_once(pattern: Pattern) -> ((u32, u32), EndCounts) {
        let mut log = Log::default();
        let mut requests = ThreadRequests::new(&mut log, pattern);
        requests.begin();
        requests.pause();
        requests.resume();
        requests.end();
        let ends = requests.ends();
        (log.0.get(), ends)
    }

    #[test]
    fn a_wait_drops_the_request_or_holds_it() {
        let (calls, ends) = wait_once(Pattern::Dropped);
        assert_eq!((calls, ends.preempted), ((2, 2), 2));
        let (calls, ends) = wait_once(Pattern::Held);
        assert_eq!((calls, ends.preempted), ((1, 1), 1));
    }

    #[test]
    fn a_request_ends_once_without_the_lock() {
        for pattern in [Pattern::Dropped, Pattern::Held] {
            let mut log = Log::default();
            let mut requests = ThreadRequests::new(&mut log, pattern);
            requests.begin();
            requests.pause();
            requests.cancel();
            assert_eq!(log.0.get(), (1, 1), "{pattern:?}");
        }
    }
}
