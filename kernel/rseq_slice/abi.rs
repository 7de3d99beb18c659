// SPDX-License-Identifier: GPL-2.0

//! The words that the slice extension shares with user space.
//!
//! Every function here is pure and knows nothing of the kernel, so that this file also compiles on
//! a host, where the unit tests below and the model of the state machine use it.
//!
//! A thread picks one of two layouts of `rseq::slice_ctrl` with
//! `prctl(PR_RSEQ_SLICE_EXTENSION, PR_RSEQ_SLICE_EXTENSION_SET, ...)`; all that sets them apart is
//! in [`Layout`].

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

/// The order in which a machine keeps the bytes of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ByteOrder {
    /// The least significant byte comes first.
    Little,
    /// The most significant byte comes first.
    Big,
}

impl ByteOrder {
    /// The order of the machine that this is compiled for.
    pub(crate) const NATIVE: Self = if cfg!(target_endian = "big") {
        Self::Big
    } else {
        Self::Little
    };

    const fn word(self, bytes: [u8; 4]) -> u32 {
        match self {
            Self::Little => u32::from_le_bytes(bytes),
            Self::Big => u32::from_be_bytes(bytes),
        }
    }
}

/// A read-modify-write of the control word.
///
/// If `old & need` is not zero, `(old & !clear) | set` is stored; otherwise nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    /// Any of these bits has to be set for the store to happen.
    pub(crate) need: u32,
    /// The bits that the store clears.
    pub(crate) clear: u32,
    /// The bits that the store sets.
    pub(crate) set: u32,
}

impl Update {
    /// Leaves zero behind.
    pub(crate) const ERASE: Self = Self {
        need: !0,
        clear: !0,
        set: 0,
    };
}

/// Whether a thread has the extension on, and with which layout: the `PR_RSEQ_SLICE_EXT_*` bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice(u8);

impl Choice {
    /// The extension is off.
    pub(crate) const OFF: Self = Self(0);
    /// The extension is on with [`Layout::Bytes`].
    pub(crate) const BYTES: Self = Self(PR_ENABLE);
    /// The extension is on with [`Layout::Bits`].
    pub(crate) const BITS: Self = Self(PR_ENABLE | PR_BITS);

    /// Takes what `rseq_slice_state::enabled` keeps, which is what [`Choice::enabled()`] gave.
    #[inline]
    pub(crate) const fn from_enabled(enabled: u8) -> Self {
        Self(enabled)
    }

    /// What `rseq_slice_state::enabled` keeps and `PR_RSEQ_SLICE_EXTENSION_GET` returns.
    #[inline]
    pub(crate) const fn enabled(self) -> u8 {
        self.0
    }

    /// The layout of the control word; [`Layout::Bytes`] where the extension is off, which is the
    /// one that is checked less.
    #[inline]
    pub(crate) const fn layout(self) -> Layout {
        if self.has_bits() {
            Layout::Bits
        } else {
            Layout::Bytes
        }
    }

    #[inline]
    const fn is_on(self) -> bool {
        self.0 != Self::OFF.0
    }

    #[inline]
    const fn has_bits(self) -> bool {
        self.0 & PR_BITS != 0
    }
}

/// How `rseq::slice_ctrl` is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `struct rseq_slice_ctrl`: one byte for the request, one for the grant. User space stores
    /// bytes. What it stores is held against the kernel's state under `rseq_debug` only.
    Bytes,
    /// One native word: bit 0 requests, bit 1 grants. User space leaves with a CPU-local
    /// test-and-clear of bit 0. All but bit 0 is held against the kernel's state always.
    Bits,
}

impl Layout {
    /// The bits of which any, when set, is a request.
    #[inline]
    pub(crate) const fn request(self, order: ByteOrder) -> u32 {
        match self {
            Self::Bytes => order.word([0xff, 0, 0, 0]),
            Self::Bits => 1 << 0,
        }
    }

    /// The bits that belong to the grant.
    #[inline]
    const fn grant(self, order: ByteOrder) -> u32 {
        match self {
            Self::Bytes => order.word([0, 0xff, 0, 0]),
            Self::Bits => 1 << 1,
        }
    }

