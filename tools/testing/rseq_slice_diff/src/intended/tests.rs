// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::compare::compare;
use rseq_slice_diff_program::outcome::Samples;

/// Compares one outcome of each kernel; returns the names of what explains the differences,
/// and "nothing" if one is not explained.
fn reasons(program: &str, c: &str, rust: &str) -> Vec<&'static str> {
    let samples = |text: &str| Samples::from([(text.parse().unwrap(), 12)]);
    let program = program.parse().unwrap();
    let result = compare(&program, &samples(c), &samples(rust), ALL);
    let nothing = result.differences.iter().map(|_| "nothing");
    result.intended.iter().copied().chain(nothing).collect()
}

#[test]
fn names_are_unique() {
    for (index, entry) in ALL.iter().enumerate() {
        assert!(ALL[..index].iter().all(|other| other.name != entry.name));
    }
}

#[test]
fn bits_layout_is_invalid_takes_mode_3() {
    let (c, rust) = ("-22,f10/exit:0", "0,f30/exit:0");
    assert_eq!(
        reasons("prctl 2 3 0 0", c, rust),
        ["bits-layout-is-invalid"]
    );
    assert_eq!(reasons("prctl 2 2 0 0", c, rust), ["nothing"]);
    assert_eq!(reasons("prctl 2 3 1 0", c, rust), ["nothing"]);
    assert_eq!(reasons("prctl 2 3 0 0", rust, c), ["nothing"]);
    assert_eq!(
        reasons("prctl 2 3 0 0", c, "signal:11"),
        ["bits-layout-is-invalid"]
    );
    assert_eq!(
        reasons("prctl 2 3 0 0", "-6/exit:0", "0/exit:0"),
        ["nothing"]
    );
}

#[test]
fn bits_layout_is_invalid_shows_in_the_parent() {
    let (c, rust) = ("0,f30/exit:0", "1011,f30/exit:0");
    let of = |program| reasons(program, c, rust);
    assert_eq!(of("fork; prctl 2 3 0 0"), ["bits-layout-is-invalid"]);
    assert_eq!(
        of("vfork; yield; prctl 2 3 0 0"),
        ["bits-layout-is-invalid"]
    );
    assert_eq!(of("fork; prctl 2 1 0 0"), ["nothing"]);
    assert_eq!(of("thread; prctl 2 3 0 0"), ["nothing"]);
    let other = "1011,f30,a1/exit:0";
    assert_eq!(reasons("fork; prctl 2 3 0 0", c, other), ["nothing"]);
}

#[test]
fn death_is_uncounted_takes_a_dead_thread() {
    let of = |c, rust| reasons("ask 0x1", c, rust);
    assert_eq!(
        of("signal:9,g1,e1,n1", "signal:9,g1,n1"),
        ["death-is-uncounted"]
    );
    assert_eq!(of("signal:9,g1,n1", "signal:9,g1,e1,n1"), ["nothing"]);
    assert_eq!(of("exit:0,g1,e1,y1", "exit:0,g1,y1"), ["nothing"]);
    assert_eq!(of("signal:9,g1,e1,n1", "signal:11,g1,n1"), ["nothing"]);
    assert_eq!(of("signal:9,g2,e1,n1,y1", "signal:9,g1,n1"), ["nothing"]);
    let (c, rust) = ("0/signal:9,g2,e2,n1,y1", "0/signal:9,g2,n1,y1");
    assert_eq!(reasons("spin 500", c, rust), ["death-is-uncounted"]);
    assert_eq!(reasons("yield", c, rust), ["nothing"]);
}

#[test]
fn early_end_is_unchecked_takes_a_short_extension() {
    let (c, rust) = ("5/signal:11,g1,n1", "5/signal:11,g1,e1,n1");
    let of = |c, rust| reasons("length \"5000\"", c, rust);
    assert_eq!(of(c, rust), ["early-end-is-unchecked"]);
    assert_eq!(reasons("yield", c, rust), ["nothing"]);
    assert_eq!(reasons("then 0 class", c, rust), ["early-end-is-unchecked"]);
    assert_eq!(of("5/exit:0,g1,y1", "5/exit:0,g1,e1,y1"), ["nothing"]);
    assert_eq!(of("5/exit:0,g1,v1", "5/exit:0,g1,e1,n1"), ["nothing"]);
    let (c, rust) = ("5/1/0,w1/exit:0,g1,v1", "5/1/signal:11,g1,e1,v1");
    let of = |program| reasons(program, c, rust);
    assert_eq!(
        of("length \"5000\"; debug \"1\"; yield"),
        ["early-end-is-unchecked"]
    );
    assert_eq!(of("length \"5000\"; debug \"0\"; yield"), ["nothing"]);
    assert_eq!(of("yield; debug \"1\"; yield"), ["nothing"]);
    let (c, rust) = ("5/1/0/exit:0,g1,v1", "5/1/signal:11,g1,e1,v1");
    let program = "length \"5000\"; debug \"1\"; yield";
    assert_eq!(reasons(program, c, rust), ["nothing"]);
}

