// SPDX-License-Identifier: MIT OR Apache-2.0

//! `rseq-slice run`, with a library in the place of the real one.

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Came, tool};
use tempfile::TempDir;

/// A folder with a library that does nothing.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-x", "c", "/dev/null", "-o"]);
        let status = compiler
            .arg(folder.library())
            .status()
            .expect("there is a C compiler");
        assert!(status.success());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn library(&self) -> PathBuf {
        self.path("librseq-slice-preload.so")
    }

    /// A file of its own mode.
    fn file(&self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = tool(["run"].iter().chain(args));
        command.env("RSEQ_SLICE_PRELOAD_LIB", self.library());
        command
    }

    fn run(&self, args: &[&str]) -> Came {
        loop {
            let came = common::run(&mut self.command(args));
            // A process that another test is about to start may have the file open for writing yet.
            if !came.err.contains("Text file busy") {
                return came;
            }
        }
    }

    /// It is refused with that status, in words with `cause` in them and a cure.
    fn refused(&self, args: &[&str], status: i32, cause: &str) {
        let came = self.run(args);
        assert_eq!(
            (came.status, came.out.as_str()),
            (status, ""),
            "{args:?}: {came:?}"
        );
        assert!(came.err.contains(cause), "{args:?}: {came:?}");
        assert!(came.err.contains("\n  cure: "), "{args:?}: {came:?}");
    }
}

/// The head of an ELF program without any segment.
fn elf(class: u8, machine: u16) -> Vec<u8> {
    let mut head = vec![0x7f, b'E', b'L', b'F', class, 1, 1, 0];
    head.resize(16, 0);
    for half in [2, machine] {
        head.extend(u16::to_le_bytes(half));
    }
    head.extend(u32::to_le_bytes(1));
    head.resize(if class == 2 { 52 } else { 40 }, 0);
    // Its own size, that of a program header, and how many there are.
    let size = if class == 2 { (64, 56) } else { (52, 32) };
    for half in [size.0, size.1, 0, 64, 0, 0] {
        head.extend(u16::to_le_bytes(half));
    }
    head
}

/// An ELF program of this machine that names a dynamic linker, and has nothing else.
fn elf_with_linker(linker: &str) -> Vec<u8> {
    const PT_INTERP: u32 = 3;
    let mut file = elf(2, MACHINE);
    let (header, program_header) = (64, 56);
    // Where the program headers are, and how many there are.
    file[32..40].copy_from_slice(&u64::to_le_bytes(header));
    file[56..58].copy_from_slice(&u16::to_le_bytes(1));
    file.extend(PT_INTERP.to_le_bytes());
    file.extend(u32::to_le_bytes(4));
    let size = linker.len() as u64 + 1;
    for field in [header + program_header, 0, 0, size, size, 1] {
        file.extend(field.to_le_bytes());
    }
    file.extend(linker.as_bytes());
    file.push(0);
    file
}

/// `EM_...` of this machine.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    62
} else if cfg!(target_arch = "riscv64") {
    243
} else {
    258
};

#[test]
fn a_program_is_run_with_the_library_and_its_settings() {
    let folder = Folder::new();
    let script = "echo \"$0 $* $LD_PRELOAD $RSEQ_SLICE_LOCKS $RSEQ_SLICE_TAKE_OVER $RSEQ_SLICE_EXIT \
                  $RSEQ_SLICE_LOOKS $RSEQ_SLICE_STATS\"; exit 7";
    let options = "--locks spin,omp --take-over --exit getpid --looks 9 --stats=/f";
    let mut args: Vec<_> = options.split(' ').collect();
    args.extend(["sh", "-c", script, "name", "--require"]);
    let came = folder.run(&args);
    let library = folder.library();
    let expected = format!(
        "name --require {} spin,omp 1 getpid 9 /f\n",
        library.display()
    );
    assert_eq!((came.status, came.out), (7, expected), "{}", came.err);
}

#[test]
fn a_program_sees_its_name_as_it_was_given() {
    let came = Folder::new().run(&["cat", "/proc/self/cmdline"]);
    assert_eq!(
        (came.status, came.out.as_str()),
        (0, "cat\0/proc/self/cmdline\0")
    );
}

