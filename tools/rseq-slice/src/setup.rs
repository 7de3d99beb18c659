// SPDX-License-Identifier: MIT OR Apache-2.0

//! Sets a thread up: finds the area that it uses, and turns the extension on.

use crate::abi::{
    EINVAL, ENOSYS, ENOTSUPP, PR_RSEQ_SLICE_EXT_ENABLE, RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE,
    RSEQ_CS_FLAG_SLICE_EXT_ENABLED,
};
use crate::policy::Policy;
use crate::{Area, Why};

/// What set-up needs from the kernel and the process. Errors are error numbers.
pub(crate) trait Kernel {
    /// The C library's area, if it is registered for this thread. A thread may have none although
    /// others have one: its creator had none, or a filter refused the call.
    fn libc_area(&self) -> Option<LibcArea>;
    /// The word `flags` of the given area.
    fn flags(&self, area: Area) -> u32;
    /// Whether TCMalloc, or somebody else with restartable sequences, uses the C library's area.
    fn has_tcmalloc(&self) -> bool;
    /// Registers an area: this crate's with the extension on, the C library's as it was.
    fn register(&self, area: Area) -> Result<(), i32>;
    /// Undoes a registration.
    fn unregister(&self, area: Area) -> Result<(), i32>;
    /// `PR_RSEQ_SLICE_EXTENSION_GET`: the mode, if the kernel has the extension.
    fn get(&self) -> Result<usize, i32>;
    /// `PR_RSEQ_SLICE_EXTENSION_SET`: turns the extension on.
    fn enable(&self) -> Result<(), i32>;
}

/// What the C library says of its area.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LibcArea {
    /// Long enough for the extension.
    Long,
    /// A legacy area.
    Legacy,
}

/// Finds the area for the calling thread and turns the extension on in it. If that does not work,
/// everything is left as it was.
pub(crate) fn set_up(kernel: &impl Kernel, policy: Policy) -> Result<Area, Why> {
    if !policy.enabled {
        return Err(Why::SwitchedOff);
    }
    let libc = kernel.libc_area();
    if libc == Some(LibcArea::Long) {
        return use_libc(kernel);
    }
    match kernel.register(Area::Own) {
        Ok(()) => use_own(kernel).map(|()| Area::Own),
        Err(EINVAL) => {
            has_extension(kernel)?;
            match libc {
                Some(LibcArea::Legacy) => take_over(kernel, policy),
                _ => Err(Why::ForeignArea),
            }
        }
        // A kernel with the extension has the call: a filter has refused it.
        Err(ENOSYS) if kernel.get().is_err() => Err(Why::NoRseq),
        Err(errno) => Err(Why::Refused(errno)),
    }
}

fn use_libc(kernel: &impl Kernel) -> Result<Area, Why> {
    let flags = kernel.flags(Area::Libc);
    if flags & RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE == 0 {
        has_extension(kernel)?;
        return Err(Why::OffAtBoot);
    }
    if flags & RSEQ_CS_FLAG_SLICE_EXT_ENABLED == 0 {
        kernel.enable().map_err(Why::Refused)?;
    } else if kernel
        .get()
        .is_ok_and(|mode| mode != PR_RSEQ_SLICE_EXT_ENABLE)
    {
        // The BITS layout of the control word.
        return Err(Why::ForeignArea);
    }
    Ok(Area::Libc)
}

/// This crate's area is registered. Unregisters it unless the extension is on in it.
fn use_own(kernel: &impl Kernel) -> Result<(), Why> {
    if kernel.flags(Area::Own) & RSEQ_CS_FLAG_SLICE_EXT_ENABLED != 0 {
        return Ok(());
    }
    kernel.unregister(Area::Own).map_err(Why::Refused)?;
    has_extension(kernel)?;
    Err(Why::OffAtBoot)
}

/// [`set_up`] first tries to register this crate's area, and replaces the C library's only if that was
/// refused: glibc registers an area for a thread only if the creating thread has one. So a thread that
/// is created after a take-over has none to unregister.
fn take_over(kernel: &impl Kernel, policy: Policy) -> Result<Area, Why> {
    if !policy.take_over {
        return Err(Why::LegacyArea);
    }
    if kernel.has_tcmalloc() {
        return Err(Why::Tcmalloc);
    }
    kernel.unregister(Area::Libc).map_err(Why::Refused)?;
    let on = match kernel.register(Area::Own) {
        Ok(()) => use_own(kernel),
        Err(errno) => Err(Why::Refused(errno)),
    };
    match on {
        Ok(()) => Ok(Area::TakenOver),
        Err(why) => {
            // Best effort: a thread without an area is slower in the C library, not wrong.
            let _ = kernel.register(Area::Libc);
            Err(why)
        }
    }
}

fn has_extension(kernel: &impl Kernel) -> Result<(), Why> {
    kernel.get().map(drop).map_err(|errno| match errno {
        EINVAL => Why::KernelBefore7,
        ENOTSUPP => Why::NotBuiltIn,
        errno => Why::Refused(errno),
    })
}

#[cfg(test)]
mod tests;
