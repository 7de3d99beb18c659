// SPDX-License-Identifier: MIT OR Apache-2.0

//! Each set of facts has one verdict.

use super::cause::{Cause, Status, TAKE_OVER};
use super::facts::{Facts, Kernel, Libc, LibcArea};
use super::probe::{Probe, Reason, Serves};
use super::process::{self, Process, Thread};
use super::proof::Proof;
use super::threads::ThreadArea;
use super::verdict::{self, Verdict, decide};

const PROOF: Proof = Proof {
    cpu: 3,
    seconds: 0.1,
    granted: 17,
    ended_by_thread: 16,
};
const FILTER: Option<u8> = Some(2);

fn on(area: Serves, proof: Option<Proof>) -> Probe {
    Probe::On { area, proof }
}

fn off(reason: Reason) -> Probe {
    Probe::Off { reason }
}

/// A machine on which the probe came to that.
fn facts(as_is: Probe) -> Facts {
    Facts {
        kernel: Kernel {
            release: "7.3.4".to_owned(),
            has_rseq: true,
            implementation: None,
            extension_ns: Some(5_000),
        },
        libc: Libc {
            name: "glibc 2.36".to_owned(),
            area: Some(LibcArea {
                size: 20,
                offset: 2336,
            }),
        },
        seccomp: Some(0),
        coarse_timers: false,
        switched_off: false,
        as_is,
        taken_over: None,
    }
}

fn legacy(taken_over: Probe) -> Facts {
    Facts {
        taken_over: Some(taken_over),
        ..facts(off(Reason::LegacyArea))
    }
}

fn filtered(facts: Facts) -> Facts {
    Facts {
        seccomp: FILTER,
        ..facts
    }
}

/// The verdict has that cause, the exit status that goes with it, and words.
fn expect(facts: &Facts, cause: Cause, exit_status: u8) -> Verdict {
    let verdict = decide(facts);
    assert_eq!(verdict.cause, Some(cause), "{facts:?}");
    assert_eq!(verdict.exit_status, exit_status, "{verdict:?}");
    assert_eq!(verdict.status.exit(), exit_status);
    assert!(
        !verdict.says.is_empty() && !verdict.cures.is_empty(),
        "{verdict:?}"
    );
    verdict
}

#[test]
fn it_works_with_any_area() {
    for area in [Serves::Libc, Serves::Own] {
        let verdict = decide(&facts(on(area, Some(PROOF))));
        assert_eq!((verdict.status, verdict.exit_status), (Status::Works, 0));
        assert_eq!(
            verdict.says,
            "16 extensions granted and ended by the thread in 0.100 s on CPU 3, at most 5 us each"
        );
        assert_eq!(verdict.also, Vec::<String>::new());
    }
}

#[test]
fn what_only_another_kernel_or_machine_cures_is_1() {
    for (reason, cause) in [
        (Reason::Platform, Cause::Platform),
        (Reason::NoRseq, Cause::NoRseq),
        (Reason::KernelBefore7, Cause::KernelBefore7),
        (Reason::NotBuiltIn, Cause::NotBuiltIn),
        (Reason::Refused(5), Cause::Refused(5)),
    ] {
        expect(&facts(off(reason)), cause, 1);
    }
    let release = expect(&facts(off(Reason::KernelBefore7)), Cause::KernelBefore7, 1);
    assert!(release.says.contains("Linux 7.3.4"), "{release:?}");
}

#[test]
fn what_can_be_changed_is_2() {
    for (reason, cause) in [
        (Reason::OffAtBoot, Cause::OffAtBoot),
        (Reason::ForeignArea, Cause::ForeignArea),
        (Reason::Tcmalloc, Cause::Tcmalloc),
        (Reason::SwitchedOff, Cause::SwitchedOff),
    ] {
        expect(&facts(off(reason)), cause, 2);
    }
}

#[test]
fn a_legacy_area_is_tried_to_take_over() {
    let verdict = expect(
        &legacy(on(Serves::TakenOver, Some(PROOF))),
        Cause::LegacyArea,
        2,
    );
    assert!(verdict.says.starts_with("glibc 2.36 "), "{verdict:?}");
    let remedy = verdict.cures.iter().find(|remedy| remedy.cure == TAKE_OVER);
    let remark = &remedy.unwrap().remark;
    assert_eq!(
        remark,
        "tried just now: works, 16 extensions ended by the thread in 0.100 s"
    );
}

