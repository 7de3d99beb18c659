// SPDX-License-Identifier: GPL-2.0

//! A virtual machine with one CPU (KVM).

use std::fs::File;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

use super::memory::Page;
use crate::case::Skip;
use crate::check::fail;

// From <linux/kvm.h>.
const KVM_CREATE_VM: libc::Ioctl = 0xae01;
const KVM_GET_VCPU_MMAP_SIZE: libc::Ioctl = 0xae04;
const KVM_CREATE_VCPU: libc::Ioctl = 0xae41;
const KVM_SET_USER_MEMORY_REGION: libc::Ioctl = 0x4020_ae46;
const KVM_RUN: libc::Ioctl = 0xae80;
const KVM_SET_REGS: libc::Ioctl = 0x4090_ae82;
const KVM_GET_SREGS: libc::Ioctl = 0x8138_ae83;
const KVM_SET_SREGS: libc::Ioctl = 0x4138_ae84;
const KVM_EXIT_IO: u32 = 2;
/// Where `struct kvm_run` keeps the reason of an exit.
const EXIT_REASON: usize = 8;

/// Where the code is, for the machine.
const CODE: u64 = 0x1000;
/// Counts down from 400 and writes to a port, for ever, in real mode.
const PROGRAM: [u8; 9] = [0xb9, 0x90, 0x01, 0xe2, 0xfe, 0xe6, 0x80, 0xeb, 0xf7];

#[repr(C)]
struct Region {
    slot: u32,
    flags: u32,
    guest_address: u64,
    size: u64,
    address: u64,
}

/// The code segment comes first, and the rest stays as it is.
#[repr(C)]
struct SpecialRegisters {
    code_base: u64,
    code_limit: u32,
    code_selector: u16,
    rest: [u8; 0x138 - 14],
}

/// A machine that writes to a port after each few hundred instructions.
pub(crate) struct Machine {
    _all: OwnedFd,
    cpu: OwnedFd,
    state: NonNull<u8>,
}

/// # Safety
///
/// `argument` is what the request takes.
unsafe fn ioctl<T>(fd: &impl AsRawFd, request: libc::Ioctl, argument: *mut T) -> nix::Result<i32> {
    // SAFETY: `argument` is what the request takes, as the caller promises.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request, argument) })
}

/// What a request without an argument returns.
fn ask(fd: &impl AsRawFd, request: libc::Ioctl) -> nix::Result<i32> {
    // SAFETY: The request takes nothing.
    unsafe { ioctl(fd, request, ptr::null_mut::<u8>()) }
}

/// The file that a request returns.
fn open(fd: &impl AsRawFd, request: libc::Ioctl) -> nix::Result<OwnedFd> {
    let file = ask(fd, request)?;
    // SAFETY: The kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

impl Machine {
    pub(crate) fn new() -> Result<Self> {
        let Ok(kvm) = File::options().read(true).write(true).open("/dev/kvm") else {
            return Err(Skip("needs /dev/kvm".into()).into());
        };
        let all = open(&kvm, KVM_CREATE_VM)?;
        let page = Page::new()?;
        let code = page.area().as_ptr().cast::<u8>();
        // SAFETY: The page is that large, and nobody else uses it yet.
        unsafe { code.copy_from_nonoverlapping(PROGRAM.as_ptr(), PROGRAM.len()) };
        let mut region = Region {
            slot: 0,
            flags: 0,
            guest_address: CODE,
            size: Page::SIZE,
            address: code as u64,
        };
        // SAFETY: The structure lives through the call, and the page for ever.
        unsafe { ioctl(&all, KVM_SET_USER_MEMORY_REGION, &raw mut region) }.context("memory")?;
        let cpu = open(&all, KVM_CREATE_VCPU)?;
        let len = ask(&kvm, KVM_GET_VCPU_MMAP_SIZE)?;
        let len = NonZeroUsize::new(usize::try_from(len)?).context("no size")?;
        let prot = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: A new mapping, placed by the kernel, never unmapped.
        let state = unsafe { mmap(None, len, prot, MapFlags::MAP_SHARED, cpu.as_fd(), 0) }?;

        let mut special = SpecialRegisters {
            code_base: 0,
            code_limit: 0,
            code_selector: 0,
            rest: [0; 0x138 - 14],
        };
        // SAFETY: The structure has the size that is in the request.
        unsafe { ioctl(&cpu, KVM_GET_SREGS, &raw mut special) }.context("KVM_GET_SREGS")?;
        special.code_base = 0;
        special.code_selector = 0;
        // SAFETY: The structure has the size that is in the request.
        unsafe { ioctl(&cpu, KVM_SET_SREGS, &raw mut special) }.context("KVM_SET_SREGS")?;
        // Sixteen general ones, the instruction pointer, and the flags.
        let mut registers = [0_u64; 18];
        registers[16] = CODE;
        registers[17] = 2;
        // SAFETY: The array has the size that is in the request.
        unsafe { ioctl(&cpu, KVM_SET_REGS, &raw mut registers) }.context("KVM_SET_REGS")?;
        Ok(Self {
            _all: all,
            cpu,
            state: state.cast(),
        })
    }

    /// Runs the machine until it writes to the port.
    pub(crate) fn run(&self) -> Result<()> {
        loop {
            match ask(&self.cpu, KVM_RUN) {
                Err(Errno::EINTR) => continue,
                result => drop(result.context("KVM_RUN")?),
            }
            // SAFETY: Inside of the mapping.
            let reason = unsafe { self.state.add(EXIT_REASON) }.cast::<u32>();
            // SAFETY: An aligned word.
            match unsafe { reason.read_volatile() } {
                KVM_EXIT_IO => return Ok(()),
                other => fail!("the machine stopped with {other}"),
            }
        }
    }
}