    /// The word of a thread that has a grant and does not request another one.
    #[inline]
    pub(crate) const fn granted(self, order: ByteOrder) -> u32 {
        match self {
            Self::Bytes => order.word([0, 1, 0, 0]),
            Self::Bits => 1 << 1,
        }
    }

    /// Turns a request into a grant; a word without a request stays as it is.
    #[inline]
    pub(crate) const fn offer(self, order: ByteOrder) -> Update {
        Update {
            need: self.request(order),
            clear: self.request(order) | self.grant(order),
            set: self.granted(order),
        }
    }

    /// Whether `word` tells the truth about a grant, as seen by the grant decision.
    #[inline]
    pub(crate) const fn truthful(self, order: ByteOrder, word: u32, granted: bool) -> bool {
        match self {
            Self::Bytes => true,
            Self::Bits => word & !self.request(order) == self.expected(order, granted),
        }
    }

    /// Whether taking a grant back has to look at the word. Where it has not, any word is
    /// [truthful](Layout::truthful()).
    #[inline]
    pub(crate) const fn checked_at_revocation(self) -> bool {
        matches!(self, Self::Bits)
    }

    /// Whether system call entry has to look at the word. `debug` is `rseq_debug`.
    #[inline]
    pub(crate) const fn checked_at_entry(self, debug: bool) -> bool {
        match self {
            Self::Bytes => debug,
            Self::Bits => true,
        }
    }

    /// Whether `word` tells the truth about a grant, as seen by system call entry.
    ///
    /// With [`Layout::Bytes`] this is the whole word but for a request of a thread without a grant:
    /// the system call may be one that a thread cannot avoid, as when a signal handler returns.
    /// During a grant a request counts as a lie, as critical sections do not nest.
    #[inline]
    pub(crate) const fn truthful_at_entry(
        self,
        order: ByteOrder,
        word: u32,
        granted: bool,
    ) -> bool {
        match self {
            Self::Bytes => {
                let ignored = if granted { 0 } else { self.request(order) };

                word & !ignored == self.expected(order, granted)
            }
            Self::Bits => self.truthful(order, word, granted),
        }
    }

    #[inline]
    const fn expected(self, order: ByteOrder, granted: bool) -> u32 {
        if granted {
            self.granted(order)
        } else {
            0
        }
    }
}

/// An operation of `prctl(PR_RSEQ_SLICE_EXTENSION, ...)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prctl {
    /// Returns the thread's choice.
    Get,
    /// Sets the thread's choice.
    Set(Choice),
}

impl Prctl {
    /// Decodes the second and the third argument. `None` is what `EINVAL` is returned for.
    pub(crate) const fn parse(op: usize, value: usize) -> Option<Self> {
        const OFF: usize = Choice::OFF.0 as usize;
        const BYTES: usize = Choice::BYTES.0 as usize;
        const BITS: usize = Choice::BITS.0 as usize;

        match (op, value) {
            (PR_GET, 0) => Some(Self::Get),
            // CAST: The pattern leaves no value that does not fit.
            (PR_SET, OFF | BYTES | BITS) => Some(Self::Set(Choice(value as u8))),
            _ => None,
        }
    }
}

/// Whether the flags of a registered `struct rseq` are those that the kernel stored.
///
/// Bits of other features do not count, nor does an enabled bit that user space forged while the
/// extension is off: the C implementation looks at neither.
pub(crate) const fn flags_truthful(flags: u32, choice: Choice) -> bool {
    let must = if choice.is_on() {
        FLAG_AVAILABLE | FLAG_ENABLED
    } else {
        FLAG_AVAILABLE
    };

    flags & must == must
}

/// The flags of a registered `struct rseq` for a new `choice`.
pub(crate) const fn flags_for(flags: u32, choice: Choice) -> u32 {
    if choice.is_on() {
        flags | FLAG_ENABLED | FLAG_AVAILABLE
    } else {
        (flags & !FLAG_ENABLED) | FLAG_AVAILABLE
    }
}

/// Whether going from one choice to another has to erase the control word.
///
/// Every change into or out of [`Layout::Bits`] that leaves the extension on does: what a word of
/// one layout says means something else, or is a lie, in the other. The changes that C knows, on
/// and off, leave the word alone.
pub(crate) const fn erases_ctrl(from: Choice, to: Choice) -> bool {
    to.is_on() && from.has_bits() != to.has_bits()
}

