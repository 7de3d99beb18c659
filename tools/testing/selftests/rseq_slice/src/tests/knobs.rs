// SPDX-License-Identifier: GPL-2.0

//! The files in debugfs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rseq_slice_harness::{Implementation, extension_length};

use crate::case::{Needs, Test, once};
use crate::check::{check, fail};
use crate::env::Env;

pub(crate) const TESTS: &[Test] = &[
    once(
        "length_is_5_us_or_as_booted",
        Needs::Nothing,
        length_is_5_us_or_as_booted,
    ),
    once("length_can_be_set", Needs::Nothing, length_can_be_set),
    once(
        "bad_length_changes_nothing",
        Needs::Nothing,
        bad_length_changes_nothing,
    ),
    once(
        "stats_have_the_known_lines",
        Needs::Counted,
        stats_have_the_known_lines,
    ),
    once(
        "only_rust_names_itself",
        Needs::Nothing,
        only_rust_names_itself,
    ),
];

const FOLDER: &str = "/sys/kernel/debug/rseq";
const LENGTH: &str = "/sys/kernel/debug/rseq/slice_ext_nsec";

fn mode(path: impl AsRef<Path>) -> Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

fn length_is_5_us_or_as_booted(env: Env) -> Result<()> {
    check!(mode(LENGTH)? == 0o644);
    check!(fs::read_to_string(LENGTH)? == format!("{}\n", env.kernel.length));
    check!(
        env.kernel.length == env.kernel.length_at_boot().unwrap_or(5_000),
        "it was {} when the tests began",
        env.kernel.length
    );
    Ok(())
}

fn length_can_be_set(_: Env) -> Result<()> {
    for (text, nanos) in [
        ("5000", 5_000),
        ("50000\n", 50_000),
        ("5001", 5_001),
        ("49999", 49_999),
        ("+20000", 20_000),
        ("0000010000\n", 10_000),
    ] {
        fs::write(LENGTH, text).with_context(|| format!("{text:?}"))?;
        check!(extension_length()? == nanos);
    }
    Ok(())
}

/// A refused value leaves the old one in place.
fn bad_length_changes_nothing(_: Env) -> Result<()> {
    fs::write(LENGTH, "12345")?;
    let out_of_range = ["0", "1", "4999", "50001", "4294967295"];
    let garbage = [
        "\n",
        "abc",
        "-5000",
        "5000ns",
        "0x2000",
        " 6000",
        "6000 7000",
        "6000.5",
        "4294967296",
        "4294973296",
        "18446744073709551616",
    ];
    for (texts, errno) in [
        (&out_of_range[..], libc::ERANGE),
        (&garbage[..], libc::EINVAL),
    ] {
        for text in texts {
            let result = fs::write(LENGTH, text);
            check!(
                matches!(&result, Err(error) if error.raw_os_error() == Some(errno)),
                "writing {text:?}: {result:?}"
            );
            check!(extension_length()? == 12_345, "{text:?} changed the length");
        }
    }
    Ok(())
}

/// The lines of the C implementation, and one more of the Rust one. None of the kernel's programs
/// expects an order, but a changed one would be a surprise.
fn stats_have_the_known_lines(env: Env) -> Result<()> {
    let path = format!("{FOLDER}/stats");
    check!(mode(&path)? == 0o444);
    let text = fs::read_to_string(&path)?;
    let mut names = Vec::new();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else {
            fail!("{line:?} has no colon");
        };
        check!(value.trim().parse::<u64>().is_ok(), "{line:?}");
        names.push(name);
    }
    let mut expected = vec![
        "exit", "signal", "slowp", "fastp", "ids", "cs", "clear", "fixup", "sgrant", "sexpir",
        "srevok", "syield", "sabort",
    ];
    if env.kernel.implementation() == Implementation::Rust {
        expected.push("sdied");
    }
    check!(names == expected, "{names:?}");
    Ok(())
}

fn only_rust_names_itself(env: Env) -> Result<()> {
    let path = format!("{FOLDER}/slice_ext_impl");
    match env.kernel.implementation() {
        Implementation::C => check!(!Path::new(&path).exists()),
        Implementation::Rust => {
            check!(mode(&path)? == 0o444);
            check!(fs::read_to_string(&path)? == "rust\n");
            check!(fs::write(&path, "c\n").is_err(), "the file can be written");
        }
    }
    Ok(())
}