#[test]
fn expiry_keeps_sequence_takes_a_sequence_without_competitor() {
    let (c, rust) = ("0,w100/0/exit:0,g1,e1,v1", "0,w100/0,s1/exit:0,g1,e1,v1");
    let of = |program| reasons(program, c, rust);
    assert_eq!(of("reclass 0x1; s.spin 80000"), ["expiry-keeps-sequence"]);
    assert_eq!(of("then 0 class; s.outlast"), ["expiry-keeps-sequence"]);
    assert_eq!(of("reclass 0x1; spin 80000"), ["nothing"]);
    assert_eq!(of("ask 0x1; s.spin 80000"), ["nothing"]);
    let of = |c, rust| reasons("reclass 0x1; s.spin 80000", c, rust);
    assert_eq!(of(rust, c), ["nothing"]);
    assert_eq!(of(c, "0,w100/0,a1,s1/exit:0,g1,e1,v1"), ["nothing"]);
    assert_eq!(of(c, "0,w100/0,s2/exit:0,g1,e1,v1"), ["nothing"]);
    assert_eq!(of(c, "0,w100/signal:11,g1,e1,v1"), ["nothing"]);
    let (c, rust) = ("0/0,w100/0/exit:0,g1,e1,v1", "0/0,w100/signal:11,g1,e1,v1");
    let of = |program| reasons(program, c, rust);
    assert_eq!(
        of("cs 0x1; reclass 0x1; s.spin 80000"),
        ["expiry-keeps-sequence"]
    );
    assert_eq!(of("cs 0x1; ask 0x1; s.spin 80000"), ["nothing"]);
    assert_eq!(of("ids 0x1; reclass 0x1; s.spin 80000"), ["nothing"]);
    let (c, rust) = (
        "1/0/0,w100/0/exit:0,g1,e1,v1",
        "1/0/0,w100/signal:11,g1,e1,v1",
    );
    let program = "debug \"1\"; ids 0x1; reclass 0x1; s.spin 80000";
    assert_eq!(reasons(program, c, rust), ["expiry-keeps-sequence"]);
}

#[test]
fn expiry_in_kernel_leaves_grant_without_competitor() {
    let name = ["expiry-in-kernel-leaves-grant"];
    let (c, rust) = (
        "0,w100/0,w100,t1/exit:0,g1,e1,x1",
        "0,w100/0/exit:0,g1,e1,v1",
    );
    assert_eq!(reasons("reclass 0x1; outlast", c, rust), name);
    assert_eq!(reasons("ask 0x1; outlast", c, rust), ["nothing"]);
    assert_eq!(reasons("reclass 0x1; outlast", rust, c), ["nothing"]);
    let (c, rust) = ("0/1/exit:0,g1,e1,y1", "0/0/exit:0,g1,e1,v1");
    assert_eq!(reasons("reclass 0x1; yield", c, rust), name);
    assert_eq!(reasons("ask 0x1; yield", c, rust), ["nothing"]);
    let of = |c, rust| reasons("reclass 0x1", c, rust);
    assert_eq!(of("0/signal:9,g1,e1,n1", "0/signal:9,g1,e1,v1"), name);
    assert_eq!(of("0/signal:9,g1,n1", "0/signal:9,g1,v1"), ["nothing"]);
}

#[test]
fn request_is_violation_takes_a_request_alone() {
    let (c, rust) = ("1/0,w1/signal:11,q1", "1/0,w1/0,w1/exit:0,q1");
    let of = |program| reasons(program, c, rust);
    let name = ["request-is-violation"];
    assert_eq!(of("debug \"1\"; word 0x1; yield"), name);
    assert_eq!(of("debug \"1\"; byte 0 0xff; yield"), name);
    assert_eq!(of("debug \"1\"; handle usr request; yield"), name);
    assert_eq!(of("debug \"0\"; word 0x1; yield"), ["nothing"]);
    assert_eq!(of("debug \"1\"; word 0x101; yield"), ["nothing"]);
    assert_eq!(of("debug \"1\"; byte 1 0x1; yield"), ["nothing"]);
    let of = |c, rust| reasons("debug \"1\"; word 0x1; yield", c, rust);
    assert_eq!(of(rust, c), ["nothing"]);
    assert_eq!(of("1/0,w1/signal:10,q1", rust), ["nothing"]);
}

