// SPDX-License-Identifier: GPL-2.0

//! The words that the slice extension shares with user space.
//!
//! Every function here is pure and imports nothing from the kernel. So this file also compiles on a
//! host, where the unit tests below and the model of the state machine use it.
//!
//! A thread selects one of two layouts of `rseq::slice_ctrl`, the control word, with
//! `prctl(PR_RSEQ_SLICE_EXTENSION, PR_RSEQ_SLICE_EXTENSION_SET, ...)`. All differences between them
//! are in [`Layout`].

/// `RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE` in `rseq::flags`.
pub(crate) const FLAG_AVAILABLE: u32 = 1 << 4;
/// `RSEQ_CS_FLAG_SLICE_EXT_ENABLED` in `rseq::flags`.
pub(crate) const FLAG_ENABLED: u32 = 1 << 5;

/// `PR_RSEQ_SLICE_EXT_ENABLE`: the extension is on.
pub(crate) const PR_ENABLE: u8 = 0x01;
/// `PR_RSEQ_SLICE_EXT_BITS`: the BITS layout of the control word. Valid with [`PR_ENABLE`] only.
pub(crate) const PR_BITS: u8 = 0x02;

/// `PR_RSEQ_SLICE_EXTENSION_GET`.
pub(crate) const PR_GET: usize = 1;
/// `PR_RSEQ_SLICE_EXTENSION_SET`.
pub(crate) const PR_SET: usize = 2;

/// A read-modify-write of the control word.
///
/// If `old & need` is not zero, `(old & !clear) | set` is stored; otherwise nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Modify {
    /// The store happens if any of these bits is set.
    pub(crate) need: u32,
    /// The bits that the store clears.
    pub(crate) clear: u32,
    /// The bits that the store sets.
    pub(crate) set: u32,
}

impl Modify {
    /// Leaves zero behind.
    pub(crate) const ERASE: Self = Self {
        need: !0,
        clear: !0,
        set: 0,
    };
}

/// Whether a thread has the extension on, and with which layout: the `PR_RSEQ_SLICE_EXT_*` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mode(u8);

impl Mode {
    /// The extension is off.
    pub(crate) const OFF: Self = Self(0);
    /// The extension is on with [`Layout::Bytes`].
    pub(crate) const BYTES: Self = Self(PR_ENABLE);
    /// The extension is on with [`Layout::Bits`].
    pub(crate) const BITS: Self = Self(PR_ENABLE | PR_BITS);

    /// The mode of `rseq_slice_state::enabled`, which keeps what [`Mode::enabled()`] returns.
    pub(crate) const fn from_enabled(enabled: u8) -> Self {
        Self(enabled)
    }

    /// What `rseq_slice_state::enabled` keeps and `PR_RSEQ_SLICE_EXTENSION_GET` returns.
    pub(crate) const fn enabled(self) -> u8 {
        self.0
    }

    /// The layout of the control word. It is [`Layout::Bytes`] where the extension is off, because
    /// that layout has fewer checked bits.
    pub(crate) const fn layout(self) -> Layout {
        if self.has_bits() {
            Layout::Bits
        } else {
            Layout::Bytes
        }
    }

    const fn is_on(self) -> bool {
        self.0 != Self::OFF.0
    }

    const fn has_bits(self) -> bool {
        self.0 & PR_BITS != 0
    }
}

/// How `rseq::slice_ctrl` is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Layout {
    /// `struct rseq_slice_ctrl`: one byte for the request, one for the grant. User space stores
    /// bytes. The word is checked against the kernel's state under `rseq_debug` only.
    Bytes,
    /// One native word: bit 0 requests, bit 1 grants. User space leaves with a CPU-local
    /// test-and-clear of bit 0. All other bits are always checked against the kernel's state.
    Bits,
}

impl Layout {
    /// The bits of the request. Any of them, when set, is one.
    pub(crate) const fn request(self) -> u32 {
        match self {
            Self::Bytes => u32::from_ne_bytes([0xff, 0, 0, 0]),
            Self::Bits => 1 << 0,
        }
    }

    /// The bits that belong to the grant.
    const fn grant(self) -> u32 {
        match self {
            Self::Bytes => u32::from_ne_bytes([0, 0xff, 0, 0]),
            Self::Bits => 1 << 1,
        }
    }

    /// The word of a thread that has a grant and no request.
    pub(crate) const fn granted(self) -> u32 {
        match self {
            Self::Bytes => u32::from_ne_bytes([0, 1, 0, 0]),
            Self::Bits => 1 << 1,
        }
    }

    /// What the grant decision does to the word. It turns a request into a grant, and leaves a word
    /// without a request alone. If `other_work` than the reschedule is pending, it erases the word.
    pub(crate) const fn modification(self, other_work: bool) -> Modify {
        if other_work {
            return Modify::ERASE;
        }

        Modify {
            need: self.request(),
            clear: self.request() | self.grant(),
            set: self.granted(),
        }
    }

    /// The bits that the grant decision and a revocation check. Where there are none, a revocation
    /// does not read the word.
    pub(crate) const fn checked_at_exit(self) -> u32 {
        match self {
            Self::Bytes => 0,
            Self::Bits => !self.request(),
        }
    }

