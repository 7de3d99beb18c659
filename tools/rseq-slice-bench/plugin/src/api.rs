// SPDX-License-Identifier: MIT OR Apache-2.0

//! The part of QEMU's plugin interface that is used here. QEMU exports the functions; distributions
//! do not ship the header.

use std::ffi::{c_int, c_uint, c_void};

/// The version of the interface that this plugin speaks, for QEMU to check.
#[unsafe(no_mangle)]
pub(crate) static qemu_plugin_version: c_int = if cfg!(feature = "qemu-9") { 3 } else { 1 };

pub(crate) type OnTranslation = extern "C" fn(id: u64, block: *mut c_void);
pub(crate) type OnExecution = extern "C" fn(cpu: c_uint, userdata: *mut c_void);
pub(crate) type OnStore =
    extern "C" fn(cpu: c_uint, info: u32, address: u64, userdata: *mut c_void);
pub(crate) type OnExit = extern "C" fn(id: u64, userdata: *mut c_void);

/// `QEMU_PLUGIN_CB_NO_REGS`: the callback looks at no register.
const NO_REGS: c_int = 0;
/// `QEMU_PLUGIN_MEM_W`: stores only.
const STORES: c_int = 2;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: OnTranslation);
    fn qemu_plugin_register_atexit_cb(id: u64, callback: OnExit, userdata: *mut c_void);
    fn qemu_plugin_tb_n_insns(block: *const c_void) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_vaddr(instruction: *const c_void) -> u64;
    fn qemu_plugin_insn_size(instruction: *const c_void) -> usize;
    #[cfg(not(feature = "qemu-9"))]
    fn qemu_plugin_insn_data(instruction: *const c_void) -> *const u8;
    #[cfg(feature = "qemu-9")]
    fn qemu_plugin_insn_data(instruction: *const c_void, to: *mut c_void, len: usize) -> usize;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut c_void,
        callback: OnExecution,
        flags: c_int,
        userdata: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut c_void,
        callback: OnStore,
        flags: c_int,
        which: c_int,
        userdata: *mut c_void,
    );
}

/// Asks for callbacks.
pub(crate) fn register(id: u64, on_translation: OnTranslation, on_exit: OnExit) {
    // SAFETY: The callbacks live as long as QEMU.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation) };
    // SAFETY: The callback lives as long as QEMU, and ignores its user data.
    unsafe { qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut()) };
}

/// An instruction of a block that is being translated.
pub(crate) struct Instruction(*mut c_void);

/// The instructions of a block that QEMU has passed to a callback that still runs.
pub(crate) fn instructions(block: *mut c_void) -> impl Iterator<Item = Instruction> {
    // SAFETY: QEMU's own block.
    let count = unsafe { qemu_plugin_tb_n_insns(block) };
    // SAFETY: QEMU's own block, and the index is below the count.
    (0..count).map(move |index| Instruction(unsafe { qemu_plugin_tb_get_insn(block, index) }))
}

impl Instruction {
    /// Its virtual address.
    pub(crate) fn address(&self) -> u64 {
        // SAFETY: QEMU's own instruction.
        unsafe { qemu_plugin_insn_vaddr(self.0) }
    }

    /// Its bytes, if there are `N`.
    pub(crate) fn bytes<const N: usize>(&self) -> Option<[u8; N]> {
        // SAFETY: QEMU's own instruction.
        let len = unsafe { qemu_plugin_insn_size(self.0) };
        (len == N).then(|| self.copy())
    }

    #[cfg(not(feature = "qemu-9"))]
    fn copy<const N: usize>(&self) -> [u8; N] {
        // SAFETY: QEMU's own instruction.
        let data = unsafe { qemu_plugin_insn_data(self.0) };
        // SAFETY: The data are as long as the instruction, which the caller has compared with `N`.
        unsafe { data.cast::<[u8; N]>().read() }
    }

    #[cfg(feature = "qemu-9")]
    fn copy<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        // SAFETY: QEMU writes at most `N` bytes.
        unsafe { qemu_plugin_insn_data(self.0, bytes.as_mut_ptr().cast(), N) };
        bytes
    }

    /// Has `callback` called whenever the instruction is about to be executed.
    pub(crate) fn call_before(&self, callback: OnExecution, userdata: *mut c_void) {
        // SAFETY: The callback lives as long as QEMU, and takes any user data.
        unsafe { qemu_plugin_register_vcpu_insn_exec_cb(self.0, callback, NO_REGS, userdata) };
    }

    /// Has `callback` called for each store of the instruction.
    pub(crate) fn call_on_store(&self, callback: OnStore, userdata: *mut c_void) {
        // SAFETY: The callback lives as long as QEMU, and takes any user data.
        unsafe { qemu_plugin_register_vcpu_mem_cb(self.0, callback, NO_REGS, STORES, userdata) };
    }
}
