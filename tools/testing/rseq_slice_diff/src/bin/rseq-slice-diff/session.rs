// SPDX-License-Identifier: GPL-2.0

//! From programs to differences: run, compare, run again if undecided, shrink.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use rseq_slice_diff::compare::{Comparison, compare};
use rseq_slice_diff::intended::Intended;
use rseq_slice_diff::shrink::Shrinker;
use rseq_slice_diff_program::program::Program;

use crate::boot::{Answer, Guests, Job};

/// How often to run a program that sweeps a moment, one that has moments, and any other.
pub(crate) type Times = [u32; 3];
const FIRST: Times = [6, 1, 1];
/// Further rounds, for undecided programs. The first of them recognises a difference that is always
/// there. If moments matter, all rounds are run.
const FURTHER: [Times; 3] = [[24, 16, 12], [96, 64, 24], [256, 256, 64]];
/// For each candidate when a program is shrunk.
const SHRINKING: Times = [64, 64, 12];
/// The number of differences that are shrunk.
const SHRUNK: usize = 6;

/// A program with its outcomes so far.
pub(crate) struct Case {
    pub(crate) program: Program,
    pub(crate) answer: Answer,
    pub(crate) comparison: Comparison,
}

impl Case {
    fn is_bad(&self) -> bool {
        !self.comparison.differences.is_empty() || !self.answer.faults.is_empty()
    }

    /// Whether more repetitions can tell more.
    fn is_open(&self) -> bool {
        let doubtful = self.program.has_moments() && self.answer.faults.is_empty();
        self.comparison.is_open() || self.is_bad() && doubtful
    }

    /// The kind of failure, by which programs are grouped.
    pub(crate) fn kind(&self) -> Option<String> {
        let comparison = &self.comparison;
        if let Some(fork) = comparison
            .differences
            .first()
            .or(comparison.undecided.first())
        {
            return Some(format!("at {}", fork.what(&self.program)));
        }
        let fault = self.answer.faults.first()?;
        Some(fault.split(':').next().unwrap_or_default().to_owned())
    }
}

/// The results of a session.
#[derive(Default)]
pub(crate) struct Results {
    /// Programs on which the kernels agree.
    pub(crate) agreed: usize,
    /// Programs with an intended difference and no other.
    pub(crate) with_intended: usize,
    /// The same by the name of the difference.
    pub(crate) intended: BTreeMap<&'static str, usize>,
    /// Programs with a difference or a broken rule.
    pub(crate) bad: Vec<Case>,
    /// Programs with outcomes that are too rare to tell.
    pub(crate) rare: Vec<Case>,
    /// Runs of programs, over both kernels.
    pub(crate) runs: u64,
}

pub(crate) struct Session<'a> {
    pub(crate) guests: &'a mut Guests,
    pub(crate) intended: &'a [Intended],
    /// Programs that are undecided.
    pub(crate) open: Vec<Case>,
    pub(crate) results: Results,
}

fn repetitions(program: &Program, [swept, moments, other]: Times) -> u32 {
    match (program.is_timed(), program.has_moments()) {
        (true, _) => swept,
        (false, true) => moments,
        (false, false) => other,
    }
}

