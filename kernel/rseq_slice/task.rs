// SPDX-License-Identifier: GPL-2.0

//! The current thread as the slice extension sees it.

use super::{
    abi::{
        self,
        Layout,
        Mode, //
    },
    state::Phase, //
};
use core::{
    mem::offset_of,
    ops::Deref,
    pin::Pin, //
};
use kernel::{
    interrupt::LocalInterruptDisabled,
    rseq::slice::CurrentSlice,
    time::{
        Instant,
        Monotonic, //
    },
    uapi, //
};

const _: () = {
    // The bytes of `struct rseq_slice_ctrl`.
    use uapi::rseq_slice_ctrl__bindgen_ty_1__bindgen_ty_1 as CtrlBytes;

    assert!(abi::FLAG_AVAILABLE == uapi::rseq_cs_flags_RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE);
    assert!(abi::FLAG_ENABLED == uapi::rseq_cs_flags_RSEQ_CS_FLAG_SLICE_EXT_ENABLED);
    assert!(abi::PR_ENABLE as u32 == uapi::PR_RSEQ_SLICE_EXT_ENABLE);
    assert!(abi::PR_BITS as u32 == uapi::PR_RSEQ_SLICE_EXT_BITS);
    assert!(abi::PR_GET == uapi::PR_RSEQ_SLICE_EXTENSION_GET as usize);
    assert!(abi::PR_SET == uapi::PR_RSEQ_SLICE_EXTENSION_SET as usize);
    assert!(Layout::Bits.request() == uapi::rseq_slice_ext_RSEQ_SLICE_EXT_REQUEST);
    assert!(Layout::Bits.granted() == uapi::rseq_slice_ext_RSEQ_SLICE_EXT_GRANTED);
    assert!(offset_of!(CtrlBytes, request) == 0 && offset_of!(CtrlBytes, granted) == 1);
    assert!(offset_of!(uapi::rseq, flags) == 16);
    assert!(offset_of!(uapi::rseq, slice_ctrl) == 28);
};

/// `rseq_slice_state::granted` of a grant that the control word shows.
const SHOWN: u8 = 1;
/// `rseq_slice_state::granted` of a grant that an update of user space has erased.
const HIDDEN: u8 = 2;

/// The thread that runs on this CPU, or that an interrupt on this CPU interrupted.
pub(crate) struct Thread(CurrentSlice);

impl Thread {
    /// The mode of the thread. A thread with [`Mode::OFF`] has no grant.
    pub(crate) fn mode(&self) -> Mode {
        Mode::from_enabled(self.slice_enabled())
    }

    /// Sets the mode of the thread.
    pub(crate) fn set_mode(&self, mode: Mode) {
        self.set_slice_enabled(mode.enabled());
    }

    /// Whether the thread has a grant.
    pub(crate) fn has_grant(&self) -> bool {
        self.slice_granted() != 0
    }

    /// Whether user space sees the grant of a thread that has one.
    pub(crate) fn shows_grant(&self) -> bool {
        self.slice_granted() == SHOWN
    }

    /// What the thread is doing.
    pub(crate) fn phase(&self) -> Phase {
        if self.has_grant() {
            self.phase_with_grant()
        } else {
            Phase::Idle
        }
    }

    /// The phase of a thread that has a grant, or had one until now.
    pub(crate) fn phase_with_grant(&self) -> Phase {
        Phase::with_grant(self.slice_switches(), self.switches())
    }

    /// The phase of a thread whose grant `timer` bounds; [`Phase::Idle`] of any other.
    pub(crate) fn phase_for_timer<T>(
        &self,
        timer: Pin<&T>,
        _irq: &LocalInterruptDisabled,
    ) -> Phase {
        if self.slice_timer_is(timer) {
            self.phase_with_grant()
        } else {
            Phase::Idle
        }
    }

    /// Enters [`Phase::Granted`], with a grant that `timer` bounds.
    ///
    /// Interrupts are disabled until the timer is started: the callback must not take the expiry of
    /// an older grant for this one's. If seccomp or a tracer skipped a `rseq_slice_yield(2)`, its
    /// pending result is dropped.
    pub(crate) fn begin<T>(
        &self,
        now: Instant<Monotonic>,
        timer: Pin<&'static T>,
        _irq: &LocalInterruptDisabled,
    ) {
        self.set_slice_begin(now);
        self.set_slice_switches(self.switches());
        self.set_slice_timer(Some(timer));
        self.set_slice_yielded(0);
        self.set_slice_granted(SHOWN);
    }

    /// Enters [`Phase::Spent`] without a switch.
    pub(crate) fn spend(&self, _irq: &LocalInterruptDisabled) {
        self.set_slice_switches(Phase::SPENT_SWITCHES);
    }

    /// Notes that an update of user space has erased the control word of a grant that goes on.
    pub(crate) fn hide_grant(&self) {
        self.set_slice_granted(HIDDEN);
    }

    /// Enters [`Phase::Idle`].
    pub(crate) fn end(&self) {
        // The timer first: it must not act on a grant that has ended.
        self.set_slice_timer::<()>(None);
        self.set_slice_granted(0);
    }

    /// Notes for `rseq_slice_yield(2)` that it gave the CPU up.
    pub(crate) fn set_yielded(&self) {
        self.set_slice_yielded(1);
    }

    /// Returns and forgets what [`Thread::set_yielded()`] noted: 1, or 0 if it was not called.
    pub(crate) fn take_yielded(&self) -> u8 {
        let yielded = self.slice_yielded();

        self.set_slice_yielded(0);
        yielded
    }
}

impl From<CurrentSlice> for Thread {
    fn from(slice: CurrentSlice) -> Self {
        Self(slice)
    }
}

impl Deref for Thread {
    type Target = CurrentSlice;

    fn deref(&self) -> &CurrentSlice {
        &self.0
    }
}
