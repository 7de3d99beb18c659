// SPDX-License-Identifier: GPL-2.0

//! Traces for people.

use core::sync::atomic::AtomicU64;

use crate::{
    action::Action, config::Config, kernel::Log, machine, rules::Rules, thread::Tid, world::World,
};

/// Describes a path, one line for each step.
///
/// # Panics
///
/// If the exploration did not take this path.
pub(crate) fn describe<R: Rules>(
    rules: &R,
    config: &Config,
    path: Vec<(World<R::At>, Option<Action>)>,
) -> Vec<String> {
    // Of two worlds that are mirror images the exploration keeps one. The trace follows the real one.
    let mut world = path[0].0;
    let mut mirrored = false;
    let mut ticks = 0;
    let mut lines = Vec::new();

    for (number, pair) in path.windows(2).enumerate() {
        let (Some(action), expected) = (pair[0].1, pair[1].0) else {
            break;
        };
        let action = if mirrored { action.mirrored() } else { action };
        let before = world;
        let mut notes = Vec::new();
        let cover = AtomicU64::new(0);
        let mut log = Log {
            cover: &cover,
            notes: Some(&mut notes),
            ticks,
        };
        world = machine::explore_real(rules, config, &before, action, &mut log)
            .expect("a step that was possible");
        mirrored = world != expected;
        assert!(
            !mirrored || world.mirrored() == expected,
            "a trace that can be followed"
        );

        let mut line = format!("{:3}. ", number + 1);
        match action {
            Action::Tick => ticks += 1,
            Action::Step(tid, _) => {
                line += &place(&before, tid);
                if notes.is_empty() {
                    notes.push(format!("continues to {}", world.thread(tid).pc));
                }
            }
            Action::User(tid, _) => line += &place(&before, tid),
            Action::Interrupt(cpu, ..) => {
                if let Some(tid) = before.current(cpu) {
                    let what = format!("interrupts {tid} before {}", before.thread(tid).pc);
                    notes.insert(0, what.replace("before user mode", "in user mode"));
                }
            }
            Action::Remote(..)
            | Action::SwitchIn(..)
            | Action::Migrate(_)
            | Action::Unplug
            | Action::Plug => {}
        }
        line += &action.to_string();
        if action == Action::Tick {
            line += &format!(": t{ticks}");
        }
        if !notes.is_empty() {
            line += " -> ";
            line += &notes.join(", ");
        }
        lines.push(line);
    }
    lines
}

fn place<A: Copy>(world: &World<A>, tid: Tid) -> String {
    world
        .thread(tid)
        .cpu()
        .map_or_else(String::new, |cpu| format!("{cpu}: "))
}
