// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sections as rseq-slice makes them, with a recorded control word in place of the kernel's.

use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
#[cfg(all(not(loom), feature = "lock_api_04"))]
use core::ptr::NonNull;
use std::vec::Vec;

use rseq_slice::word::{self, ControlWord};

/// What a thread did, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Request,
    Clear,
    Leave,
    /// Something that a lock did.
    #[cfg(all(not(loom), feature = "lock_api_05"))]
    Did(&'static str),
}

#[derive(Default)]
struct Record {
    request: Cell<u8>,
    granted: Cell<u8>,
    events: RefCell<Vec<Event>>,
}

#[cfg(not(loom))]
std::thread_local!(static RECORD: Record = Record::default());
#[cfg(loom)]
loom::thread_local!(static RECORD: Record = Record::default());

#[derive(Clone, Copy)]
struct Word;

impl ControlWord for Word {
    fn request(self) -> u8 {
        RECORD.with(|record| record.request.get())
    }
    fn granted(self) -> u8 {
        RECORD.with(|record| record.granted.get())
    }
    fn set_request(self, value: u8) {
        RECORD.with(|record| record.request.set(value));
        did(if value == 0 {
            Event::Clear
        } else {
            Event::Request
        });
    }
    fn leave(self) {
        RECORD.with(|record| record.granted.set(0));
        did(Event::Leave);
    }
}

#[derive(Debug, Default)]
pub(crate) struct Token(bool, PhantomData<*mut ()>);

impl Token {
    #[cfg(all(not(loom), feature = "lock_api_04"))]
    pub(crate) const NONE: Self = Self(false, PhantomData);

    #[cfg(all(not(loom), feature = "lock_api_04"))]
    pub(crate) fn into_raw(self) -> NonNull<()> {
        let address = core::ptr::without_provenance_mut(1 + usize::from(self.0));
        NonNull::new(address).unwrap()
    }

    #[cfg(all(not(loom), feature = "lock_api_04"))]
    pub(crate) unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Self(raw.addr().get() == 2, PhantomData)
    }
}

pub(crate) fn begin() -> Token {
    Token(word::begin(Word), PhantomData)
}

pub(crate) fn end(token: Token) {
    if token.0 {
        word::end(Word);
    }
}

pub(crate) fn did(event: Event) {
    RECORD.with(|record| record.events.borrow_mut().push(event));
}

/// Whether the thread's request stands.
pub(crate) fn requests() -> bool {
    Word.request() != 0
}

/// The kernel grants the request that stands.
#[cfg(all(not(loom), feature = "lock_api_05"))]
pub(crate) fn grant() {
    RECORD.with(|record| {
        assert_eq!(record.request.replace(0), 1);
        record.granted.set(1);
    });
}

/// The kernel refuses the request that stands.
#[cfg(all(not(loom), feature = "lock_api_05"))]
pub(crate) fn refuse() {
    RECORD.with(|record| assert_eq!(record.request.replace(0), 1));
}

/// The events since the last call.
#[cfg(not(loom))]
pub(crate) fn events() -> Vec<Event> {
    RECORD.with(|record| record.events.take())
}