#[test]
fn grant_follows_switch_takes_the_other_cpu() {
    let of = |program| reasons(program, "0/exit:0,g1,e1,v1", "0/exit:0");
    assert_eq!(of("then 0 drop"), ["grant-follows-switch"]);
    assert_eq!(of("then 0 fork"), ["grant-follows-switch"]);
    assert_eq!(of("then 0 class"), ["grant-follows-switch"]);
    assert_eq!(of("reclass 0x1"), ["grant-follows-switch"]);
    assert_eq!(of("then 0 competitor"), ["nothing"]);
    let of = |c, rust| reasons("then 0 drop", c, rust);
    assert_eq!(of("0/exit:0", "0/exit:0,g1,v1"), ["nothing"]);
    assert_eq!(of("0/exit:0,g2,v2", "0/exit:0,g1,y1"), ["nothing"]);
    assert_eq!(of("0/exit:0,g1,v1", "0/signal:11"), ["nothing"]);
}

#[test]
fn entry_reschedules_again_takes_a_moment() {
    let of = |c, rust| reasons("spin 500", c, rust);
    assert_eq!(
        of("1/exit:0,g1,e1,y1", "1/exit:0,g1,e1,v1"),
        ["entry-reschedules-again"]
    );
    assert_eq!(
        of("1/exit:0,g1,e1,x1", "1/exit:0,g1,e1,v1"),
        ["entry-reschedules-again"]
    );
    assert_eq!(
        of("1/exit:0,g1,e1,y1", "1/exit:0,g1,y1"),
        ["entry-reschedules-again"]
    );
    assert_eq!(of("1/exit:0,g1,y1", "1/exit:0,g1,v1"), ["nothing"]);
    assert_eq!(of("1/exit:0,g1,e1,v1", "1/exit:0,g1,e1,y1"), ["nothing"]);
    assert_eq!(of("1/exit:0,g1,e1,y1", "1/exit:0,g1,e1,x1"), ["nothing"]);
    // That Rust never yields where C always does is another matter.
    assert_eq!(of("1,a1/exit:0,g1,y1", "0,a1/exit:0,g1,v1"), ["nothing"]);
    let (c, rust) = ("1/exit:0,g1,e1,y1", "1/exit:0,g1,e1,v1");
    assert_eq!(reasons("yield", c, rust), ["nothing"]);
}

#[test]
fn an_unlikely_branch_beside_an_intended_one_is_not_decided() {
    let samples = |outcomes: &[(&str, u64)]| -> Samples {
        let parsed = outcomes.iter().map(|&(o, n)| (o.parse().unwrap(), n));
        parsed.collect()
    };
    let program = "prctl 2 3 0 0".parse().unwrap();
    let c = samples(&[("-22,f10/exit:0", 60), ("signal:9", 1)]);
    let rust = samples(&[("0,f30/exit:0", 61)]);
    let result = compare(&program, &c, &rust, ALL);
    assert!(result.is_open());
    assert!(result.intended.contains("bits-layout-is-invalid"));
    let c = samples(&[("-22,f10/exit:0", 30), ("signal:9", 31)]);
    let result = compare(&program, &c, &rust, ALL);
    assert_eq!(result.differences.len(), 1);
}

#[test]
fn violation_counts_as_end_takes_a_check() {
    let (c, rust) = ("signal:11,q1,g1,y1", "signal:11,q1,g1,n1");
    assert_eq!(reasons("debug \"1\"", c, rust), ["violation-counts-as-end"]);
    assert_eq!(reasons("debug \"0\"", c, rust), ["nothing"]);
    assert_eq!(reasons("debug \"1\"", rust, c), ["nothing"]);
    assert_eq!(
        reasons("debug \"1\"", "exit:0,g1,y1", "exit:0,g1,v1"),
        ["nothing"]
    );
}

#[test]
fn violation_counts_as_end_shows_in_a_survivor() {
    let (c, rust) = ("1,h1/exit:0,q1,g1,y1", "0,h1/exit:0,q1,g1,n1");
    let of = |c, rust| reasons("debug \"1\"", c, rust);
    assert_eq!(of(c, rust), ["violation-counts-as-end"]);
    assert_eq!(of(rust, c), ["nothing"]);
    assert_eq!(of("1/exit:0", "0/exit:0"), ["nothing"]);
    assert_eq!(reasons("debug \"0\"", c, rust), ["nothing"]);
}

