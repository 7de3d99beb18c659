// SPDX-License-Identifier: MIT OR Apache-2.0

//! Programs to run: where they are, whether the kernel can start them, and whether a library can be preloaded
//! into them.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access, getegid, geteuid};
use object::elf::{self, FileHeader32, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, FileKind, ReadCache, ReadRef};

use crate::failure::{Failure, NOT_FOUND, NOT_RUNNABLE};

/// As many levels of scripts as the kernel follows.
const LEVELS: usize = 5;

fn refuse(path: &Path, what: impl std::fmt::Display, cure: impl Into<String>) -> Failure {
    Failure::new(NOT_RUNNABLE, format!("{} {what}", path.display()), cure)
}

/// Finds a program as `execvp(3)` does.
pub(crate) fn find(name: &OsStr) -> Result<PathBuf, Failure> {
    let missing = || {
        Failure::new(
            NOT_FOUND,
            format!("there is no program {}", name.to_string_lossy()),
            "look at its name, and at PATH",
        )
    };
    if name.as_bytes().contains(&b'/') {
        let path = PathBuf::from(name);
        return match fs::metadata(&path) {
            Ok(_) => runnable(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
            Err(error) => Err(refuse(&path, error, "look at the folders on the way to it")),
        };
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let mut found = Err(missing());
    for candidate in env::split_paths(&path).map(|folder| folder.join(name)) {
        if !name.is_empty() && candidate.is_file() {
            match runnable(candidate) {
                Ok(path) => return Ok(path),
                Err(failure) => found = Err(failure),
            }
        }
    }
    found
}

fn runnable(path: PathBuf) -> Result<PathBuf, Failure> {
    if !path.is_file() {
        return Err(refuse(
            &path,
            "is not a program but something else",
            "name a file",
        ));
    }
    match access(&path, AccessFlags::X_OK) {
        Ok(()) => Ok(path),
        Err(_) => {
            let cure = format!("chmod +x {}, if it is one", path.display());
            Err(refuse(&path, "is not an executable file", cure))
        }
    }
}

/// Refuses files that are no programs, and programs that the kernel cannot start because of their interpreter.
pub(crate) fn startable(program: &Path) -> Result<(), Failure> {
    let program = resolved(program)?;
    match Header::read(&program)?.linker {
        Some(linker) => present(&program, linker).map(drop),
        None => Ok(()),
    }
}

/// Refuses programs that the dynamic linker will not preload anything into. Returns the dynamic linker.
pub(crate) fn inspect(program: &Path) -> Result<PathBuf, Failure> {
    let program = resolved(program)?;
    privileged(&program)?;
    linker(&program)
}

/// The program that runs in the end. For a script that is the interpreter, whose own rights count.
fn resolved(program: &Path) -> Result<PathBuf, Failure> {
    let mut program = program.to_owned();
    for _ in 0..LEVELS {
        match script(&program)? {
            Some(interpreter) => program = interpreter,
            None => return Ok(program),
        }
    }
    Err(refuse(
        &program,
        "is a script run by scripts",
        "name the program that runs it",
    ))
}

fn open(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| {
        let cure = "a program has to be readable to be looked at";
        Failure::new(NOT_RUNNABLE, format!("{}: {error}", path.display()), cure)
    })
}

/// The interpreter that a script names.
fn script(path: &Path) -> Result<Option<PathBuf>, Failure> {
    let mut head = Vec::new();
    let read = open(path)?.take(256).read_to_end(&mut head);
    read.map_err(|error| Failure::system(path.display(), error))?;
    let Some(name) = named(&head) else {
        return Ok(None);
    };
    let interpreter = PathBuf::from(OsString::from_vec(name.to_owned()));
    if interpreter.exists() {
        return runnable(interpreter).map(Some);
    }
    let (interpreter, cure) = match name.strip_suffix(b"\r") {
        Some(name) => (
            format!("{} with a carriage return", String::from_utf8_lossy(name)),
            format!(
                "end its lines as Linux does: sed -i 's/\\r$//' {}",
                path.display()
            ),
        ),
        None => (
            interpreter.display().to_string(),
            "install the interpreter, or correct the first line".to_owned(),
        ),
    };
    let what = format_args!("is a script for {interpreter}, which is not there");
    Err(refuse(path, what, cure))
}

/// What stands behind `#!`, up to where the kernel sees the end of it.
fn named(head: &[u8]) -> Option<&[u8]> {
    let line = head
        .strip_prefix(b"#!")?
        .split(|&byte| byte == b'\n')
        .next()?;
    line.split(|byte| b" \t\0".contains(byte))
        .find(|word| !word.is_empty())
}

/// The rights that a program has in addition to those of its user. The dynamic linker then ignores the
/// environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privilege {
    SetUid,
    SetGid,
    Capabilities,
}

/// Owner, group and mode of a file, and whether it has capabilities.
struct Rights {
    owner: u32,
    group: u32,
    mode: u32,
    capabilities: bool,
}

impl Rights {
    /// What a process of this user and group gains.
    fn gained_by(&self, user: u32, group: u32) -> Option<Privilege> {
        const SET_UID: u32 = 0o4000;
        const SET_GID: u32 = 0o2010;
        if self.mode & SET_UID != 0 && self.owner != user {
            Some(Privilege::SetUid)
        } else if self.mode & SET_GID == SET_GID && self.group != group {
            Some(Privilege::SetGid)
        } else if self.capabilities && user != 0 {
            Some(Privilege::Capabilities)
        } else {
            None
        }
    }
}