    /// The bits that system call entry checks; `debug` is `rseq_debug`. Where there are none, the
    /// word is not read.
    ///
    /// A request of a thread without a grant is not checked: the thread may be unable to avoid the
    /// system call, for example the return of a signal handler. During a grant a request in
    /// [`Layout::Bytes`] is a violation, because critical sections do not nest.
    pub(crate) const fn checked_at_entry(self, granted: bool, debug: bool) -> u32 {
        match self {
            Self::Bytes if !debug => 0,
            Self::Bytes if granted => !0,
            Self::Bytes | Self::Bits => !self.request(),
        }
    }

    /// Whether the `checked` bits of `word` agree with the kernel's state. If not, that is a
    /// violation.
    pub(crate) const fn is_consistent(self, word: u32, granted: bool, checked: u32) -> bool {
        let expected = if granted { self.granted() } else { 0 };

        (word ^ expected) & checked == 0
    }
}

/// An operation of `prctl(PR_RSEQ_SLICE_EXTENSION, ...)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prctl {
    /// Returns the mode of the thread.
    Get,
    /// Sets the mode of the thread.
    Set(Mode),
}

impl Prctl {
    /// Decodes the second and the third argument. `None` stands for `EINVAL`.
    pub(crate) const fn parse(op: usize, value: usize) -> Option<Self> {
        const OFF: usize = Mode::OFF.0 as usize;
        const BYTES: usize = Mode::BYTES.0 as usize;
        const BITS: usize = Mode::BITS.0 as usize;

        match (op, value) {
            (PR_GET, 0) => Some(Self::Get),
            // CAST: All values of the pattern fit.
            (PR_SET, OFF | BYTES | BITS) => Some(Self::Set(Mode(value as u8))),
            _ => None,
        }
    }
}

/// Whether the flags of a registered `struct rseq` are consistent with the mode of the thread.
///
/// As in the C implementation, bits of other features are not checked, nor is an enabled bit that
/// user space set while the extension is off.
pub(crate) const fn flags_consistent(flags: u32, mode: Mode) -> bool {
    let expected = if mode.is_on() {
        FLAG_AVAILABLE | FLAG_ENABLED
    } else {
        FLAG_AVAILABLE
    };

    flags & expected == expected
}

/// The flags of a registered `struct rseq` for a new `mode`.
pub(crate) const fn flags_for(flags: u32, mode: Mode) -> u32 {
    if mode.is_on() {
        flags | FLAG_ENABLED | FLAG_AVAILABLE
    } else {
        (flags & !FLAG_ENABLED) | FLAG_AVAILABLE
    }
}

/// Whether a change of the mode erases the control word.
///
/// A change into or out of [`Layout::Bits`] that leaves the extension on does: the word has another
/// meaning, or is a violation, in the other layout. The changes that the C implementation knows, on
/// and off, leave the word alone.
pub(crate) const fn erases_ctrl(from: Mode, to: Mode) -> bool {
    to.is_on() && from.has_bits() != to.has_bits()
}

#[cfg(any(test, CONFIG_RSEQ_SLICE_ABI_KUNIT_TEST))]
#[cfg_attr(not(test), kernel::macros::kunit_tests(rseq_slice_abi))]
mod tests {
    use super::*;

    const LAYOUTS: [Layout; 2] = [Layout::Bytes, Layout::Bits];

    fn apply(modify: Modify, old: u32) -> u32 {
        if old & modify.need == 0 {
            old
        } else {
            (old & !modify.clear) | modify.set
        }
    }

    fn bytes(bytes: [u8; 4]) -> u32 {
        u32::from_ne_bytes(bytes)
    }

    #[test]
    fn bytes_are_where_struct_rseq_slice_ctrl_has_them() {
        assert_eq!(Layout::Bytes.request().to_ne_bytes(), [0xff, 0, 0, 0]);
        assert_eq!(Layout::Bytes.granted().to_ne_bytes(), [0, 1, 0, 0]);
    }

    #[test]
    fn bits_are_those_of_enum_rseq_slice_ext() {
        assert_eq!(Layout::Bits.request(), 1);
        assert_eq!(Layout::Bits.granted(), 2);
    }

    #[test]
    fn a_decision_turns_any_request_into_exactly_one_grant() {
        for byte in [1, 0x80, 0xff] {
            let old = bytes([byte, 0xaa, 0x12, 0x34]);
            assert_eq!(
                apply(Layout::Bytes.modification(false), old),
                bytes([0, 1, 0x12, 0x34])
            );
        }
        assert_eq!(apply(Layout::Bits.modification(false), 1), 2);
    }

    #[test]
    fn a_decision_leaves_a_word_without_a_request_alone() {
        let old = bytes([0, 0xaa, 0x12, 0x34]);
        assert_eq!(apply(Layout::Bytes.modification(false), old), old);
        assert_eq!(apply(Layout::Bits.modification(false), !1), !1);
    }

