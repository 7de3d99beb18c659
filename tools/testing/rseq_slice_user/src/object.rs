// SPDX-License-Identifier: GPL-2.0

//! A shared object that is loaded while the program runs.

use std::ffi::{CStr, CString};
use std::mem::transmute;

use anyhow::{Result, ensure};

use crate::situation::PLACE;

/// One of those that `object/src/lib.rs` and `c/object.c` make.
#[derive(Clone, Copy)]
pub(crate) struct Object {
    handle: *mut libc::c_void,
    support: extern "C" fn(bool) -> i32,
    section: extern "C" fn(u32) -> i32,
}

// SAFETY: Its functions are made for all threads.
unsafe impl Send for Object {}

/// What the dynamic linker says.
fn complaint() -> String {
    // SAFETY: The call takes no arguments.
    let said = unsafe { libc::dlerror() };
    if said.is_null() {
        return "no complaint".into();
    }
    // SAFETY: It is a string that stays until the next call.
    unsafe { CStr::from_ptr(said) }
        .to_string_lossy()
        .into_owned()
}

impl Object {
    pub(crate) fn open(name: &str) -> Result<Self> {
        let path = CString::new(format!("{PLACE}/bin/{name}"))?;
        // SAFETY: What the object runs when it is loaded is sound.
        let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
        ensure!(!handle.is_null(), "dlopen: {}", complaint());
        let find = |name: &CStr| {
            // SAFETY: The handle is open.
            let found = unsafe { libc::dlsym(handle, name.as_ptr()) };
            ensure!(!found.is_null(), "dlsym: {}", complaint());
            Ok(found)
        };
        let (support, section) = (find(c"object_support")?, find(c"object_section")?);
        // SAFETY: The function named `object_support` has this type.
        let support =
            unsafe { transmute::<*mut libc::c_void, extern "C" fn(bool) -> i32>(support) };
        // SAFETY: The function named `object_section` has this type.
        let section = unsafe { transmute::<*mut libc::c_void, extern "C" fn(u32) -> i32>(section) };
        Ok(Self {
            handle,
            support,
            section,
        })
    }

    /// 101, 102, 103: the area; below 100: the cause.
    pub(crate) fn support(self, take_over: bool) -> i32 {
        (self.support)(take_over)
    }

    /// Whether there was a grant at the end of a section of that length.
    pub(crate) fn section(self, length: u32) -> bool {
        (self.section)(length) != 0
    }

    pub(crate) fn close(self) -> Result<()> {
        // SAFETY: The handle is open. The object's code stays, which is what is tested.
        let result = unsafe { libc::dlclose(self.handle) };
        ensure!(result == 0, "dlclose: {}", complaint());
        Ok(())
    }
}
