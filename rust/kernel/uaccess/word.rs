// SPDX-License-Identifier: GPL-2.0

use super::UserPtr;
use crate::{
    bindings,
    prelude::*, //
};

/// Single words of user memory.
///
/// Each access is one load, one store, or one of each inside a single user access region. All may
/// fault and sleep, so they need a context that may. A word that cannot be accessed is `EFAULT`.
///
/// Nothing is assumed about who else writes the word. [`UserPtr::modify_user_u32()`] is not atomic:
/// it is for words that only the current thread and the kernel on its behalf write.
///
/// # Examples
///
/// ```
/// use kernel::uaccess::UserPtr;
///
/// // Not an address of user space.
/// let word = UserPtr::from_addr(usize::MAX & !3);
///
/// assert_eq!(word.get_user_u32(), Err(EFAULT));
/// assert_eq!(word.put_user_u32(1), Err(EFAULT));
/// assert_eq!(word.modify_user_u32(!0, 1, 2), Err(EFAULT));
/// # Ok::<(), Error>(())
/// ```
impl UserPtr {
    /// Reads the word, like C's `get_user()`.
    #[inline]
    pub fn get_user_u32(self) -> Result<u32> {
        let mut word = 0;

        // SAFETY: `word` is valid for writes. The user pointer is checked by the function.
        match unsafe { bindings::get_user_u32(self.as_const_ptr().cast(), &mut word) } {
            0 => Ok(word),
            _ => Err(EFAULT),
        }
    }

    /// Writes the word, like C's `put_user()`, but inline.
    #[inline]
    pub fn put_user_u32(self, word: u32) -> Result {
        // SAFETY: The user pointer is checked by the function.
        match unsafe { bindings::put_user_u32(self.as_mut_ptr().cast(), word) } {
            0 => Ok(()),
            _ => Err(EFAULT),
        }
    }

    /// Reads the word, and stores `(word & !clear) | set` if any bit of `need` is set in it.
    ///
    /// Returns what was read.
    #[inline]
    pub fn modify_user_u32(self, need: u32, clear: u32, set: u32) -> Result<u32> {
        let uptr = self.as_mut_ptr().cast();
        let mut old = 0;

        // SAFETY: `old` is valid for writes. The user pointer is checked by the function.
        match unsafe { bindings::modify_user_u32(uptr, need, clear, set, &mut old) } {
            0 => Ok(old),
            _ => Err(EFAULT),
        }
    }
}

#[cfg(CONFIG_RUST_USER_WORD_KUNIT_TEST)]
#[macros::kunit_tests(rust_uaccess_word)]
mod tests {
    use super::*;
    use crate::page::PAGE_SIZE;

    /// A page of user memory that goes away with the test.
    fn user_page() -> usize {
        // SAFETY: A test is running; KUnit unmaps the page after it.
        unsafe {
            bindings::kunit_vm_mmap(
                bindings::kunit_get_current_test(),
                core::ptr::null_mut(),
                0,
                PAGE_SIZE,
                (bindings::PROT_READ | bindings::PROT_WRITE) as usize,
                (bindings::MAP_PRIVATE | bindings::MAP_ANONYMOUS) as usize,
                0,
            )
        }
    }

    #[test]
    fn a_word_is_read_written_and_modified() {
        let word = UserPtr::from_addr(user_page());

        assert!(word.get_user_u32() == Ok(0));
        assert!(word.put_user_u32(0xff01) == Ok(()));
        assert!(word.get_user_u32() == Ok(0xff01));

        assert!(word.modify_user_u32(0x1, 0xff, 0x200) == Ok(0xff01));
        assert!(word.get_user_u32() == Ok(0xff00 | 0x200));
        assert!(word.modify_user_u32(0x1, !0, 0) == Ok(0xff00 | 0x200));
        assert!(word.get_user_u32() == Ok(0xff00 | 0x200));
    }

    #[test]
    fn a_word_that_is_not_there_faults() {
        for addr in [usize::MAX & !3, user_page() + PAGE_SIZE] {
            let word = UserPtr::from_addr(addr);
            assert!(word.get_user_u32() == Err(EFAULT));
            assert!(word.put_user_u32(1) == Err(EFAULT));
            assert!(word.modify_user_u32(!0, !0, 0) == Err(EFAULT));
        }
    }
}
