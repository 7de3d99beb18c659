// SPDX-License-Identifier: GPL-2.0

//! What the kernel does to pages without the owner's involvement.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use nix::errno::Errno;

use super::memory::Page;
use crate::case::Skip;

const DEVICE: &str = "/dev/zram0";

/// The kernel's count of that name.
pub(crate) fn vmstat(name: &str) -> Result<u64> {
    let all = fs::read_to_string("/proc/vmstat")?;
    let line = all
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    match line {
        Some(number) => Ok(number.parse()?),
        None => Err(Skip(format!("the kernel does not count {name}")).into()),
    }
}

/// Advises the kernel about `len` bytes from the start of a page.
pub(crate) fn advise(page: Page, len: usize, advice: libc::c_int) -> nix::Result<()> {
    // SAFETY: No advice that the tests give changes what is in the memory.
    let ret = unsafe { libc::madvise(page.area().as_ptr().cast(), len, advice) };
    Errno::result(ret).map(drop)
}

/// Moves the pages to another node of memory, if there is one.
pub(crate) fn move_pages(pages: &[Page], node: i32) -> Result<()> {
    const MPOL_MF_MOVE: i32 = 1 << 1;
    let addresses: Vec<_> = pages.iter().map(|page| page.area().as_ptr()).collect();
    let nodes = vec![node; pages.len()];
    let mut status = vec![0_i32; pages.len()];
    let (call, this) = (libc::SYS_move_pages, 0);
    let count = pages.len();
    // SAFETY: The three arrays have that many elements and live through the call.
    let ret = unsafe {
        libc::syscall(
            call,
            this,
            count,
            addresses.as_ptr(),
            nodes.as_ptr(),
            status.as_mut_ptr(),
            MPOL_MF_MOVE,
        )
    };
    match Errno::result(ret) {
        Err(Errno::ENODEV) => Err(Skip("needs two nodes of memory".into()).into()),
        Err(Errno::ENOSYS) => Err(Skip("needs CONFIG_MIGRATION".into()).into()),
        other => other.map(drop).context("move_pages"),
    }
}

/// Compressed memory to swap to, until dropped.
pub(crate) struct Swap(());

impl Swap {
    pub(crate) fn on() -> Result<Self> {
        const LEN: u32 = 16 << 20;
        const PAGE: u32 = 4096;
        if !Path::new(DEVICE).exists() || !Path::new("/proc/swaps").exists() {
            return Err(Skip("needs CONFIG_SWAP and CONFIG_ZRAM".into()).into());
        }
        fs::write("/sys/block/zram0/reset", "1").context("reset")?;
        fs::write("/sys/block/zram0/disksize", LEN.to_string()).context("disksize")?;
        // What mkswap writes: version, last page, no bad pages, and the magic word.
        let device = fs::File::options()
            .write(true)
            .open(DEVICE)
            .context(DEVICE)?;
        let mut header = vec![0; PAGE as usize];
        for (word, value) in [1, LEN / PAGE - 1, 0].into_iter().enumerate() {
            header[1024 + 4 * word..][..4].copy_from_slice(&value.to_ne_bytes());
        }
        let magic = b"SWAPSPACE2";
        header[PAGE as usize - magic.len()..].copy_from_slice(magic);
        device.write_all_at(&header, 0).context(DEVICE)?;
        drop(device);
        // SAFETY: The name ends with a zero.
        let ret = unsafe { libc::swapon(c"/dev/zram0".as_ptr(), 0) };
        Errno::result(ret).context("swapon")?;
        Ok(Self(()))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        // SAFETY: The name ends with a zero.
        if unsafe { libc::swapoff(c"/dev/zram0".as_ptr()) } != 0 {
            crate::ktap::diagnose("the swap stays on");
        }
    }
}
