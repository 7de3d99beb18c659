// SPDX-License-Identifier: MIT OR Apache-2.0

//! Rules with one mistake each, and what the explorer has to find in them.

use rseq_slice::word::{self, ControlWord};

use crate::kernel::{Violation, Word};
use crate::program::Library;

/// The code of the crate.
pub(crate) const REAL: Library = Library {
    name: "rseq_slice::word",
    begin: |word| word::begin(word),
    end: |word| word::end(word),
    tokens: true,
};

fn begin(name: &'static str, begin: fn(Word<'_>) -> bool) -> Library {
    Library {
        name,
        begin,
        ..REAL
    }
}

fn end(name: &'static str, end: fn(Word<'_>)) -> Library {
    Library { name, end, ..REAL }
}

/// Each with all violations that occur in some run of it.
pub(crate) fn broken() -> Vec<(Library, &'static [Violation])> {
    use Violation::*;
    vec![
        (
            begin("begin never requests", |word| {
                word.request() | word.granted() == 2
            }),
            &[Unprotected],
        ),
        (
            begin("begin does not look", |word| {
                word.set_request(1);
                true
            }),
            &[RequestedWhileGranted, ClearedAnothers],
        ),
        (
            begin("begin does not look for a grant", |word| {
                let first = word.request() == 0;
                if first {
                    word.set_request(1);
                }
                first
            }),
            &[RequestedWhileGranted],
        ),
        (
            begin("begin does not look for a request", |word| {
                let first = word.granted() == 0;
                if first {
                    word.set_request(1);
                }
                first
            }),
            &[RequestedWhileGranted, ClearedAnothers],
        ),
        (
            begin("begin requests before it looks for a grant", |word| {
                let first = word.request() == 0;
                if first {
                    word.set_request(1);
                }
                first && word.granted() == 0
            }),
            &[
                RequestedWhileGranted,
                ClearedAnothers,
                RequestLeft,
                GrantLeft,
            ],
        ),
        (
            begin("begin counts how deep sections are", |word| {
                let depth = &word.0.depth_of_counting;
                depth.set(depth.get() + 1);
                if depth.get() == 1 {
                    word.set_request(1);
                }
                depth.get() == 1
            }),
            &[Unprotected],
        ),
        (
            end("end does not clear the request", |word| {
                if word.granted() != 0 {
                    word.leave();
                }
            }),
            &[RequestLeft],
        ),
        (
            end(
                "end looks for a grant before it clears the request",
                |word| {
                    let granted = word.granted();
                    word.set_request(0);
                    if granted != 0 {
                        word.leave();
                    }
                },
            ),
            &[GrantLeft, LeftWithoutGrant],
        ),
        (
            end("end clears only what is there", |word| {
                if word.request() != 0 {
                    word.set_request(0);
                } else if word.granted() != 0 {
                    word.leave();
                }
            }),
            &[GrantLeft],
        ),
        (
            end("end keeps the grant", |word| {
                word.set_request(0);
                let _ = word.granted();
            }),
            &[GrantLeft],
        ),
        (
            end("end always leaves", |word| {
                word.set_request(0);
                word.leave();
            }),
            &[LeftWithoutGrant],
        ),
        (
            end("end takes a request that is gone for a grant", |word| {
                if word.request() == 0 {
                    word.leave();
                }
                word.set_request(0);
            }),
            &[GrantLeft, LeftWithoutGrant],
        ),
        (
            end("end requests again", |word| {
                word::end(word);
                word.set_request(1);
            }),
            &[RequestLeft],
        ),
        (
            Library {
                name: "inner sections end the outer one",
                tokens: false,
                ..REAL
            },
            &[ClearedAnothers],
        ),
    ]
}