#[test]
fn the_environment_holds_where_no_option_is_given() {
    let folder = Folder::new();
    let other = folder.path("other.so");
    fs::copy(folder.library(), &other).unwrap();
    let mut command =
        folder.command(&["sh", "-c", "echo $LD_PRELOAD $RSEQ_SLICE $RSEQ_SLICE_LOCKS"]);
    command
        .env("RSEQ_SLICE", "off")
        .env("RSEQ_SLICE_LOCKS", "all");
    let came = common::run(command.env("LD_PRELOAD", &other));
    let expected = format!(
        "{}:{} off all\n",
        folder.library().display(),
        other.display()
    );
    assert_eq!(
        (came.status, came.out.as_str(), came.err.as_str()),
        (0, expected.as_str(), "")
    );
}

#[test]
fn a_kernel_or_a_c_library_without_is_told_of() {
    let folder = Folder::new();
    let check = common::run(&mut tool(["check"]));
    let (plain, required) = (
        folder.run(&["echo", "ran"]),
        folder.run(&["--require", "echo", "ran"]),
    );
    assert_eq!((plain.status, plain.out.as_str()), (0, "ran\n"));
    if check.status == 1 {
        assert!(
            plain
                .err
                .starts_with("rseq-slice: echo runs without extensions: "),
            "{plain:?}"
        );
        assert_eq!(plain.err.lines().count(), 1, "{plain:?}");
        assert_eq!(
            (required.status, required.out.as_str()),
            (69, ""),
            "{required:?}"
        );
        assert!(required.err.contains("\n  cure: "), "{required:?}");
    } else if check.status == 0 {
        assert_eq!((plain.err.as_str(), required.out.as_str()), ("", "ran\n"));
    }
}

#[test]
fn an_unwritable_standard_error_keeps_no_program_from_running() {
    let folder = Folder::new();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let came = common::run(folder.command(&["echo", "ran"]).stderr(full));
    assert_eq!((came.status, came.out.as_str()), (0, "ran\n"), "{came:?}");
}

#[test]
fn what_cannot_be_preloaded_is_126() {
    let folder = Folder::new();
    let is_static = folder.file("static", elf(2, MACHINE), 0o755);
    folder.refused(&[&is_static], 126, "is statically linked");
    let foreign = folder.file("foreign", elf(2, 0x1234), 0o755);
    folder.refused(&[&foreign], 126, "64-bit machines of type 4660");
    let i386 = folder.file("i386", elf(1, 3), 0o755);
    folder.refused(&[&i386], 126, "32-bit machines of type 3");
    let x32 = folder.file("x32", elf(1, MACHINE), 0o755);
    folder.refused(&[&x32], 126, "32-bit ABI");
    let text = folder.file("text", "hello\n", 0o755);
    folder.refused(&[&text], 126, "neither an ELF program nor a script");
    let cut = folder.file("cut", &elf(2, MACHINE)[..32], 0o755);
    folder.refused(&[&cut], 126, "neither an ELF program nor a script");
    let empty = folder.file("empty", "", 0o755);
    folder.refused(&[&empty], 126, "neither an ELF program nor a script");
    folder.refused(&["/"], 126, "not a program");
    let plain = folder.file("plain", elf(2, MACHINE), 0o644);
    folder.refused(&[&plain], 126, "not an executable file");
}

#[test]
fn what_is_not_there_is_127() {
    let folder = Folder::new();
    folder.refused(&["no-such-program"], 127, "no program no-such-program");
    folder.refused(&["/no/such/program"], 127, "no program /no/such/program");
    folder.refused(&[""], 127, "no program");
}

#[test]
fn scripts_go_by_their_interpreters() {
    let folder = Folder::new();
    let good = folder.file("good", "#!/bin/sh\necho \"$0\"\n", 0o755);
    let came = folder.run(&[&good]);
    assert_eq!(
        (came.status, came.out.trim_end()),
        (0, good.as_str()),
        "{came:?}"
    );
    let is_static = folder.file("static", elf(2, MACHINE), 0o755);
    let of_static = folder.file("of-static", format!("#! {is_static} -x\n"), 0o755);
    folder.refused(&[&of_static], 126, "is statically linked");
    let lost = folder.file("lost", "#!/no/such/interpreter\n", 0o755);
    folder.refused(&[&lost], 126, "/no/such/interpreter, which is not there");
    let of_lost = folder.file("of-lost", format!("#!{lost}\n"), 0o755);
    folder.refused(&[&of_lost], 126, "/no/such/interpreter, which is not there");
    let foreign_lines = folder.file("foreign-lines", "#!/bin/sh\r\n", 0o755);
    folder.refused(&[&foreign_lines], 126, "/bin/sh with a carriage return");
    let plain = folder.file("plain", "#!/bin/sh\n", 0o644);
    let of_plain = folder.file("of-plain", format!("#!{plain}\n"), 0o755);
    let refusal = format!("{plain} is not an executable file");
    folder.refused(&[&of_plain], 126, &refusal);
    let own = folder.path("self");
    let endless = folder.file("self", format!("#!{}\n", own.display()), 0o755);
    folder.refused(&[&endless], 126, "a script run by scripts");
}