#[test]
fn what_is_behind_a_legacy_area_is_the_cause() {
    for (probe, cause) in [
        (off(Reason::OffAtBoot), Cause::OffAtBoot),
        (on(Serves::TakenOver, None), Cause::NeverGranted),
    ] {
        let exit_status = cause.status().exit();
        let verdict = expect(&legacy(probe), cause, exit_status);
        assert!(
            verdict.also.iter().any(|also| also.contains("32-byte")),
            "{verdict:?}"
        );
    }
    let verdict = expect(&legacy(off(Reason::Tcmalloc)), Cause::Tcmalloc, 2);
    assert!(
        verdict.says.contains("32-byte") && verdict.also.is_empty(),
        "{verdict:?}"
    );
}

#[test]
fn a_filter_is_told_from_a_kernel_without() {
    let killed = facts(Probe::Killed { signal: 31 });
    expect(&killed, Cause::Seccomp, 2);
    expect(&filtered(facts(off(Reason::Refused(1)))), Cause::Seccomp, 2);
    // The kernel says in the auxiliary vector that it has rseq(2).
    let mut refused = filtered(facts(off(Reason::NoRseq)));
    expect(&refused, Cause::Seccomp, 2);
    refused.kernel.has_rseq = false;
    expect(&refused, Cause::NoRseq, 1);
    expect(&facts(off(Reason::NoRseq)), Cause::NoRseq, 1);
}

#[test]
fn a_filter_that_does_not_hurt_is_mentioned() {
    let verdict = decide(&filtered(facts(on(Serves::Own, Some(PROOF)))));
    assert_eq!(verdict.status, Status::Works);
    assert!(verdict.also[0].contains("getpid(2)"), "{verdict:?}");
}

#[test]
fn on_without_grants_has_a_cause() {
    let nothing = Proof {
        granted: 0,
        ended_by_thread: 0,
        ..PROOF
    };
    let lost = Proof {
        ended_by_thread: 0,
        ..PROOF
    };
    let mut never = facts(on(Serves::Own, Some(nothing)));
    let verdict = expect(&never, Cause::NeverGranted, 1);
    assert_eq!(verdict.also, Vec::<String>::new());
    let verdict = expect(&facts(on(Serves::Own, Some(lost))), Cause::NeverGranted, 1);
    assert!(verdict.also[0].starts_with("17 grants"), "{verdict:?}");
    never.coarse_timers = true;
    expect(&never, Cause::CoarseTimers, 2);
}

#[test]
fn coarse_timers_that_do_not_hurt_are_mentioned() {
    let mut coarse = facts(on(Serves::Own, Some(PROOF)));
    coarse.coarse_timers = true;
    let verdict = decide(&coarse);
    assert_eq!(verdict.status, Status::Works);
    assert!(verdict.also[0].contains("next tick"), "{verdict:?}");
}

#[test]
fn the_environment_switches_off_what_works() {
    let mut switched_off = facts(on(Serves::Own, Some(PROOF)));
    switched_off.switched_off = true;
    expect(&switched_off, Cause::SwitchedOff, 2);
    // What does not work at all has another cause.
    switched_off.as_is = off(Reason::KernelBefore7);
    expect(&switched_off, Cause::KernelBefore7, 1);
}

#[test]
fn the_c_library_is_named_with_its_area() {
    let mut facts = facts(off(Reason::LegacyArea));
    let says = verdict::libc(&facts);
    assert_eq!(
        says,
        "glibc 2.36 registers an area of 32 bytes, at +2336 from the thread pointer"
    );
    facts.libc.area = None;
    assert_eq!(
        verdict::libc(&facts),
        "glibc 2.36 registers an area of 32 bytes"
    );
    facts.as_is = on(Serves::Own, None);
    assert_eq!(verdict::libc(&facts), "glibc 2.36 registers no area");
    facts.as_is = off(Reason::KernelBefore7);
    assert_eq!(verdict::libc(&facts), "glibc 2.36");
}

fn area(size: u32, enabled: bool) -> ThreadArea {
    ThreadArea {
        address: 0x1000,
        size,
        available: size > 32,
        enabled,
    }
}

