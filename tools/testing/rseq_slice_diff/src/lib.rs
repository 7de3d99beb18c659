// SPDX-License-Identifier: GPL-2.0

//! Differential runs of the rseq time slice extension: random programs of slice operations, run on
//! the C and on the Rust kernel, on which these have to agree.
//!
//! # What is compared
//!
//! A [program](rseq_slice_diff_program::program::Program) is a list of steps: system calls, stores to the control word, waiting
//! for a reschedule, faults, and things planned for a moment after that reschedule. A run of
//! it comes to an [outcome](rseq_slice_diff_program::outcome::Outcome): what each step saw (results and error numbers, control
//! word, flags, whether the competitor got the CPU, signals and what their handlers found), how the
//! process ended, the settings, and by how much each counter of the kernel grew. Every part of it
//! takes part in the comparison.
//!
//! # A difference is always found, timing never taken for one
//!
//! The kernels do not execute the same instructions, so a moment at which an interrupt comes in one
//! of them has no counterpart in the other. Three rules deal with that.
//!
//! **Steps wait for events, not for time.** A reschedule comes from a competitor, a real-time process of
//! higher priority that a timer wakes far from any tick; the program waits in user mode until the
//! control word or the competitor's count tells that the kernel has decided, and a little longer, so that
//! what came at the same moment has its effect on both. Extensions last 50
//! microseconds, ten times as long as what is done inside of one. What such a program sees does
//! not depend on timing; a single run shows it, and a difference that is always there shows in the
//! first run of each kernel.
//!
//! **Moments are swept, not fixed.** Where a program does depend on a moment (a second competitor, a
//! signal or an action of the other CPU planned for some time after the reschedule, spinning for a
//! time), the repetitions sweep that moment over a range that is wider than the kernels are apart, so
//! that both sides of every boundary are seen on both kernels. What
//! only tells on which side of a step's end a planned thing happened is no part of an outcome, and
//! the end of a program waits until all that was planned has happened.
//!
//! **Sets are compared, with evidence.** The outcomes of the repetitions form a tree for each
//! kernel, and the trees are [compared](compare) branch by branch: what may follow a history on one
//! kernel must be possible after the same history on the other. A branch that one kernel never takes is
//! a difference once the probability that it was missed by accident is below
//! [one in a million](fork::LEVEL). Until then the program is run again, more often each time. So a
//! difference that is always there is found with certainty, with 12 repetitions; one that takes 6
//! % of a sweep is found with 256. What is rarer than that is listed, by kind, as too rare to tell.
//! The model of the state machine, which visits every point at which an interrupt can come, is the
//! instrument for such windows.
//!
//! Rules that need no second kernel are checked in each run: on Rust `granted == yielded + aborted +
//! revoked + died`, on C `granted >= yielded + aborted + revoked`. In the comparison, what C loses
//! counts as what Rust calls died. And a restartable sequence that was not restarted had its thread on one
//! CPU all the time, with no signal, no membarrier(2) and nobody else there.
//!
//! Differences that are meant to be are in [`intended`], and nowhere else. After one the histories
//! differ, and what follows in that program is not compared; others have no such difference.
//!
//! # From a difference to its cause
//!
//! A difference is [shrunk](shrink): steps are taken out and arguments made simpler as long as the
//! kernels differ in the same way. The result is one line, which can be run again.

pub mod compare;
pub mod fork;
pub mod generate;
pub mod intended;
pub mod shrink;
