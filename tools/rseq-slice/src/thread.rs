// SPDX-License-Identifier: MIT OR Apache-2.0

//! What each thread has: the address of its control word, and an area of its own.

use core::cell::Cell;
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU8, AtomicU32};

use crate::exit::ExitCall;
use crate::real::{OwnArea, Real};
use crate::word::{self, ControlWord};
use crate::{Area, Why, arch, policy, setup};

/// A control word that no kernel sees. Its request is set, so that the first section of a thread takes
/// the slow path.
#[repr(C, align(2))]
struct NotSetUp {
    request: u8,
    granted: u8,
}
static NOT_SET_UP: NotSetUp = NotSetUp {
    request: 0xff,
    granted: 0,
};

/// It is in static thread-local storage, which only assembly can define: the kernel writes to the area until
/// the thread ends, and allocating it lazily could recurse.
///
/// `word` is the address of [`NOT_SET_UP`] at first, everything else 0.
#[repr(C, align(64))]
struct Thread {
    word: Cell<Word>,
    /// Encoded by [`encode`]; 0: not set up. Atomic with respect to signal handlers of the thread.
    support: AtomicU32,
    exit: Cell<ExitCall>,
    unshared: [Cell<u8>; 3],
    own: OwnArea,
}

const _: () = {
    assert!(align_of::<Thread>() == 64);
    assert!(offset_of!(Thread, word) == 0 && offset_of!(Thread, unshared) % 2 == 1);
};

core::arch::global_asm!(
    ".pushsection .tdata.rseq_slice, \"awT\", @progbits",
    ".p2align 6",
    concat!(".hidden ", thread_symbol!()),
    concat!(".weak ", thread_symbol!()),
    concat!(".type ", thread_symbol!(), ", @object"),
    concat!(".size ", thread_symbol!(), ", {size}"),
    concat!(thread_symbol!(), ":"),
    ".8byte {not_set_up}",
    ".zero {size} - {pointer}",
    ".popsection",
    not_set_up = sym NOT_SET_UP,
    size = const size_of::<Thread>(),
    pointer = const size_of::<Cell<Word>>(),
);

/// The address of a control word. Even: one that the calling thread shares with the kernel, or
/// [`NOT_SET_UP`]. Odd: one for sections that make no request.
///
/// So [`end`] needs no other information about the section that it ends.
#[derive(Debug, Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Word(NonNull<u8>);

/// A word for sections of no thread.
#[repr(align(2))]
struct Nobodys([AtomicU8; 3]);
static NOBODYS: Nobodys = Nobodys([const { AtomicU8::new(0) }; 3]);

impl Word {
    pub(crate) const NOBODYS: Self = Self({
        let address = (&raw const NOBODYS.0[1]).cast_mut().cast();
        // SAFETY: The address of a static.
        unsafe { NonNull::new_unchecked(address) }
    });

    /// # Safety
    ///
    /// `address` is the [`Thread::word`] of the calling thread.
    #[inline(always)]
    unsafe fn new_unchecked(address: *mut u8) -> Self {
        // SAFETY: The field is not null, by its type.
        Self(unsafe { NonNull::new_unchecked(address) })
    }

    #[inline(always)]
    pub(crate) fn into_raw(self) -> NonNull<()> {
        self.0.cast()
    }

    /// # Safety
    ///
    /// `raw` comes from [`into_raw`](Self::into_raw) in the calling thread.
    #[inline(always)]
    pub(crate) unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Self(raw.cast())
    }

    /// Whether the kernel looks at it.
    #[inline(always)]
    pub(crate) fn is_shared(self) -> bool {
        self.0.addr().get() % 2 == 0
    }

    pub(crate) fn address(self) -> Option<NonNull<u8>> {
        self.is_shared().then_some(self.0)
    }
}

impl ControlWord for Word {
    #[inline(always)]
    fn request(self) -> u8 {
        // SAFETY: Every control word is two bytes that can be read.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn granted(self) -> u8 {
        // SAFETY: The second of two bytes.
        let granted = unsafe { self.0.add(1) };
        // SAFETY: Every control word is two bytes that can be read.
        unsafe { granted.read_volatile() }
    }

    #[inline(always)]
    fn set_request(self, value: u8) {
        // SAFETY: A control word of this thread or of nobody. `NOT_SET_UP`, which is constant, never gets
        // here: its request is set.
        let request = unsafe { AtomicU8::from_ptr(self.0.as_ptr()) };
        // Atomic because several threads may end `NOBODYS` at the same time.
        request.store(value, Relaxed);
    }