fn process(areas: &[Option<ThreadArea>]) -> Process {
    let thread = |(tid, &area)| Thread {
        tid: tid as i32,
        asked: true,
        area,
        seccomp: Some(0),
    };
    Process {
        pid: 1,
        name: "unbound".to_owned(),
        threads: areas.iter().enumerate().map(thread).collect(),
        tcmalloc: false,
    }
}

#[test]
fn a_process_works_if_all_its_threads_do() {
    let mut process = process(&[Some(area(33, true)); 3]);
    let machine = facts(on(Serves::Libc, None));
    let verdict = process::decide(&process, &machine);
    assert_eq!((verdict.status, verdict.exit_status), (Status::Works, 0));
    assert_eq!(
        verdict.says,
        "unbound: 3 of 3 threads on; area 33 bytes; seccomp none; tcmalloc no"
    );
    // One that could not be asked is no reason to doubt.
    process.threads[1].asked = false;
    process.threads[1].area = None;
    let verdict = process::decide(&process, &machine);
    assert_eq!(verdict.status, Status::Works);
    assert!(
        verdict
            .says
            .starts_with("unbound: 2 of 3 threads on (1 did not stop to be asked);"),
        "{verdict:?}"
    );
}

#[test]
fn a_process_of_which_only_some_threads_do_could() {
    let on_thread = Some(area(33, true));
    for off in [None, Some(area(32, false)), Some(area(33, false))] {
        let process = process(&[off, on_thread, on_thread]);
        let verdict = process::decide(&process, &facts(on(Serves::Libc, None)));
        assert_eq!(verdict.cause, Some(Cause::SomeThreads));
        assert_eq!((verdict.status, verdict.exit_status), (Status::Could, 2));
        assert_eq!(verdict.says, "only 2 of 3 threads have extensions on");
        assert!(!verdict.cures.is_empty());
        assert!(
            verdict.also[0].starts_with("unbound: 2 of 3 threads on"),
            "{verdict:?}"
        );
    }
}

#[test]
fn a_process_has_one_cause() {
    let machine = facts(on(Serves::Own, None));
    let of = |process: &Process, machine: &Facts| process::decide(process, machine).cause;
    let none = process(&[None]);
    assert_eq!(of(&none, &machine), Some(Cause::NotAsked));
    let did_not_ask = process(&[Some(area(33, false))]);
    assert_eq!(of(&did_not_ask, &machine), Some(Cause::NotAsked));
    let mut short = process(&[Some(area(32, false))]);
    assert_eq!(of(&short, &machine), Some(Cause::LegacyArea));
    short.tcmalloc = true;
    assert_eq!(of(&short, &machine), Some(Cause::Tcmalloc));
    let old = facts(off(Reason::KernelBefore7));
    assert_eq!(of(&short, &old), Some(Cause::KernelBefore7));
    // What this program's own C library does is nothing to the process.
    let other = legacy(off(Reason::OffAtBoot));
    assert_eq!(of(&none, &other), Some(Cause::OffAtBoot));
    let other = legacy(on(Serves::TakenOver, None));
    assert_eq!(of(&none, &other), Some(Cause::NotAsked));
}

#[test]
fn all_is_said_of_a_process() {
    let mut process = process(&[Some(area(32, false)), None]);
    process.threads[1].asked = false;
    process.threads[1].seccomp = FILTER;
    let verdict = process::decide(&process, &facts(on(Serves::Own, None)));
    assert_eq!(
        verdict.also,
        [
            "unbound: 0 of 2 threads on (1 did not stop to be asked); area 32 bytes (legacy); \
          seccomp 1 of 2 threads; tcmalloc no"
        ]
    );
    process.threads[0].asked = false;
    process.threads[0].area = None;
    let verdict = process::decide(&process, &facts(on(Serves::Own, None)));
    assert!(verdict.also[0].contains("; area not known;"), "{verdict:?}");
}

#[test]
fn a_thread_that_is_not_listed_has_ended() {
    assert!(process::has_ended("/proc/self/task/0/status"));
    assert!(!process::has_ended("/proc/thread-self/status"));
}

#[test]
fn restartable_sequences_are_seen_without_symbols() {
    #[unsafe(link_section = "__rseq_cs")]
    static SEQUENCE: [u8; 32] = [0; 32];
    std::hint::black_box(&SEQUENCE);
    assert!(process::has_sequences(&std::env::current_exe().unwrap()));
    assert!(!process::has_sequences(std::path::Path::new("/bin/sh")));
}
