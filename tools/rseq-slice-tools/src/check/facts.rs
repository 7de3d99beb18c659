// SPDX-License-Identifier: MIT OR Apache-2.0

//! What is known about this machine.

use std::env;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

use nix::sys::utsname::uname;
use nix::time::{ClockId, clock_getres};
use rseq_slice_debugfs::Implementation;
use serde::Serialize;

use super::probe::{Probe, Reason};
use super::seccomp::seccomp_of;
use crate::cli::ProbeArgs;
use crate::failure::Failure;

/// What the verdict is based on.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Facts {
    pub(crate) kernel: Kernel,
    pub(crate) libc: Libc,
    /// The mode of seccomp: 0 none, 1 strict, 2 a filter.
    pub(crate) seccomp: Option<u8>,
    /// Timers are only as exact as the tick.
    pub(crate) coarse_timers: bool,
    /// `RSEQ_SLICE=off`, which the preload library obeys.
    pub(crate) switched_off: bool,
    /// With the C library's area as it is.
    pub(crate) as_is: Probe,
    /// With a legacy area taken over, if there is one.
    pub(crate) taken_over: Option<Probe>,
}

/// The running kernel.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kernel {
    pub(crate) release: String,
    /// Whether it says that it has `rseq(2)`.
    pub(crate) has_rseq: bool,
    /// If debugfs can be read.
    pub(crate) implementation: Option<Implementation>,
    /// The length of an extension in nanoseconds, if debugfs can be read.
    pub(crate) extension_ns: Option<u32>,
}

/// The C library of this program.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Libc {
    /// Name and version.
    pub(crate) name: String,
    /// Its area, from `__rseq_size` and `__rseq_offset`. `None` if they cannot be looked up.
    pub(crate) area: Option<LibcArea>,
}

/// Where the C library has its area.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct LibcArea {
    /// Bytes in use, 0 if none is registered. Areas of less than 32 bytes are 32 bytes long.
    pub(crate) size: u32,
    /// From the thread pointer, in bytes.
    pub(crate) offset: isize,
}

impl Facts {
    /// Finds them. With `prove`, each probe takes up to two seconds.
    pub(crate) fn gather(prove: bool) -> Result<Self, Failure> {
        let probe = |take_over| Probe::new(&ProbeArgs { take_over, prove });
        let as_is = probe(false)?;
        let legacy = Probe::Off {
            reason: Reason::LegacyArea,
        };
        let taken_over = (as_is == legacy).then(|| probe(true)).transpose()?;
        Ok(Self {
            kernel: Kernel::running()?,
            libc: Libc::of_this_program(),
            seccomp: seccomp_of("/proc/self/status"),
            coarse_timers: coarse_timers()?,
            switched_off: env::var_os("RSEQ_SLICE").is_some_and(|value| value == "off"),
            as_is,
            taken_over,
        })
    }
}

impl Kernel {
    fn running() -> Result<Self, Failure> {
        /// `AT_RSEQ_FEATURE_SIZE`
        const FEATURE_SIZE: libc::c_ulong = 27;
        let name = uname().map_err(|error| Failure::system("uname", error))?;
        Ok(Self {
            release: name.release().to_string_lossy().into_owned(),
            // SAFETY: The call takes a number and looks it up.
            has_rseq: unsafe { libc::getauxval(FEATURE_SIZE) } != 0,
            implementation: rseq_slice_debugfs::implementation().ok(),
            extension_ns: rseq_slice_debugfs::extension_length().ok(),
        })
    }
}

impl Libc {
    #[cfg(target_env = "gnu")]
    fn of_this_program() -> Self {
        // SAFETY: The call takes no arguments.
        let version = unsafe { libc::gnu_get_libc_version() };
        // SAFETY: A string that ends with a null byte, and stays.
        let version = unsafe { CStr::from_ptr(version) };
        Self {
            name: format!("glibc {}", version.to_string_lossy()),
            area: LibcArea::of_this_program(),
        }
    }

    #[cfg(not(target_env = "gnu"))]
    fn of_this_program() -> Self {
        Self {
            name: "a C library other than glibc".to_owned(),
            area: LibcArea::of_this_program(),
        }
    }
}

impl LibcArea {
    fn of_this_program() -> Option<Self> {
        Some(Self {
            size: *variable(c"__rseq_size")?,
            offset: *variable(c"__rseq_offset")?,
        })
    }
}

/// A variable of the C library. A static program cannot look it up.
fn variable<T: Copy>(name: &CStr) -> Option<&'static T> {
    // SAFETY: The name ends with a null byte.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: The callers name variables of the type that they want, and these are constant by the
    // time that a program runs.
    unsafe { address.cast::<T>().cast_const().as_ref() }
}

/// Whether timers are only as exact as the tick. Exact ones have a resolution of 1 ns.
fn coarse_timers() -> Result<bool, Failure> {
    let resolution = clock_getres(ClockId::CLOCK_MONOTONIC);
    let resolution = resolution.map_err(|error| Failure::system("clock_getres", error))?;
    Ok(resolution.tv_sec() > 0 || resolution.tv_nsec() > 1_000)
}

/// Whether the environment keeps glibc from registering an area.
pub(crate) fn tunable_off() -> bool {
    env::var_os("GLIBC_TUNABLES").is_some_and(|tunables| has_tunable_off(&tunables))
}

fn has_tunable_off(tunables: &OsStr) -> bool {
    let mut settings = tunables.as_bytes().split(|&byte| byte == b':');
    settings.any(|setting| setting == b"glibc.pthread.rseq=0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tunable_is_one_of_several() {
        assert!(has_tunable_off(OsStr::new(
            "glibc.malloc.check=1:glibc.pthread.rseq=0"
        )));
        assert!(!has_tunable_off(OsStr::new("glibc.pthread.rseq=1")));
        assert!(!has_tunable_off(OsStr::new("")));
    }

    #[test]
    fn this_machine_has_facts() {
        let kernel = Kernel::running().unwrap();
        assert!(kernel.release.contains('.'), "{kernel:?}");
        assert!(Libc::of_this_program().name.contains("libc"));
    }
}
