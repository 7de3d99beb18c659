// SPDX-License-Identifier: GPL-2.0

//! User memory, as `rust/helpers/user_word.c` accesses it: `scripts/check mirror` fails when that has
//! changed.

use super::{note, Fault, Kernel, Outcome};
use crate::{
    abi::{Layout, Modify},
    cover::Cover,
};

/// The request of the BYTES layout.
const REQUEST: u32 = u32::from_ne_bytes([0xff, 0, 0, 0]);

impl<A: Copy> Kernel<'_, '_, A> {
    fn access(&mut self) -> Result<(), Fault> {
        if self.is(Outcome::Fault) {
            self.log.cover(Cover::FAULT);
            note!(self, "faults on user memory");
            self.thread_mut().ghost.sigsegv_due = true;
            return Err(Fault);
        }

        Ok(())
    }

    /// `get_user()` of the control word.
    pub(crate) fn get_word(&mut self) -> Result<u32, Fault> {
        self.access()?;
        Ok(self.thread().word)
    }

    /// `put_user(0)` of the control word.
    pub(crate) fn erase_word(&mut self) -> Result<(), Fault> {
        self.access()
            .inspect_err(|_| self.thread_mut().ghost.forged = true)?;
        self.erase_word_surely();
        Ok(())
    }

    /// The store itself.
    pub(crate) fn erase_word_surely(&mut self) {
        let thread = self.thread_mut();

        thread.word = 0;
        thread.ghost.forged = false;
    }

    /// `rust_helper_modify_user_u32()`: one region of user access.
    pub(crate) fn modify_word(&mut self, modify: Modify) -> Result<u32, Fault> {
        self.access()
            .inspect_err(|_| self.thread_mut().ghost.forged = true)?;

        let thread = self.thread_mut();
        let old = thread.word;
        if old & modify.need != 0 {
            thread.word = (old & !modify.clear) | modify.set;
            thread.ghost.forged = false;
        }
        Ok(old)
    }

    /// Notes whether the grant decision or a revocation has to find a violation in `word`.
    pub(crate) fn check_word_at_decision(&mut self, word: u32) {
        let thread = self.thread();
        let violation =
            thread.layout() == Some(Layout::Bits) && word & !1 != thread.expected_word();

        if violation {
            self.violation();
        }
    }

    /// Notes whether system call entry has to find a violation in the control word.
    pub(crate) fn check_word_at_entry(&mut self) {
        let thread = self.thread();
        let violation = match thread.layout() {
            None | Some(Layout::Bytes) => {
                // A request alone is no violation: a thread cannot avoid every system call.
                let ignored = if thread.rseq.granted { 0 } else { REQUEST };

                self.config.debug && thread.word & !ignored != thread.expected_word()
            }
            Some(Layout::Bits) => thread.word & !1 != thread.expected_word(),
        };

        if violation {
            self.violation();
        }
    }

    fn violation(&mut self) {
        self.log.cover(Cover::VIOLATION);
        note!(self, "the control word is a violation");
        self.thread_mut().ghost.sigsegv_due = true;
    }

    /// Whether user space changed the flags that the kernel stored.
    pub(crate) fn flags_are_forged(&mut self) -> bool {
        let forged = self.is(Outcome::ForgedFlags);

        if forged {
            self.thread_mut().ghost.sigsegv_due = true;
        }
        forged
    }

    /// Access to the flags.
    pub(crate) fn access_flags(&mut self) -> Result<(), Fault> {
        self.access()
    }
}
