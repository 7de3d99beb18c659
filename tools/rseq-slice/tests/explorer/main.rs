// SPDX-License-Identifier: MIT OR Apache-2.0

//! `begin` and `end` against everything that the kernel, signal handlers and other libraries may do
//! between any two of their accesses to the control word.

mod broken;
mod choices;
mod kernel;
mod program;

use program::{Handler, Inside, Kind, Order, Program, explore};

/// All ways to nest sections of these kinds, up to `depth`.
fn nestings(kinds: &[Kind], depth: usize) -> Vec<Vec<Kind>> {
    let mut all: Vec<Vec<Kind>> = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..depth {
        last = last
            .iter()
            .flat_map(|outer| kinds.iter().map(|&kind| [&outer[..], &[kind]].concat()))
            .collect();
        all.extend(last.clone());
    }
    all.split_off(1)
}

/// Programs, and how many events there are in each run of them.
fn programs() -> Vec<(Program, u32)> {
    use Handler::{Jumps, Nest, Section};
    use Kind::{Counting, Ours};
    let mut programs = Vec::new();
    let mut add = |sections: Vec<Kind>, inside, order, handlers: &[Handler], events| {
        let handlers = handlers.to_vec();
        programs.push((
            Program {
                sections,
                inside,
                order,
                handlers,
            },
            events,
        ));
    };
    for sections in nestings(&[Ours], 3) {
        for inside in [Inside::Computes, Inside::CallsTheKernel, Inside::Jumps] {
            let events = if sections.len() < 3 { 2 } else { 1 };
            add(
                sections.clone(),
                inside,
                Order::Nested,
                &[Section(Ours), Jumps],
                events,
            );
        }
        add(
            sections.clone(),
            Inside::Computes,
            Order::Nested,
            &[Section(Ours)],
            4,
        );
        add(sections, Inside::Computes, Order::Nested, &[Nest], 3);
    }
    for sections in nestings(&[Ours, Counting], 3) {
        add(sections.clone(), Inside::Computes, Order::Nested, &[], 6);
        add(
            sections,
            Inside::Computes,
            Order::Nested,
            &[Section(Ours), Section(Counting)],
            3,
        );
    }
    add(
        vec![],
        Inside::Computes,
        Order::HandOver,
        &[Section(Ours)],
        4,
    );
    programs
}

#[test]
fn nothing_that_happens_breaks_a_section() {
    let (mut runs, mut grants, mut left) = (0, 0, 0);
    for (program, events) in programs() {
        let outcome = explore(broken::REAL, &program, events)
            .unwrap_or_else(|failure| panic!("{failure:#?}"));
        assert!(
            outcome.grants > 0 && outcome.left > 0,
            "no grants: {program:?}"
        );
        runs += outcome.runs;
        grants += outcome.grants;
        left += outcome.left;
    }
    println!("{runs} runs with {grants} grants, {left} of them ended by the thread");
    assert!(runs >= 100_000, "only {runs} runs");
}

#[test]
fn what_is_wrong_is_found() {
    for (library, expected) in broken::broken() {
        let found: Vec<_> = programs()
            .iter()
            .filter_map(|(program, events)| explore(library, program, *events).err())
            .collect();
        let mut kinds: Vec<_> = found.iter().map(|failure| failure.violation).collect();
        kinds.sort();
        kinds.dedup();
        println!("{}: {kinds:?}", library.name);
        assert_eq!(kinds, expected, "{}: {found:#?}", library.name);
    }
}
