// SPDX-License-Identifier: GPL-2.0

//! The kernel's log.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};

const KMSG: &str = "/dev/kmsg";
/// What the first line of a report about a broken kernel contains.
const SPLATS: [&str; 6] = [
    "WARNING:",
    "BUG:",
    "Oops",
    "INFO: task",
    "INFO: rcu",
    "UBSAN:",
];

/// The messages from some moment on.
pub(crate) struct Kmsg(File);

impl Kmsg {
    fn at(position: SeekFrom) -> Result<Self> {
        let mut file = File::options()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(KMSG)
            .context(KMSG)?;
        file.seek(position)?;
        Ok(Self(file))
    }

    /// From now on.
    pub(crate) fn open() -> Result<Self> {
        Self::at(SeekFrom::End(0))
    }

    /// From the boot on.
    pub(crate) fn from_boot() -> Result<Self> {
        Self::at(SeekFrom::Start(0))
    }

    /// The texts of the messages that are there by now and were not returned before.
    pub(crate) fn drain(&mut self) -> Result<Vec<String>> {
        let mut texts = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.0.read(&mut record) {
                Ok(len) => {
                    let record = String::from_utf8_lossy(&record[..len]);
                    let text = record.split_once(';').map_or("", |(_, text)| text);
                    texts.push(text.lines().next().unwrap_or_default().to_owned());
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(texts),
                // Messages were overwritten before they could be read; go on with the oldest.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) => return Err(error).context(KMSG),
            }
        }
    }

    /// The first message that speaks of a broken kernel.
    pub(crate) fn splat(&mut self) -> Result<Option<String>> {
        let is_splat = |text: &String| SPLATS.iter().any(|splat| text.contains(splat));
        Ok(self.drain()?.into_iter().find(is_splat))
    }
}