#[test]
fn failed_update_is_uncounted_takes_memory_that_goes_away() {
    let (c, rust) = ("signal:11,g1,n1", "signal:11,g1,v1");
    let gone = "then 0 no-access";
    assert_eq!(reasons(gone, c, rust), ["failed-update-is-uncounted"]);
    assert_eq!(reasons("then 0 competitor", c, rust), ["nothing"]);
    assert_eq!(reasons(gone, rust, c), ["nothing"]);
    assert_eq!(reasons(gone, "exit:0,g1,n1", "exit:0,g1,v1"), ["nothing"]);
    let expired = "signal:11,g1,e1,n1";
    assert_eq!(reasons(gone, expired, rust), ["failed-update-is-uncounted"]);
    assert_eq!(reasons(gone, c, "signal:11,g1,e1,v1"), ["nothing"]);
    assert_eq!(
        reasons(gone, "signal:11,g2,e2,n1,v1", "signal:11,g2,v2"),
        ["nothing"]
    );
}

#[test]
fn timer_starts_last_takes_a_competitor_and_a_sequence() {
    let (c, rust) = ("0/0,a1,s1/exit:0", "0/0,a1/exit:0");
    let of = |program| reasons(program, c, rust);
    assert_eq!(of("then 0 competitor; s.ask 0x1"), ["timer-starts-last"]);
    assert_eq!(of("then 0 competitor; ask 0x1"), ["nothing"]);
    assert_eq!(of("then 0 competitor; s.spin 500"), ["nothing"]);
    assert_eq!(of("then 0 signal; s.ask 0x1"), ["nothing"]);
    assert_eq!(
        reasons("then 0 competitor; s.ask 0x1", rust, c),
        ["nothing"]
    );
    let (c, rust) = ("0/0,w100,a1,s1/exit:0", "0/0,w100,a1/exit:0");
    assert_eq!(
        reasons("then 0 competitor; s.ask 0x1", c, rust),
        ["nothing"]
    );
}

#[test]
fn membarrier_loses_reschedule_takes_membarrier() {
    let (c, rust) = ("0,f30/exit:0", "0,f30,a1/exit:0");
    assert_eq!(
        reasons("membarrier", c, rust),
        ["membarrier-loses-reschedule"]
    );
    assert_eq!(reasons("yield", c, rust), ["nothing"]);
    assert_eq!(reasons("membarrier", rust, c), ["nothing"]);
    let dies = "signal:10,a1,g1,v1";
    assert_eq!(
        reasons("membarrier", dies, rust),
        ["membarrier-loses-reschedule"]
    );
    assert_eq!(reasons("yield", dies, rust), ["nothing"]);
    assert_eq!(reasons("membarrier", "signal:10,g1,v1", rust), ["nothing"]);
    assert_eq!(
        reasons("membarrier", "0,w100/exit:0", "0,a1/exit:0"),
        ["nothing"]
    );
    let (c, rust) = ("0,t1/exit:0,g1,v1", "0/exit:0,g1,v1");
    assert_eq!(
        reasons("membarrier", c, rust),
        ["membarrier-loses-reschedule"]
    );
    assert_eq!(reasons("membarrier", rust, c), ["nothing"]);
    assert_eq!(reasons("yield", c, rust), ["nothing"]);
    let (c, rust) = ("0,a1/exit:0,g1,e1,v1", "0,a1/exit:0,g1,v1");
    assert_eq!(
        reasons("membarrier", c, rust),
        ["membarrier-loses-reschedule"]
    );
    assert_eq!(reasons("membarrier", rust, c), ["nothing"]);
    assert_eq!(reasons("yield", c, rust), ["nothing"]);
    let (c, rust) = ("0,a1/exit:0,g1,e1,y1", "0,a1/exit:0,g1,y1");
    assert_eq!(reasons("membarrier", c, rust), ["nothing"]);
}

#[test]
fn skipped_yield_is_reported_later_takes_a_skipped_one() {
    let of = |program| reasons(program, "0/-1/1/exit:0", "0/-1/0/exit:0");
    assert_eq!(
        of("filter; skip; yield"),
        ["skipped-yield-is-reported-later"]
    );
    assert_eq!(of("filter; yield; yield"), ["nothing"]);
    assert_eq!(of("skip; filter; yield"), ["nothing"]);
}
