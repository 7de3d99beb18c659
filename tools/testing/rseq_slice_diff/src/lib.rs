// SPDX-License-Identifier: GPL-2.0

//! Differential runs of the rseq time slice extension: random programs of slice operations run on the
//! C and on the Rust kernel, and the outcomes have to agree.
//!
//! # What is compared
//!
//! A [program](rseq_slice_diff_program::program::Program) is a list of steps: system calls, stores to
//! the control word, waiting for a reschedule, faults, and events planned for a moment after that
//! reschedule. The [outcome](rseq_slice_diff_program::outcome::Outcome) of a run has the results of
//! each step (return value or error number, control word, flags, runs of the competitor, signals and
//! the findings of their handlers), how the process ended, the settings, and by how much each counter
//! of the kernel grew. All of it is compared.
//!
//! # Differences in timing are not reported
//!
//! The kernels do not execute the same instructions, so an interrupt comes at different points of
//! them. Three rules deal with that.
//!
//! **Steps wait for events, not for time.** A reschedule comes from a competitor: a real-time process
//! of higher priority that a timer wakes far from any tick. The program waits in user mode until the
//! control word or the competitor's count shows that the kernel has decided, and a little longer, so
//! that simultaneous events have their effect on both kernels. Extensions last 50 microseconds, ten
//! times as long as the operations inside one. The outcome of such a program does not depend on
//! timing. One run on each kernel shows a difference that is always there.
//!
//! **Moments are swept, not fixed.** Some programs do depend on a moment: a second competitor, a
//! signal, or an action of the other CPU that is planned for some time after the reschedule, or
//! spinning for a time. The repetitions sweep that moment over a range that is wider than the kernels
//! are apart, so that both kernels show both sides of every boundary. Outcomes leave out whether a
//! planned event came before or after the end of a step, and the end of a program waits for all
//! planned events.
//!
//! **Sets are compared, with evidence.** The outcomes of the repetitions form a tree for each kernel,
//! and the trees are [compared](compare) branch by branch: a result that follows a history on one
//! kernel must be possible after the same history on the other. A branch that one kernel never takes
//! is a difference if the probability that it was missed by accident is below [one in a
//! million](fork::LEVEL). Otherwise the program is run again, more often each time. A difference that
//! is always there is found with 12 repetitions, one that takes 6 % of a sweep with 256. Rarer ones
//! are listed, by kind, as too rare to tell. The model of the state machine, which visits every point
//! at which an interrupt can come, covers those.
//!
//! Each run also checks rules that need no second kernel: on Rust `granted == yielded + aborted +
//! revoked + died`, on C `granted >= yielded + aborted + revoked`. In the comparison, the grants that C
//! does not count correspond to those that Rust counts as died. And while a restartable sequence was
//! not restarted, its thread stayed on one CPU, had no signal and no membarrier(2), and nobody else
//! ran there.
//!
//! [`intended`] has the differences that are intended. After one the histories differ, so the rest of
//! that program is not compared. Other programs do not have this difference.
//!
//! # From a difference to its cause
//!
//! A difference is [shrunk](shrink): steps are removed and arguments simplified as long as the kernels
//! differ in the same way. The result is one line, which can be run again.

pub mod compare;
pub mod fork;
pub mod generate;
pub mod intended;
pub mod shrink;