    #[test]
    fn a_decision_with_other_work_erases_any_word() {
        for layout in LAYOUTS {
            for old in [0, 1, 0x8000_0000, !0] {
                assert_eq!(apply(layout.modification(true), old), 0);
            }
        }
    }

    #[test]
    fn bytes_are_not_checked_without_debug() {
        let layout = Layout::Bytes;
        assert_eq!(layout.checked_at_exit(), 0);
        for granted in [false, true] {
            assert_eq!(layout.checked_at_entry(granted, false), 0);
            assert!(layout.is_consistent(!0, granted, 0));
            assert!(layout.is_consistent(0, granted, 0));
        }
    }

    #[test]
    fn debug_checks_bytes_at_entry_but_for_a_request_without_a_grant() {
        let layout = Layout::Bytes;
        let consistent = |word: [u8; 4], granted| {
            let checked = layout.checked_at_entry(granted, true);
            layout.is_consistent(bytes(word), granted, checked)
        };
        assert!(consistent([0, 0, 0, 0], false));
        assert!(consistent([0, 1, 0, 0], true));
        assert!(!consistent([0, 1, 0, 0], false));
        assert!(!consistent([0, 0, 0, 0], true));
        for request in [1, 0x80, 0xff] {
            assert!(consistent([request, 0, 0, 0], false));
            assert!(!consistent([request, 1, 0, 0], false));
            assert!(!consistent([request, 1, 0, 0], true));
        }
        for (third, fourth) in [(1, 0), (0, 1)] {
            assert!(!consistent([0, 0, third, fourth], false));
            assert!(!consistent([0, 1, third, fourth], true));
        }
    }

    #[test]
    fn bits_are_always_checked_but_for_the_request() {
        let layout = Layout::Bits;
        let checked = layout.checked_at_exit();
        for granted in [false, true] {
            for debug in [false, true] {
                assert_eq!(layout.checked_at_entry(granted, debug), checked);
            }
        }
        for request in [0, 1] {
            assert!(layout.is_consistent(request, false, checked));
            assert!(layout.is_consistent(2 | request, true, checked));
            assert!(!layout.is_consistent(request, true, checked));
            assert!(!layout.is_consistent(2 | request, false, checked));
            for bit in 2..32 {
                assert!(!layout.is_consistent(request | 1 << bit, false, checked));
                assert!(!layout.is_consistent(2 | request | 1 << bit, true, checked));
            }
        }
    }

    #[test]
    fn enabled_keeps_a_mode() {
        for (mode, enabled, layout) in [
            (Mode::OFF, 0, Layout::Bytes),
            (Mode::BYTES, 1, Layout::Bytes),
            (Mode::BITS, 3, Layout::Bits),
        ] {
            assert_eq!(mode.enabled(), enabled);
            assert_eq!(Mode::from_enabled(enabled), mode);
            assert_eq!(mode.layout(), layout);
        }
    }

    #[test]
    fn prctl_takes_what_is_documented_and_nothing_else() {
        assert_eq!(Prctl::parse(1, 0), Some(Prctl::Get));
        assert_eq!(Prctl::parse(2, 0), Some(Prctl::Set(Mode::OFF)));
        assert_eq!(Prctl::parse(2, 1), Some(Prctl::Set(Mode::BYTES)));
        assert_eq!(Prctl::parse(2, 3), Some(Prctl::Set(Mode::BITS)));
        for (op, value) in [
            (0, 0),
            (3, 0),
            (1, 1),
            (1, 3),
            (2, 2),
            (2, 4),
            (2, usize::MAX),
        ] {
            assert_eq!(Prctl::parse(op, value), None);
        }
    }

    #[test]
    fn flags_follow_the_mode() {
        let on = Mode::BYTES;
        let other = 0x8000_0001;
        assert_eq!(flags_for(other, on), other | FLAG_AVAILABLE | FLAG_ENABLED);
        assert_eq!(
            flags_for(other | FLAG_AVAILABLE | FLAG_ENABLED, Mode::OFF),
            other | FLAG_AVAILABLE
        );
        assert_eq!(flags_for(0, Mode::OFF), FLAG_AVAILABLE);
        let both = other | FLAG_AVAILABLE | FLAG_ENABLED;
        assert_eq!(flags_for(both, Mode::BITS), both);
        assert!(flags_consistent(flags_for(0, on), on));
        assert!(flags_consistent(FLAG_AVAILABLE | FLAG_ENABLED, Mode::OFF));
        assert!(!flags_consistent(FLAG_AVAILABLE, on));
        assert!(!flags_consistent(FLAG_ENABLED, on));
        assert!(!flags_consistent(0, Mode::OFF));
    }

    #[test]
    fn the_word_is_erased_when_its_meaning_changes() {
        let (off, bytes, bits) = (Mode::OFF, Mode::BYTES, Mode::BITS);
        assert!(erases_ctrl(bytes, bits));
        assert!(erases_ctrl(bits, bytes));
        assert!(erases_ctrl(off, bits));
        assert!(!erases_ctrl(off, bytes));
        assert!(!erases_ctrl(bytes, off));
        assert!(!erases_ctrl(bits, off));
    }
}
