// SPDX-License-Identifier: GPL-2.0

//! The exploration: every reachable state, breadth first.

use core::{
    fmt,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};
use std::time::{Duration, Instant};

use stateright::{Checker as _, HasDiscoveries, Model};

use crate::{
    abi::{Layout, Mode},
    action::{self, Action},
    config::Config,
    cover::Cover,
    kernel::Log,
    machine,
    property::{self, Broken, Holds, Property},
    rules::Rules,
    thread::{Cpu, Thread},
    trace,
    world::World,
};

/// A configuration with the rules of an implementation.
pub(crate) struct Exploration<R> {
    rules: R,
    config: Config,
    cover: AtomicU64,
    known: AtomicU32,
}

impl<R: Rules> Model for Exploration<R> {
    type State = World<R::At>;
    type Action = Action;

    fn init_states(&self) -> Vec<Self::State> {
        let mode = match self.config.layout {
            Layout::Bytes => Mode::BYTES,
            Layout::Bits => Mode::BITS,
        };
        let second = if self.config.threads > 1 {
            Thread::new(Cpu(1), mode)
        } else {
            Thread::GONE
        };

        vec![World::new([Thread::new(Cpu(0), mode), second])]
    }

    fn actions(&self, world: &Self::State, actions: &mut Vec<Action>) {
        action::all::<R>(&self.config, world, actions);
    }

    fn next_state(&self, world: &Self::State, action: Action) -> Option<Self::State> {
        let mut log = Log {
            cover: &self.cover,
            notes: None,
            ticks: 0,
        };

        machine::explore(&self.rules, &self.config, world, action, &mut log)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        property::stateright()
    }
}

impl<R: Rules> Holds for Exploration<R> {
    /// Only the first state that breaks `property` is reported: it has the shortest path.
    fn holds(&self, world: &Self::State, property: Broken) -> bool {
        if !world.broken.contains(property) {
            return true;
        }
        let known = self.known.fetch_or(property.bits(), Ordering::Relaxed);

        known & property.bits() != 0
    }
}

/// The results of an exploration.
pub(crate) struct Findings {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    pub(crate) depth: usize,
    pub(crate) time: Duration,
    pub(crate) cover: Cover,
    /// The properties that do not hold, each with a shortest path to a state that breaks it.
    pub(crate) broken: Vec<(Property, Vec<String>)>,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} states, {} steps, at most {} from the start, {:.1} s",
            self.states,
            self.steps,
            self.depth,
            self.time.as_secs_f64()
        )
    }
}

/// Explores `config` with `rules`, completely or until `wanted` is found broken.
pub(crate) fn explore<R: Rules>(rules: R, config: Config, wanted: Option<Property>) -> Findings {
    let start = Instant::now();
    let exploration = Exploration {
        rules,
        config,
        cover: AtomicU64::new(0),
        known: AtomicU32::new(0),
    };
    // Only with one thread is the first state that breaks a property one of the nearest.
    let mut checker = exploration.checker().threads(1);
    if let Some(property) = wanted {
        checker = checker.finish_when(HasDiscoveries::AllOf([property.name].into()));
    }
    let checker = checker.spawn_bfs().join();
    let time = start.elapsed();
    let exploration = checker.model();
    let cover = Cover::from_bits_retain(exploration.cover.load(Ordering::Relaxed));

    let mut discoveries = checker.discoveries();
    let broken = property::ALL
        .iter()
        .filter_map(|&property| {
            let path = discoveries.remove(property.name)?;
            Some((property, trace::describe(&rules, &config, path.into_vec())))
        })
        .collect();

    Findings {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        time,
        cover,
        broken,
    }
}
