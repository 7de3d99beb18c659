// SPDX-License-Identifier: MIT OR Apache-2.0

//! The size of a kernel, and of the extension in it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};
use serde::{Deserialize, Serialize};

/// Words in the names of functions and data of both implementations.
const OURS: [&str; 1] = ["rseq_slice"];

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Image {
    /// Executable sections.
    pub(crate) text: u64,
    /// Data and read-only data.
    pub(crate) data: u64,
    /// Zeroed data.
    pub(crate) bss: u64,
    /// Functions named after the extension. What is inlined elsewhere counts there.
    pub(crate) own_text: u64,
    /// Data named after the extension.
    pub(crate) own_data: u64,
}

impl Image {
    pub(crate) fn read(vmlinux: &Path) -> Result<Self> {
        let data = fs::read(vmlinux).with_context(|| vmlinux.display().to_string())?;
        let file = object::File::parse(&*data)?;
        let mut image = Self::default();
        for section in file.sections() {
            *match section.kind() {
                SectionKind::Text => &mut image.text,
                SectionKind::Data | SectionKind::ReadOnlyData | SectionKind::ReadOnlyString => {
                    &mut image.data
                }
                SectionKind::UninitializedData => &mut image.bss,
                _ => continue,
            } += section.size();
        }
        for symbol in file.symbols() {
            let name = symbol.name().unwrap_or_default();
            if !OURS.iter().any(|word| name.contains(word)) {
                continue;
            }
            match symbol.kind() {
                SymbolKind::Text => image.own_text += symbol.size(),
                SymbolKind::Data => image.own_data += symbol.size(),
                _ => (),
            }
        }
        Ok(image)
    }
}