/// The length of an extension in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Length(u32);

impl Length {
    /// The shortest extension: 5 us.
    pub(crate) const MIN: Self = Self(5_000);
    /// The longest extension: 50 us.
    pub(crate) const MAX: Self = Self(50_000);

    /// `None` is what `ERANGE` is returned for.
    pub(crate) const fn from_nanos(nanos: u32) -> Option<Self> {
        if nanos < Self::MIN.0 || nanos > Self::MAX.0 {
            None
        } else {
            Some(Self(nanos))
        }
    }

    /// The length in nanoseconds.
    pub(crate) const fn as_nanos(self) -> u32 {
        self.0
    }
}

#[cfg(any(test, CONFIG_RSEQ_SLICE_KUNIT_TEST))]
#[cfg_attr(not(test), kernel::macros::kunit_tests(rseq_slice_abi))]
mod tests {
    use super::*;

    const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

    #[test]
    fn bytes_are_where_struct_rseq_slice_ctrl_has_them() {
        assert_eq!(
            Layout::Bytes.request(ByteOrder::NATIVE).to_ne_bytes(),
            [0xff, 0, 0, 0]
        );
        assert_eq!(
            Layout::Bytes.granted(ByteOrder::NATIVE).to_ne_bytes(),
            [0, 1, 0, 0]
        );
        assert_eq!(Layout::Bytes.granted(ByteOrder::Little), 0x0000_0100);
        assert_eq!(Layout::Bytes.granted(ByteOrder::Big), 0x0001_0000);
    }

    #[test]
    fn bits_are_the_same_in_both_orders() {
        for order in ORDERS {
            assert_eq!(Layout::Bits.request(order), 1);
            assert_eq!(Layout::Bits.granted(order), 2);
        }
    }

    #[test]
    fn offer_turns_any_request_into_exactly_one_grant() {
        for order in ORDERS {
            for byte in [1, 0x80, 0xff] {
                let old = order.word([byte, 0xaa, 0x12, 0x34]);
                assert_eq!(
                    apply(Layout::Bytes.offer(order), old),
                    order.word([0, 1, 0x12, 0x34])
                );
            }
            assert_eq!(apply(Layout::Bits.offer(order), 1), 2);
        }
    }

    #[test]
    fn offer_leaves_a_word_without_a_request_alone() {
        for order in ORDERS {
            let old = order.word([0, 0xaa, 0x12, 0x34]);
            assert_eq!(apply(Layout::Bytes.offer(order), old), old);
            assert_eq!(apply(Layout::Bits.offer(order), 0xffff_fffe), 0xffff_fffe);
        }
    }

    #[test]
    fn erase_leaves_zero() {
        for old in [0, 1, 0x8000_0000, !0] {
            assert_eq!(apply(Update::ERASE, old), 0);
        }
    }

    #[test]
    fn bytes_are_believed_by_the_decision_and_checked_at_entry() {
        for order in ORDERS {
            let layout = Layout::Bytes;
            let grant = layout.granted(order);
            assert!(layout.truthful(order, !0, false));
            assert!(layout.truthful_at_entry(order, grant, true));
            assert!(layout.truthful_at_entry(order, 0, false));
            for request in [1, 0x80, 0xff] {
                let word = order.word([request, 0, 0, 0]);
                assert!(layout.truthful_at_entry(order, word, false));
                assert!(!layout.truthful_at_entry(order, word | grant, true));
                assert!(!layout.truthful_at_entry(order, word | grant, false));
            }
            for rest in [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] {
                assert!(!layout.truthful_at_entry(order, order.word(rest), false));
            }
            assert!(!layout.truthful_at_entry(order, grant, false));
            assert!(!layout.truthful_at_entry(order, 0, true));
            assert!(!layout.truthful_at_entry(order, grant | order.word([1, 0, 0, 0]), true));
            assert!(!layout.truthful_at_entry(order, grant | order.word([0, 0, 1, 0]), true));
        }
        assert!(!Layout::Bytes.checked_at_entry(false));
        assert!(Layout::Bytes.checked_at_entry(true));
    }

