// SPDX-License-Identifier: MIT OR Apache-2.0

//! What a spinning thread does between two looks at a lock.

use crate::sync::spin_loop;

/// What a thread does between two looks at a lock that another thread holds.
///
/// A value lives as long as one wait. The thread makes no request meanwhile.
pub trait Relax: Default {
    /// Called after each look.
    fn relax(&mut self);
}

/// Gives the processor the [spin loop hint](core::hint::spin_loop) after every `N` looks.
///
/// The hint is not free: x86 processors wait for tens of cycles, hypervisors may count it as a reason to
/// run another virtual CPU, and emulators switch to one each time.
#[derive(Debug, Clone, Copy, Default)]
pub struct Looks<const N: u32 = 100> {
    looks: u32,
}

impl<const N: u32> Relax for Looks<N> {
    #[inline]
    fn relax(&mut self) {
        self.looks += 1;
        if self.looks >= N {
            self.looks = 0;
            spin_loop();
        }
    }
}