    #[inline(always)]
    fn leave(self) {
        leave();
    }
}

/// The control word of the calling thread; where the extension is off, one that is not shared.
#[inline(always)]
pub(crate) fn word() -> Word {
    // SAFETY: The variable begins with the `Thread::word` of the calling thread.
    unsafe { Word::new_unchecked(arch::word()) }
}

/// Begins a section of the calling thread.
#[inline(always)]
pub(crate) fn begin() -> Word {
    let word = word();
    if word.is_shared() && !word::begin(word) {
        return begin_slow();
    }
    word
}

/// Ends a section.
#[inline(always)]
pub(crate) fn end(word: Word) {
    word::end(word);
}

/// A section around this one made the request, or the thread is not set up.
#[cold]
#[inline(never)]
fn begin_slow() -> Word {
    let thread = current();
    if thread.set_up() {
        let word = thread.word.get();
        if word.is_shared() && word::begin(word) {
            return word;
        }
    }
    thread.unshared()
}

pub(crate) fn support() -> Result<Area, Why> {
    let thread = current();
    thread.set_up();
    decode(thread.support.load(Relaxed))
}

/// Ends a grant.
#[cold]
#[inline(never)]
pub(crate) fn leave() {
    let exit = &current().exit;
    exit.set(exit.get().make());
}

fn current<'a>() -> &'a Thread {
    // SAFETY: The storage lives as long as the thread, all of it is behind cells, and `Thread` is not
    // `Sync`, so that the reference stays in this thread.
    unsafe { &*arch::thread().cast() }
}

impl Thread {
    /// A word of the thread's own that is not shared.
    fn unshared(&self) -> Word {
        Word(NonNull::from(&self.unshared).cast())
    }

    /// Sets the thread up, unless that is done, or is being done by code that this signal handler has
    /// interrupted. Returns whether it did.
    ///
    /// A handler that begins a section meanwhile finds the extension off.
    #[cold]
    fn set_up(&self) -> bool {
        let claim = encode(Err(Why::SwitchedOff));
        // One step: a handler in between would register the area, and this code again.
        let claimed = self.support.compare_exchange(0, claim, Relaxed, Relaxed);
        if claimed.is_err() {
            return false;
        }
        let policy = policy::fixed();
        self.word.set(self.unshared());
        let kernel = Real::new(&self.own);
        let result = setup::set_up(&kernel, policy);
        self.exit.set(ExitCall::of(policy.exit));
        if let Some(word) = result.ok().and_then(|area| kernel.control_word(area)) {
            self.word.set(Word(word));
        }
        self.support.store(encode(result), Relaxed);
        true
    }
}

/// The kind in the lowest byte, an error number above.
fn encode(support: Result<Area, Why>) -> u32 {
    match support {
        Ok(Area::Libc) => 0x81,
        Ok(Area::Own) => 0x82,
        Ok(Area::TakenOver) => 0x83,
        Err(why @ Why::Refused(errno)) => u32::from(why.number()) | (errno as u32) << 8,
        Err(why) => why.number().into(),
    }
}

fn decode(support: u32) -> Result<Area, Why> {
    Err(match support & 0xff {
        0x81 => return Ok(Area::Libc),
        0x82 => return Ok(Area::Own),
        0x83 => return Ok(Area::TakenOver),
        2 => Why::NoRseq,
        3 => Why::KernelBefore7,
        4 => Why::NotBuiltIn,
        5 => Why::OffAtBoot,
        6 => Why::LegacyArea,
        7 => Why::ForeignArea,
        8 => Why::Tcmalloc,
        10 => Why::Refused((support >> 8) as i32),
        _ => Why::SwitchedOff,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn support_is_kept() {
        for support in [
            Ok(Area::Libc),
            Ok(Area::Own),
            Ok(Area::TakenOver),
            Err(Why::NoRseq),
            Err(Why::KernelBefore7),
            Err(Why::NotBuiltIn),
            Err(Why::OffAtBoot),
            Err(Why::LegacyArea),
            Err(Why::ForeignArea),
            Err(Why::Tcmalloc),
            Err(Why::SwitchedOff),
            Err(Why::Refused(1)),
            Err(Why::Refused(524)),
        ] {
            assert_ne!(encode(support), 0);
            assert_eq!(decode(encode(support)), support);
        }
    }
}
