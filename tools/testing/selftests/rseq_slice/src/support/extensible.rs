// SPDX-License-Identifier: GPL-2.0

//! A scheduler for the class that BPF programs extend (sched_ext). It has no program: the kernel does
//! what it does by default, which is one queue for all.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::btf::{Types, minimal};
use crate::case::Skip;
use crate::check::check;

const STATE: &str = "/sys/kernel/sched_ext/state";
const TYPES: &str = "/sys/kernel/btf/vmlinux";
const NAME: &[u8] = b"rseq_slice";

// From <linux/bpf.h>.
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_BTF_LOAD: libc::c_long = 18;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_MAP_TYPE_STRUCT_OPS: u32 = 26;
const BPF_F_LINK: u32 = 1 << 13;
const BPF_STRUCT_OPS: u32 = 44;

#[derive(Default)]
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    map_name: [u8; 16],
    map_ifindex: u32,
    btf_fd: u32,
    btf_key_type_id: u32,
    btf_value_type_id: u32,
    btf_vmlinux_value_type_id: u32,
}

#[repr(C)]
struct MapUpdate {
    map_fd: u64,
    key: *const u32,
    value: *const u8,
    flags: u64,
}

#[repr(C)]
struct BtfLoad {
    btf: *const u8,
    log: u64,
    size: u32,
    log_size: u32,
    log_level: u64,
}

#[derive(Default)]
#[repr(C)]
struct LinkCreate {
    map_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// # Safety
///
/// `attributes` are those of the command, with pointers to what it reads.
unsafe fn bpf<T>(command: libc::c_long, attributes: &T) -> Result<i32> {
    // SAFETY: The structure lives through the call and has that size; its pointers are valid, as the
    // caller promises.
    let ret = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    Ok(i32::try_from(Errno::result(ret)?)?)
}

/// # Safety
///
/// `attributes` are those of the command, with pointers to what it reads, and the command returns a file.
unsafe fn bpf_fd<T>(command: libc::c_long, attributes: &T) -> Result<OwnedFd> {
    // SAFETY: `attributes` are those of the command, with pointers to what it reads, as the caller promises.
    let fd = unsafe { bpf(command, attributes) }?;
    // SAFETY: The kernel has just opened it for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn number(fd: &OwnedFd) -> Result<u32> {
    Ok(u32::try_from(fd.as_raw_fd())?)
}

/// The scheduler of all threads of the normal class, until dropped.
pub(crate) struct Extensible {
    /// The kernel removes the scheduler with the last reference to the link.
    _link: OwnedFd,
}

impl Extensible {
    pub(crate) fn load() -> Result<Self> {
        if !Path::new(STATE).exists() {
            return Err(Skip("needs CONFIG_SCHED_CLASS_EXT".into()).into());
        }
        let types = Types::read(TYPES)?;
        let value_type = types.structure("bpf_struct_ops_sched_ext_ops")?;
        let name = value_type.member("data")? + types.structure("sched_ext_ops")?.member("name")?;
        let mut value = vec![0; value_type.size()];
        value[name..name + NAME.len()].copy_from_slice(NAME);

        let own_types = minimal();
        let load = BtfLoad {
            btf: own_types.as_ptr(),
            log: 0,
            size: u32::try_from(own_types.len())?,
            log_size: 0,
            log_level: 0,
        };
        // SAFETY: `own_types` has that size and outlives the call.
        let btf = unsafe { bpf_fd(BPF_BTF_LOAD, &load) }.context("BPF_BTF_LOAD")?;
        let create = MapCreate {
            map_type: BPF_MAP_TYPE_STRUCT_OPS,
            key_size: 4,
            value_size: u32::try_from(value.len())?,
            max_entries: 1,
            map_flags: BPF_F_LINK,
            btf_fd: number(&btf)?,
            btf_vmlinux_value_type_id: value_type.id(),
            ..MapCreate::default()
        };
        // SAFETY: The command reads no other memory.
        let map = unsafe { bpf_fd(BPF_MAP_CREATE, &create) }.context("BPF_MAP_CREATE")?;
        let update = MapUpdate {
            map_fd: number(&map)?.into(),
            key: &raw const FIRST,
            value: value.as_ptr(),
            flags: 0,
        };
        static FIRST: u32 = 0;
        // SAFETY: Key and value have the sizes that the map was created with, and outlive the call.
        unsafe { bpf(BPF_MAP_UPDATE_ELEM, &update) }.context("BPF_MAP_UPDATE_ELEM")?;
        let link = LinkCreate {
            map_fd: number(&map)?,
            attach_type: BPF_STRUCT_OPS,
            ..LinkCreate::default()
        };
        // SAFETY: The command reads no other memory.
        let link = unsafe { bpf_fd(BPF_LINK_CREATE, &link) }.context("BPF_LINK_CREATE")?;
        let scheduler = Self { _link: link };
        check!(scheduler.is_on()?, "the scheduler did not start");
        Ok(scheduler)
    }

    /// Whether the kernel has not ejected the scheduler.
    pub(crate) fn is_on(&self) -> Result<bool> {
        Ok(fs::read_to_string(STATE)?.trim() == "enabled")
    }
}
