// SPDX-License-Identifier: GPL-2.0

//! The kernel's description of its own types (BTF).

use std::fs;

use anyhow::{Context, Result};

use crate::check::{check, fail};

const MAGIC: u16 = 0xeb9f;
const INT: u32 = 1;
const STRUCT: u32 = 4;

/// All types of the kernel.
pub(super) struct Types {
    bytes: Vec<u8>,
    types: usize,
    types_end: usize,
    strings: usize,
}

/// One structure of them.
pub(super) struct Structure<'a> {
    types: &'a Types,
    id: u32,
    at: usize,
    members: usize,
}

impl Types {
    pub(super) fn read(file: &str) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| file.to_owned())?;
        let mut types = Self {
            bytes,
            types: 0,
            types_end: 0,
            strings: 0,
        };
        check!(
            types.word(0)? & 0xffff == u32::from(MAGIC),
            "{file} is no BTF"
        );
        let header = types.offset(4)?;
        types.types = header + types.offset(8)?;
        types.types_end = types.types + types.offset(12)?;
        types.strings = header + types.offset(16)?;
        Ok(types)
    }

    fn word(&self, at: usize) -> Result<u32> {
        let bytes = self.bytes.get(at..at + 4).context("the BTF ends early")?;
        Ok(u32::from_ne_bytes(bytes.try_into()?))
    }

    fn offset(&self, at: usize) -> Result<usize> {
        Ok(usize::try_from(self.word(at)?)?)
    }

    /// Whether the name whose offset is at this place is `name`.
    fn named(&self, at: usize, name: &str) -> Result<bool> {
        let start = self.strings + self.offset(at)?;
        let text = self.bytes.get(start..start + name.len() + 1);
        Ok(text.is_some_and(|text| text.strip_suffix(b"\0") == Some(name.as_bytes())))
    }

    pub(super) fn structure(&self, name: &str) -> Result<Structure<'_>> {
        let mut at = self.types;
        for id in 1.. {
            if at >= self.types_end {
                break;
            }
            let info = self.word(at + 4)?;
            let (kind, count) = (info >> 24 & 0x1f, usize::try_from(info & 0xffff)?);
            if kind == STRUCT && self.named(at, name)? {
                return Ok(Structure {
                    types: self,
                    id,
                    at,
                    members: count,
                });
            }
            // Integers, variables and tags have a word more, arrays three; enumerations,
            // prototypes, structures, sections and enumerations of 64 bits have it for each member.
            at += 12
                + match kind {
                    INT | 14 | 17 => 4,
                    3 => 12,
                    6 | 13 => 8 * count,
                    STRUCT | 5 | 15 | 19 => 12 * count,
                    2 | 7..=12 | 16 | 18 => 0,
                    _ => fail!("BTF has types of the kind {kind}"),
                };
        }
        fail!("the kernel has no struct {name}")
    }
}

impl Structure<'_> {
    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn size(&self) -> usize {
        self.types.offset(self.at + 8).unwrap_or_default()
    }

    /// The offset of a member in bytes.
    pub(super) fn member(&self, name: &str) -> Result<usize> {
        for number in 0..self.members {
            let at = self.at + 12 + 12 * number;
            if self.types.named(at, name)? {
                return Ok(self.types.offset(at + 8)? / 8);
            }
        }
        fail!("the structure has no {name}")
    }
}

/// The smallest description there is: of an int.
pub(super) fn minimal() -> Vec<u8> {
    const STRINGS: &[u8; 5] = b"\0int\0";
    const SIGNED: u32 = 1 << 24;
    let (header, types) = (24, 16);
    let words = [
        // Magic, version and flags.
        u32::from(MAGIC) | 1 << 16,
        header,
        0,
        types,
        types,
        5,
        // The name, the kind, the size, and what kind of int.
        1,
        INT << 24,
        4,
        SIGNED | 32,
    ];
    let words = words.into_iter().flat_map(u32::to_ne_bytes);
    words.chain(STRINGS.iter().copied()).collect()
}
