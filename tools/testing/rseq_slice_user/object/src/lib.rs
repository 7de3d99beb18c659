// SPDX-License-Identifier: GPL-2.0

//! What the tests call in a shared object. `c/object.c` is the same over the C header.

use rseq_slice::{Area, Policy, begin, control_word, end, set_policy, support};
use std::hint::black_box;

/// 101, 102 or 103: the area of this object's copy in the calling thread is the C library's, an own
/// one or one taken over. Below 100: the cause why there is none.
#[unsafe(no_mangle)]
pub extern "C" fn object_support(take_over: bool) -> i32 {
    let policy = Policy {
        take_over,
        ..Policy::DEFAULT
    };
    // Too late for all calls but the first.
    let _ = set_policy(policy);
    match support() {
        Ok(Area::Libc) => 101,
        Ok(Area::Own) => 102,
        Ok(_) => 103,
        Err(why) => why.number().into(),
    }
}

/// A section that counts up to `length`. Returns 1 if there was a grant at its end.
#[unsafe(no_mangle)]
pub extern "C" fn object_section(length: u32) -> i32 {
    let word = control_word();
    let token = begin();
    for i in 0..length {
        black_box(i);
    }
    // SAFETY: A control word is two bytes long.
    let granted = word.map(|word| unsafe { word.add(1) });
    // SAFETY: It is that of this thread.
    let granted = granted.is_some_and(|granted| unsafe { granted.read_volatile() } != 0);
    end(token);
    granted.into()
}
