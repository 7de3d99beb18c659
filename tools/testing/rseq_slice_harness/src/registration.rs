// SPDX-License-Identifier: MIT OR Apache-2.0

//! Registration of an own area for the calling thread.

use std::io;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::abi::{AREA_LEN, RSEQ_FLAG_UNREGISTER, SIGNATURE};
use crate::area::Area;
use crate::control::{Bits, Bytes};
use crate::sys;
use crate::witness::Witness;

/// Why an area could not be registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// `EINVAL`: a bad length, alignment or flag, or another area is registered.
    #[error(
        "rseq(2) says EINVAL: the C library has registered an area of its own for this thread \
         (run with GLIBC_TUNABLES=glibc.pthread.rseq=0), or length, alignment or flags are bad"
    )]
    Invalid,
    /// `EBUSY`: this area is registered already.
    #[error("rseq(2) says EBUSY: this area is registered already")]
    Busy,
    /// `ENOSYS`.
    #[error("rseq(2) says ENOSYS: this kernel is built without CONFIG_RSEQ")]
    NoRseq,
    /// Any other error.
    #[error("rseq(2): {0}")]
    Os(io::Error),
}

impl From<io::Error> for RegisterError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EINVAL) => Self::Invalid,
            Some(libc::EBUSY) => Self::Busy,
            Some(libc::ENOSYS) => Self::NoRseq,
            _ => Self::Os(error),
        }
    }
}

/// An area registered for the calling thread, until dropped. The pointer in it keeps it from being
/// sent to another thread.
#[derive(Debug)]
pub struct Registration {
    area: NonNull<Area>,
    len: u32,
    owned: bool,
}

impl Registration {
    /// Registers a new area of 64 bytes, so that the time slice extension can be used. It is
    /// not enabled yet.
    ///
    /// # Errors
    ///
    /// [`RegisterError`]; most often [`Invalid`](RegisterError::Invalid).
    pub fn new() -> Result<Self, RegisterError> {
        Self::with_flags(0)
    }

    /// Like [`new`](Self::new), with flags for `rseq(2)`, such as
    /// [`RSEQ_FLAG_SLICE_EXT_DEFAULT_ON`](crate::abi::RSEQ_FLAG_SLICE_EXT_DEFAULT_ON).
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn with_flags(flags: u32) -> Result<Self, RegisterError> {
        let area = NonNull::from(Box::leak(Box::<Area>::default()));
        // SAFETY: The memory is freed by `release` alone, after unregistering it.
        let registered = unsafe { Self::at(area, AREA_LEN, flags) };
        match registered {
            Ok(mut registration) => {
                registration.owned = true;
                Ok(registration)
            }
            Err(error) => {
                // SAFETY: Leaked from a box above and, the call having failed, not registered.
                drop(unsafe { Box::from_raw(area.as_ptr()) });
                Err(error)
            }
        }
    }

    /// Registers the first `len` bytes of memory that the caller provides. Dropping the value
    /// unregisters it.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    ///
    /// # Safety
    ///
    /// `area` is readable and writable for [`AREA_LEN`] bytes, aligned for the references that
    /// [`area`](Self::area) hands out, and stays so while the registration exists.
    pub unsafe fn at(area: NonNull<Area>, len: u32, flags: u32) -> Result<Self, RegisterError> {
        // SAFETY: The caller vouches for the memory until the value is dropped, which unregisters.
        unsafe { sys::rseq(area.as_ptr(), len, flags, SIGNATURE) }?;
        Ok(Self {
            area,
            len,
            owned: false,
        })
    }

    /// The registered area.
    pub fn area(&self) -> &Area {
        // SAFETY: Valid while registered; `Area` allows changes behind shared references.
        unsafe { self.area.as_ref() }
    }

    /// The control word, for a thread that has enabled the BYTES layout. The only one while it lives.
    pub fn bytes(&mut self) -> Bytes<'_> {
        Bytes::new(self.area())
    }

    /// The control word, for a thread that has enabled the BITS layout. The only one while it lives.
    pub fn bits(&mut self) -> Bits<'_> {
        Bits::new(self.area())
    }

    /// The control word as from [`bytes`](Self::bytes), and a [`Witness`] beside it.
    pub fn parts(&mut self) -> (Bytes<'_>, Witness<'_>) {
        (Bytes::new(self.area()), Witness::new(self.area()))
    }

    /// Unregisters the area, which also disables the extension.
    ///
    /// # Errors
    ///
    /// The error of `rseq(2)`; the memory of the area then stays allocated.
    pub fn unregister(self) -> io::Result<()> {
        ManuallyDrop::new(self).release()
    }

    fn release(&mut self) -> io::Result<()> {
        // SAFETY: Unregistering gives the kernel nothing to write to.
        unsafe {
            sys::rseq(
                self.area.as_ptr(),
                self.len,
                RSEQ_FLAG_UNREGISTER,
                SIGNATURE,
            )
        }?;
        if self.owned {
            // SAFETY: Leaked from a box in `with_flags` and no longer known to the kernel.
            drop(unsafe { Box::from_raw(self.area.as_ptr()) });
        }
        Ok(())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // On an error the memory stays allocated, because the kernel may still write to it.
        let _ = self.release();
    }
}