impl Session<'_> {
    /// Runs the programs and adds the answers to those of earlier runs.
    fn ask(&mut self, cases: &mut [Case], times: Times, seed: u64) -> Result<()> {
        let jobs: Vec<_> = cases
            .iter()
            .map(|case| Job {
                program: case.program.clone(),
                repetitions: repetitions(&case.program, times),
            })
            .collect();
        let answers = self.guests.run(&jobs, seed)?;
        self.results.runs += 2 * jobs
            .iter()
            .map(|job| u64::from(job.repetitions))
            .sum::<u64>();
        for (case, answer) in cases.iter_mut().zip(answers) {
            for (known, new) in [
                (&mut case.answer.c, answer.c),
                (&mut case.answer.rust, answer.rust),
            ] {
                for (outcome, count) in new {
                    *known.entry(outcome).or_default() += count;
                }
            }
            case.answer.faults.extend(answer.faults);
            case.comparison = compare(
                &case.program,
                &case.answer.c,
                &case.answer.rust,
                self.intended,
            );
        }
        Ok(())
    }

    /// Runs programs `times` and compares their outcomes.
    pub(crate) fn show(
        &mut self,
        programs: &[Program],
        times: Times,
        seed: u64,
    ) -> Result<Vec<Case>> {
        let mut cases: Vec<_> = programs.iter().cloned().map(fresh).collect();
        self.ask(&mut cases, times, seed)?;
        Ok(cases)
    }

    /// Runs programs once, or as often as it takes to see what they usually do.
    pub(crate) fn judge(&mut self, programs: Vec<Program>, seed: u64) -> Result<()> {
        let mut cases: Vec<_> = programs.into_iter().map(fresh).collect();
        self.ask(&mut cases, FIRST, seed)?;
        self.sort(cases);
        Ok(())
    }

    /// Runs the programs again for which it is not known yet whether the kernels agree.
    pub(crate) fn settle(&mut self, seed: u64) -> Result<()> {
        for times in FURTHER {
            let mut open = std::mem::take(&mut self.open);
            if open.is_empty() {
                return Ok(());
            }
            eprintln!("  {} programs again, {} times", open.len(), times[0]);
            self.ask(&mut open, times, seed)?;
            self.sort(open);
        }
        let (bad, rare): (Vec<_>, _) = self.open.drain(..).partition(Case::is_bad);
        self.results.bad.extend(bad);
        self.results.rare.extend(rare);
        Ok(())
    }

    /// Adds cases to the results, and those that are not decided to the open ones.
    fn sort(&mut self, cases: Vec<Case>) {
        for case in cases {
            if case.is_open() {
                self.open.push(case);
            } else if case.is_bad() {
                self.results.bad.push(case);
            } else {
                match case.comparison.intended.is_empty() {
                    true => self.results.agreed += 1,
                    false => self.results.with_intended += 1,
                }
                for &name in &case.comparison.intended {
                    *self.results.intended.entry(name).or_default() += 1;
                }
            }
        }
    }

    /// Shrinks what went wrong: the shortest program of each kind.
    pub(crate) fn shrink(&mut self, seed: u64) -> Result<Vec<Case>> {
        let mut kinds = BTreeSet::new();
        self.results
            .bad
            .sort_by_key(|case| case.program.steps().len());
        let chosen = self
            .results
            .bad
            .iter()
            .filter_map(|case| Some((case.kind()?, case)));
        let mut searches: Vec<_> = chosen
            .filter(|(kind, _)| kinds.insert(kind.clone()))
            .map(|(kind, case)| (kind, Shrinker::new(case.program.clone())))
            .take(SHRUNK)
            .collect();
        loop {
            let programs = searches
                .iter()
                .flat_map(|(_, s)| s.candidates().iter().cloned());
            let mut cases: Vec<_> = programs.map(fresh).collect();
            if cases.is_empty() {
                break;
            }
            eprintln!("  shrinking: {} candidates", cases.len());
            self.ask(&mut cases, SHRINKING, seed)?;
            let mut answers = cases.iter();
            for (kind, search) in &mut searches {
                let count = search.candidates().len();
                let same = |case: &Case| case.is_bad() && case.kind().as_ref() == Some(&*kind);
                let answers: Vec<_> = answers.by_ref().take(count).map(same).collect();
                search.answer(&answers);
            }
        }
        let mut cases: Vec<_> = searches
            .iter()
            .map(|(_, s)| fresh(s.best().clone()))
            .collect();
        if !cases.is_empty() {
            self.ask(&mut cases, SHRINKING, seed)?;
        }
        Ok(cases)
    }
}

fn fresh(program: Program) -> Case {
    Case {
        program,
        answer: Answer::default(),
        comparison: Comparison::default(),
    }
}
