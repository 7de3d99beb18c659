// SPDX-License-Identifier: MIT OR Apache-2.0

//! What lock authors call.

use core::marker::PhantomData;
use core::ptr::NonNull;

use crate::thread::{self, Word};
use crate::{Area, Why};

/// What [`begin`] leaves for [`end`], in the same thread.
#[derive(Debug)]
#[must_use = "the request stays until the section ends"]
pub struct Token(Word, PhantomData<*mut ()>);

impl Token {
    /// Of no section: [`end`] does nothing with it.
    pub const NONE: Self = Self(Word::NOBODYS, PhantomData);

    /// The token as a pointer, for a lock that keeps it in the word that tells who holds it. It points to
    /// nothing that a caller may touch.
    ///
    /// ```
    /// use rseq_slice::{Token, begin, end};
    ///
    /// let raw = begin().into_raw();
    /// // SAFETY: `raw` was made of a token of this thread, and is used once.
    /// end(unsafe { Token::from_raw(raw) });
    /// ```
    #[inline(always)]
    pub fn into_raw(self) -> NonNull<()> {
        self.0.into_raw()
    }

    /// The token that a pointer was made of.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`into_raw`](Self::into_raw) in the same thread, and becomes a token once.
    #[inline(always)]
    pub unsafe fn from_raw(raw: NonNull<()>) -> Self {
        // SAFETY: `raw` comes from `into_raw` in the same thread, by the requirements on the caller.
        Self(unsafe { Word::from_raw(raw) }, PhantomData)
    }

    /// Whether this section made a request: the extension works, and no section is around this one.
    #[inline(always)]
    pub fn is_outermost(&self) -> bool {
        self.0.is_shared()
    }
}

impl Default for Token {
    #[inline(always)]
    fn default() -> Self {
        Self::NONE
    }
}

/// Begins a section: asks the kernel not to preempt the calling thread for a few microseconds.
///
/// Never fails, and does nothing if the extension does not work or a section is open already. The
/// first call in a thread sets the thread up, with a few system calls; it does not allocate, lock or
/// change `errno`. Callable in signal handlers and allocators.
///
/// A section should be short and make no system call, which would end a grant. It may be left by a
/// panic or `longjmp(3)` without [`end`]: the request then stays until the kernel has refused it or its
/// grant has ended, and sections until then are nested in this one. It does not help to keep a request
/// set all the time: there is one grant for each reschedule.
///
/// ```
/// let token = rseq_slice::begin();
/// // ... take the lock, change what it guards, release the lock ...
/// rseq_slice::end(token);
/// ```
#[inline(always)]
pub fn begin() -> Token {
    Token(thread::begin(), PhantomData)
}

/// Ends the section of `token`. If there is a grant, the thread gives the CPU up here.
#[inline(always)]
pub fn end(token: Token) {
    thread::end(token.0);
}

/// A section that ends with its scope.
///
/// ```
/// {
///     let _section = rseq_slice::section();
///     // ... take the lock, change what it guards, release the lock ...
/// }
/// ```
///
/// It belongs to its thread:
///
/// ```compile_fail,E0277
/// let section = rseq_slice::section();
/// std::thread::spawn(move || drop(section));
/// ```
#[derive(Debug)]
#[must_use = "a section ends when it is dropped"]
pub struct Section(Token);

/// Begins a [`Section`].
#[inline(always)]
pub fn section() -> Section {
    Section(begin())
}

impl Section {
    /// Ends the section; the same as dropping it.
    #[inline(always)]
    pub fn end(self) {}

    /// Calls `wait` outside the section: a thread that waits for a lock with a request only keeps the
    /// lock's holder from the CPU.
    #[inline(always)]
    pub fn waiting<R>(&mut self, wait: impl FnOnce() -> R) -> R {
        end(core::mem::take(&mut self.0));
        let result = wait();
        self.0 = begin();
        result
    }
}

impl Drop for Section {
    #[inline(always)]
    fn drop(&mut self) {
        end(core::mem::take(&mut self.0));
    }
}

/// Whether the extension works for the calling thread; sets the thread up if it is not.
///
/// # Errors
///
/// [`Why`] it does not.
pub fn support() -> Result<Area, Why> {
    thread::support()
}

/// The address of the byte `request` in the calling thread's control word, with `granted` behind it;
/// `None` if the extension does not work. For code generators.
///
/// They emit [`begin`] and [`end`]: if both bytes are 0, store 1 to the first; later store 0 to it, and
/// if the second is not 0, call [`leave`]. Each access is to a single byte.
pub fn control_word() -> Option<NonNull<u8>> {
    support().ok()?;
    thread::word().address()
}

/// Ends a grant, as [`end`] does when it finds one. For code generators.
#[cold]
pub fn leave() {
    thread::leave();
}
