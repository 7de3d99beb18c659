// SPDX-License-Identifier: MIT OR Apache-2.0

//! The command line, `check`, `stat` and `demo` on the machine that runs the tests, whatever it is.

mod common;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use common::{run, tool};
use serde_json::Value;

const NONE: [&str; 0] = [];

#[test]
fn wrong_use_is_64() {
    let wrong: [&[&str]; 12] = [
        &[],
        &["chekc"],
        &["check", "--pid"],
        &["check", "--pid", "me"],
        &["run"],
        &["run", "--locks", "spin,spoon", "true"],
        &["run", "--exit", "leap", "true"],
        &["run", "--looks", "0", "true"],
        &["run", "--unknown", "true"],
        &["stat", "--interval", "0"],
        &["demo", "0"],
        &["completions", "cmd.exe"],
    ];
    for args in wrong {
        let came = run(&mut tool(args));
        assert_eq!(
            (came.status, came.out.as_str()),
            (64, ""),
            "{args:?}: {came:?}"
        );
        assert!(came.err.contains("--help"), "{args:?}: {came:?}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let version = run(&mut tool(["--version"]));
    let expected = format!("rseq-slice {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((version.status, version.out), (0, expected));
    let help = run(&mut tool(["--help"]));
    assert_eq!(help.status, 0);
    for command in ["check", "run", "stat", "demo", "completions"] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{command}");
        assert_eq!(run(&mut tool([command, "--help"])).status, 0, "{command}");
    }
    assert!(!help.out.contains("probe"), "{}", help.out);
}

#[test]
fn every_shell_gets_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let came = run(&mut tool(["completions", shell]));
        assert_eq!(came.status, 0, "{shell}");
        assert!(came.out.contains("take-over"), "{shell}");
    }
}

#[test]
fn check_exits_with_what_it_says() {
    let came = run(&mut tool(["check", "--json"]));
    let json: Value = serde_json::from_str(&came.out).expect("JSON");
    assert_eq!(json["exit_status"], came.status, "{json}");
    assert_eq!(came.err, "");
    let word = ["works", "not-here", "could"];
    assert_eq!(json["status"], word[came.status as usize], "{json}");
    assert_eq!(json["cause"].is_null(), came.status == 0, "{json}");
    assert_eq!(
        json["cures"].as_array().unwrap().is_empty(),
        came.status == 0,
        "{json}"
    );
    let release = json["machine"]["kernel"]["release"].as_str().unwrap();
    let running = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(release, running.trim());
    let major: u32 = release.split('.').next().unwrap().parse().unwrap();
    if major < 7 && Path::new("/proc/self/status").exists() {
        assert_eq!(
            (&json["cause"], came.status),
            (&"kernel-before-7".into(), 1),
            "{json}"
        );
    }

    let text = run(&mut tool(["check"]));
    assert_eq!(text.status, came.status);
    assert!(
        text.out.contains(json["says"].as_str().unwrap()),
        "{text:?}"
    );
    let word = ["works ", "not here ", "could "][came.status as usize];
    assert!(text.out.starts_with(word), "{text:?}");
}

#[test]
fn colors_are_for_terminals() {
    assert!(!run(&mut tool(["check"])).out.contains('\u{1b}'));
    let forced = run(tool(["check"]).env("CLICOLOR_FORCE", "1"));
    assert!(forced.out.contains('\u{1b}'), "{forced:?}");
    let json = run(tool(["check", "--json"]).env("CLICOLOR_FORCE", "1"));
    assert!(!json.out.contains('\u{1b}'), "{json:?}");
}

#[test]
fn a_reader_that_has_enough_is_no_error_to_report() {
    let (reader, writer) = UnixStream::pair().unwrap();
    drop(reader);
    let came = run(tool(["check"]).stdout(OwnedFd::from(writer)));
    assert_eq!(came.err, "", "{came:?}");
    assert!(came.status >= 64, "{came:?}");
}

#[test]
fn an_unwritable_standard_error_changes_no_status() {
    let commands: [&[&str]; 5] = [
        &["chekc"],
        &["check"],
        &["check", "--pid", "0"],
        &["run", "no-such-program"],
        &["demo", "1"],
    ];
    for args in commands {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let status = run(tool(args).stderr(full)).status;
        assert_eq!(status, run(&mut tool(args)).status, "{args:?}");
    }
}

#[test]
fn stat_counts_or_says_why_not() {
    let came = run(&mut tool(["stat", "sh", "-c", "exit 7"]));
    if File::open("/sys/kernel/debug/rseq/slice_ext_nsec").is_ok() {
        assert_eq!(came.status, 7, "{came:?}");
        assert!(came.out.contains("granted in"), "{came:?}");
    } else {
        assert!([69, 77].contains(&came.status), "{came:?}");
        let cures = ["mount debugfs", "be root", "rseq-slice check"];
        assert!(cures.iter().any(|cure| came.err.contains(cure)), "{came:?}");
    }
}

#[test]
fn traces_or_says_why_not() {
    let came = run(&mut tool(["stat", "--trace", "sh", "-c", "exit 7"]));
    if std::fs::read_dir("/sys/kernel/tracing/events/rseq_slice").is_ok() {
        assert_eq!(came.status, 7, "{came:?}");
        assert!(came.out.contains("granted in"), "{came:?}");
    } else {
        assert!([69, 77].contains(&came.status), "{came:?}");
        assert!(came.err.contains("  cure: "), "{came:?}");
    }
}

#[test]
fn demo_needs_the_extension() {
    let check = run(&mut tool(["check"]));
    let demo = run(&mut tool(["demo", "1"]));
    if check.status == 1 {
        assert_eq!((demo.status, demo.out.as_str()), (69, ""), "{demo:?}");
        let says = check
            .out
            .lines()
            .next()
            .unwrap()
            .trim_start_matches("not here")
            .trim();
        assert!(demo.err.contains(says), "{demo:?}\n{check:?}");
    }
}

#[test]
fn nothing_is_read_from_standard_input() {
    let came = run(tool(NONE).arg("check").stdin(std::process::Stdio::null()));
    assert!(came.status <= 2, "{came:?}");
}
