// SPDX-License-Identifier: GPL-2.0

//! Audit of a system call.

use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;

use crate::case::Skip;
use crate::check::{check, fail};
use crate::ktap::diagnose;

// From <linux/audit.h> and <linux/netlink.h>.
const AUDIT_SET: u16 = 1001;
const AUDIT_ADD_RULE: u16 = 1011;
const AUDIT_DEL_RULE: u16 = 1012;
const AUDIT_SYSCALL: u16 = 1300;
const AUDIT_NLGRP_READLOG: u32 = 1;
const AUDIT_FILTER_EXIT: u32 = 4;
const AUDIT_ALWAYS: u32 = 2;
const AUDIT_STATUS_ENABLED: u32 = 1;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST_ACK: u16 = 1 | 4;
const HEADER: usize = 16;
/// Words of `struct audit_status` and of `struct audit_rule_data`.
const STATUS: usize = 11;
const RULE: usize = 3 + 4 * 64 + 1;

/// Has the kernel write a record of every call of one kind, until dropped. Only processes that start
/// after that are looked at.
pub(crate) struct Audit {
    socket: OwnedFd,
    call: usize,
}

impl Audit {
    pub(crate) fn start(call: i64) -> Result<Self> {
        let flags = libc::SOCK_RAW | libc::SOCK_CLOEXEC;
        // SAFETY: The call takes no pointer.
        let fd = unsafe { libc::socket(libc::AF_NETLINK, flags, libc::NETLINK_AUDIT) };
        if let Err(Errno::EPROTONOSUPPORT | Errno::EAFNOSUPPORT) = Errno::result(fd) {
            return Err(Skip("needs CONFIG_AUDIT".into()).into());
        }
        // SAFETY: The kernel has just opened it for us.
        let socket = unsafe { OwnedFd::from_raw_fd(Errno::result(fd)?) };
        // SAFETY: The structure is plain data, for which all zeros is valid.
        let mut address: libc::sockaddr_nl = unsafe { mem::zeroed() };
        address.nl_family = u16::try_from(libc::AF_NETLINK)?;
        address.nl_groups = 1 << (AUDIT_NLGRP_READLOG - 1);
        let len = u32::try_from(size_of_val(&address))?;
        // SAFETY: The structure has that size and lives through the call.
        let ret = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) };
        Errno::result(ret).context("bind")?;
        let audit = Self {
            socket,
            call: usize::try_from(call)?,
        };
        audit.enable(true)?;
        audit.rule(AUDIT_ADD_RULE)?;
        Ok(audit)
    }

    fn enable(&self, on: bool) -> Result<()> {
        let mut status = [0; STATUS];
        status[0] = AUDIT_STATUS_ENABLED;
        status[1] = u32::from(on);
        self.ask(AUDIT_SET, &status)
    }

    fn rule(&self, message: u16) -> Result<()> {
        let mut rule = [0; RULE];
        rule[0] = AUDIT_FILTER_EXIT;
        rule[1] = AUDIT_ALWAYS;
        rule[3 + self.call / 32] = 1 << (self.call % 32);
        self.ask(message, &rule)
    }

    /// Sends a message and waits for the acknowledgment of the kernel. Records that come in between are lost.
    fn ask(&self, message: u16, words: &[u32]) -> Result<()> {
        let len = u32::try_from(HEADER + size_of_val(words))?;
        let kind = u32::from(message) | u32::from(NLM_F_REQUEST_ACK) << 16;
        let bytes: Vec<_> = [len, kind, 0, 0]
            .iter()
            .chain(words)
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let fd = self.socket.as_raw_fd();
        // SAFETY: The buffer lives through the call.
        let ret = unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), 0) };
        Errno::result(ret).context("send")?;
        for _ in 0..1_000 {
            let (kind, payload) = self.receive(0)?.context("no answer")?;
            if kind == NLMSG_ERROR {
                let error = payload.get(..4).context("a short answer")?;
                let error = i32::from_ne_bytes(error.try_into()?);
                check!(error == 0, "message {message}: {}", Errno::from_raw(-error));
                return Ok(());
            }
        }
        fail!("message {message} is not answered")
    }

    /// The next message of the kernel, if there is one.
    fn receive(&self, flags: i32) -> Result<Option<(u16, Vec<u8>)>> {
        let mut bytes = vec![0; 9_000];
        let fd = self.socket.as_raw_fd();
        // SAFETY: The buffer has that size and lives through the call.
        let ret = unsafe { libc::recv(fd, bytes.as_mut_ptr().cast(), bytes.len(), flags) };
        let len = match Errno::result(ret) {
            Err(Errno::EAGAIN) => return Ok(None),
            len => usize::try_from(len.context("recv")?)?,
        };
        check!(len >= HEADER, "a message of {len} bytes");
        let kind = u16::from_ne_bytes([bytes[4], bytes[5]]);
        Ok(Some((kind, bytes[HEADER..len].to_vec())))
    }

    /// How many records of the call there are, which are not counted again. Waits until there are `enough`,
    /// but not long: a thread of the kernel sends them.
    pub(crate) fn records(&self, enough: u64) -> Result<u64> {
        const MILLIS: u32 = 100;
        let wanted = format!(" syscall={} ", self.call);
        let mut records = 0;
        for _ in 0..MILLIS {
            while let Some((kind, payload)) = self.receive(libc::MSG_DONTWAIT)? {
                let text = String::from_utf8_lossy(&payload);
                records += u64::from(kind == AUDIT_SYSCALL && text.contains(&wanted));
            }
            if records >= enough {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(records)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        if let Err(error) = self.rule(AUDIT_DEL_RULE).and(self.enable(false)) {
            diagnose(format_args!("audit stays on: {error:#}"));
        }
    }
}