    #[test]
    fn bits_are_checked_always_and_a_request_never_counts() {
        let layout = Layout::Bits;
        for order in ORDERS {
            for request in [0, 1] {
                assert!(layout.truthful(order, request, false));
                assert!(layout.truthful(order, 2 | request, true));
                assert!(!layout.truthful(order, request, true));
                assert!(!layout.truthful(order, 2 | request, false));
                for bit in 2..32 {
                    assert!(!layout.truthful(order, request | 1 << bit, false));
                    assert!(!layout.truthful_at_entry(order, 2 | request | 1 << bit, true));
                }
            }
        }
        assert!(layout.checked_at_entry(false));
        assert!(layout.checked_at_entry(true));
    }

    #[test]
    fn a_revocation_checks_what_can_lie() {
        for layout in [Layout::Bytes, Layout::Bits] {
            for order in ORDERS {
                let lies = [0, 1, 4, !0]
                    .iter()
                    .any(|&word| !layout.truthful(order, word, true));
                assert_eq!(layout.checked_at_revocation(), lies);
            }
        }
    }

    #[test]
    fn enabled_keeps_a_choice() {
        for (choice, enabled, layout) in [
            (Choice::OFF, 0, Layout::Bytes),
            (Choice::BYTES, 1, Layout::Bytes),
            (Choice::BITS, 3, Layout::Bits),
        ] {
            assert_eq!(choice.enabled(), enabled);
            assert_eq!(Choice::from_enabled(enabled), choice);
            assert_eq!(choice.layout(), layout);
        }
    }

    #[test]
    fn prctl_takes_what_is_documented_and_nothing_else() {
        assert_eq!(Prctl::parse(1, 0), Some(Prctl::Get));
        assert_eq!(Prctl::parse(2, 0), Some(Prctl::Set(Choice::OFF)));
        assert_eq!(Prctl::parse(2, 1), Some(Prctl::Set(Choice::BYTES)));
        assert_eq!(Prctl::parse(2, 3), Some(Prctl::Set(Choice::BITS)));
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
    fn flags_follow_the_choice() {
        let on = Choice::BYTES;
        let other = 0x8000_0001;
        assert_eq!(flags_for(other, on), other | FLAG_AVAILABLE | FLAG_ENABLED);
        assert_eq!(
            flags_for(other | FLAG_AVAILABLE | FLAG_ENABLED, Choice::OFF),
            other | FLAG_AVAILABLE
        );
        assert_eq!(flags_for(0, Choice::OFF), FLAG_AVAILABLE);
        let both = other | FLAG_AVAILABLE | FLAG_ENABLED;
        assert_eq!(flags_for(both, Choice::BITS), both);
        assert!(flags_truthful(flags_for(0, on), on));
        assert!(flags_truthful(FLAG_AVAILABLE | FLAG_ENABLED, Choice::OFF));
        assert!(!flags_truthful(FLAG_AVAILABLE, on));
        assert!(!flags_truthful(FLAG_ENABLED, on));
        assert!(!flags_truthful(0, Choice::OFF));
    }

    #[test]
    fn the_word_is_erased_when_its_meaning_changes() {
        let (off, bytes, bits) = (Choice::OFF, Choice::BYTES, Choice::BITS);
        assert!(erases_ctrl(bytes, bits));
        assert!(erases_ctrl(bits, bytes));
        assert!(erases_ctrl(off, bits));
        assert!(!erases_ctrl(off, bytes));
        assert!(!erases_ctrl(bytes, off));
        assert!(!erases_ctrl(bits, off));
    }

    #[test]
    fn length_has_bounds() {
        assert_eq!(Length::from_nanos(4_999), None);
        assert_eq!(Length::from_nanos(5_000), Some(Length::MIN));
        assert_eq!(Length::from_nanos(50_000), Some(Length::MAX));
        assert_eq!(Length::from_nanos(50_001), None);
        assert_eq!(Length::from_nanos(7_000).map(Length::as_nanos), Some(7_000));
    }

    /// The rule that the helper behind `UserPtr::update_u32()` follows.
    fn apply(update: Update, old: u32) -> u32 {
        if old & update.need != 0 {
            (old & !update.clear) | update.set
        } else {
            old
        }
    }
}