fn privileged(path: &Path) -> Result<(), Failure> {
    let metadata = fs::metadata(path).map_err(|error| Failure::system(path.display(), error))?;
    let rights = Rights {
        owner: metadata.uid(),
        group: metadata.gid(),
        mode: metadata.mode(),
        capabilities: has_capabilities(path),
    };
    let what = match rights.gained_by(geteuid().as_raw(), getegid().as_raw()) {
        None => return Ok(()),
        Some(Privilege::SetUid) => "is a setuid program",
        Some(Privilege::SetGid) => "is a setgid program",
        Some(Privilege::Capabilities) => "has file capabilities",
    };
    Err(refuse(
        path,
        format_args!("{what}, into which the dynamic linker preloads nothing"),
        "run it as the user whose rights it takes, or link it with the extension",
    ))
}

fn has_capabilities(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    let name = c"security.capability".as_ptr();
    // SAFETY: Both strings end with a null byte, and a length of 0 asks for nothing to be written.
    unsafe { libc::getxattr(path.as_ptr(), name, std::ptr::null_mut(), 0) > 0 }
}

/// The dynamic linker of a program that a library can be preloaded into.
fn linker(path: &Path) -> Result<PathBuf, Failure> {
    let header = Header::read(path)?;
    if let Some(other) = header.foreign() {
        return Err(refuse(
            path,
            format_args!(
                "is a program for {other}; the preload library is for {}",
                env::consts::ARCH
            ),
            "use a program of this machine's own kind",
        ));
    }
    let Some(linker) = header.linker else {
        return Err(refuse(
            path,
            "is statically linked, so that nothing can be preloaded into it",
            "link it dynamically, or build it with rseq_slice.h or the crate rseq-slice",
        ));
    };
    let name = linker.file_name().unwrap_or_default().as_bytes();
    if name.starts_with(b"ld-musl") {
        return Err(refuse(
            path,
            "is a program for musl; the preload library is for glibc",
            "build it with rseq_slice.h or the crate rseq-slice",
        ));
    }
    present(path, linker)
}

/// The dynamic linker of `program`, if the kernel finds it.
fn present(program: &Path, linker: PathBuf) -> Result<PathBuf, Failure> {
    if !linker.exists() {
        return Err(refuse(
            program,
            format_args!(
                "needs the dynamic linker {}, which is not there",
                linker.display()
            ),
            "install the C library that it was built for, or build it for the one that is installed",
        ));
    }
    runnable(linker)
}

/// What is needed from an ELF file.
struct Header {
    machine: u16,
    is_64: bool,
    linker: Option<PathBuf>,
}

impl Header {
    fn read(path: &Path) -> Result<Self, Failure> {
        let cache = ReadCache::new(open(path)?);
        let header = match FileKind::parse(&cache) {
            Ok(FileKind::Elf64) => Self::of::<FileHeader64<Endianness>, _>(&cache).ok(),
            Ok(FileKind::Elf32) => Self::of::<FileHeader32<Endianness>, _>(&cache).ok(),
            _ => None,
        };
        header.ok_or_else(|| {
            refuse(
                path,
                "is neither an ELF program nor a script",
                "see file(1)",
            )
        })
    }

    fn of<'data, E: FileHeader<Endian = Endianness>, R: ReadRef<'data>>(
        data: R,
    ) -> object::Result<Self> {
        let header = E::parse(data)?;
        let endian = header.endian()?;
        let mut linker = None;
        for segment in header.program_headers(endian, data)? {
            if let Some(name) = segment.interpreter(endian, data)? {
                linker = Some(PathBuf::from(OsString::from_vec(name.to_owned())));
            }
        }
        Ok(Self {
            machine: header.e_machine(endian).0,
            is_64: header.is_type_64(),
            linker,
        })
    }

    /// The machine that it is for, if that is not this one.
    fn foreign(&self) -> Option<String> {
        let own = match env::consts::ARCH {
            "x86_64" => elf::EM_X86_64,
            "riscv64" => elf::EM_RISCV,
            "s390x" => elf::EM_S390,
            "loongarch64" => elf::EM_LOONGARCH,
            // The library exists for no other.
            _ => elf::EM_NONE,
        };
        let bits = if self.is_64 { 64 } else { 32 };
        match self.machine {
            machine if machine != own.0 => Some(format!("{bits}-bit machines of type {machine}")),
            _ if !self.is_64 => Some(format!("the {bits}-bit ABI of {}", env::consts::ARCH)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_name_their_interpreter() {
        assert_eq!(named(b"#!/bin/sh -e\nexit"), Some(&b"/bin/sh"[..]));
        assert_eq!(
            named(b"#! /usr/bin/env python3\n"),
            Some(&b"/usr/bin/env"[..])
        );
        assert_eq!(named(b"#!\n/bin/sh"), None);
        assert_eq!(named(b"#!/bin/sh\r\n"), Some(&b"/bin/sh\r"[..]));
        assert_eq!(named(b"\x7fELF"), None);
    }

    #[test]
    fn rights_are_gained_by_others_only() {
        let rights = |mode, capabilities| Rights {
            owner: 0,
            group: 5,
            mode,
            capabilities,
        };
        let setuid = rights(0o104_755, false);
        assert_eq!(setuid.gained_by(1000, 1000), Some(Privilege::SetUid));
        assert_eq!(setuid.gained_by(0, 0), None);
        let setgid = rights(0o102_755, false);
        assert_eq!(setgid.gained_by(0, 0), Some(Privilege::SetGid));
        assert_eq!(setgid.gained_by(1000, 5), None);
        // Without the right to run it as the group the bit means something else.
        assert_eq!(rights(0o102_745, false).gained_by(0, 0), None);
        let capable = rights(0o100_755, true);
        assert_eq!(capable.gained_by(1000, 1000), Some(Privilege::Capabilities));
        assert_eq!(capable.gained_by(0, 0), None);
        assert_eq!(rights(0o100_755, false).gained_by(1000, 1000), None);
    }
}