#[test]
fn a_missing_dynamic_linker_is_named() {
    let folder = Folder::new();
    let lost = folder.file("lost", elf_with_linker("/no/such/ld.so"), 0o755);
    folder.refused(
        &[&lost],
        126,
        "needs the dynamic linker /no/such/ld.so, which is not there",
    );
    let of_lost = folder.file("of-lost", format!("#!{lost}\n"), 0o755);
    folder.refused(
        &[&of_lost],
        126,
        "needs the dynamic linker /no/such/ld.so, which is not there",
    );
    let plain = folder.file("plain", "", 0o644);
    let of_plain = folder.file("of-plain", elf_with_linker(&plain), 0o755);
    let refusal = format!("{plain} is not an executable file");
    folder.refused(&[&of_plain], 126, &refusal);
}

/// A program that gives rights to whoever runs it.
fn setuid(folder: &Folder) -> PathBuf {
    let copy = folder.path("setuid");
    fs::copy("/bin/true", &copy).unwrap();
    // Root gives it to somebody else; others have those of root.
    if chown(&copy, Some(65_534), None).is_err() {
        return PathBuf::from("/usr/bin/passwd");
    }
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o4755)).unwrap();
    copy
}

#[test]
fn privileged_programs_are_refused() {
    let folder = Folder::new();
    let program = setuid(&folder);
    folder.refused(&[program.to_str().unwrap()], 126, "is a setuid program");
    // A link to it is no way around.
    symlink(&program, folder.path("link")).unwrap();
    folder.refused(
        &[folder.path("link").to_str().unwrap()],
        126,
        "is a setuid program",
    );
}

#[test]
fn a_missing_library_is_69() {
    let folder = Folder::new();
    let without = |library: Option<&Path>| {
        let mut command = folder.command(&["true"]);
        match library {
            Some(library) => command.env("RSEQ_SLICE_PRELOAD_LIB", library),
            None => command.env_remove("RSEQ_SLICE_PRELOAD_LIB"),
        };
        common::run(&mut command)
    };
    let came = without(Some(Path::new("/no/such/library")));
    assert_eq!(came.status, 69, "{came:?}");
    assert!(
        came.err.contains("RSEQ_SLICE_PRELOAD_LIB=/no/such/library"),
        "{came:?}"
    );
    // It is not beside a program that was built and not installed.
    let came = without(None);
    assert_eq!(came.status, 69, "{came:?}");
    assert!(came.err.contains("make install-user"), "{came:?}");
    let spaced = folder.path("with space.so");
    fs::copy(folder.library(), &spaced).unwrap();
    let came = without(Some(&spaced));
    assert_eq!(came.status, 69, "{came:?}");
    assert!(came.err.contains("no colon or space"), "{came:?}");
}

#[test]
fn the_library_is_found_beside_the_program() {
    let folder = Folder(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap());
    fs::create_dir(folder.path("bin")).unwrap();
    fs::create_dir(folder.path("lib")).unwrap();
    let program = folder.path("bin/rseq-slice");
    fs::hard_link(env!("CARGO_BIN_EXE_rseq-slice"), &program).unwrap();
    let library = folder.path("lib/librseq-slice-preload.so");
    fs::copy(Folder::new().library(), &library).unwrap();
    let mut command = Command::new(&program);
    command.args(["run", "sh", "-c", "echo $LD_PRELOAD"]);
    command
        .env_remove("RSEQ_SLICE_PRELOAD_LIB")
        .env_remove("LD_PRELOAD");
    let came = common::run(&mut command);
    assert_eq!(came.status, 0, "{came:?}");
    let library = library.canonicalize().unwrap();
    assert_eq!(
        Path::new(came.out.trim_end()).canonicalize().unwrap(),
        library
    );
}
