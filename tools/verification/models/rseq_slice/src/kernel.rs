// SPDX-License-Identifier: GPL-2.0

//! The kernel for the implementations: the fields of the thread, user access, flags, timers, the
//! scheduler. Everything that an implementation does goes through here and is checked.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::{
    config::Config,
    cover::Cover,
    ghost::{GaveUp, Last},
    moment::{At, Moment},
    property::Broken,
    state::Ending,
    thread::{Call, Cpu, Pc, Place, Thread, Tid, Work},
    world::World,
};

mod memory;
mod timer;

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing out of the ordinary.
    Plain,
    /// The step's access to user memory faults for good.
    Fault,
    /// The step's second access to user memory faults for good.
    FaultLate,
    /// User space changed the flags that the kernel stored.
    ForgedFlags,
    /// The length of an extension is two ticks.
    Long,
    /// The scheduler runs and picks the thread again.
    Keep,
    /// The scheduler runs and picks another one.
    Out,
    /// There is a handler for the signal.
    Handle,
    /// The signal kills.
    Die,
    /// seccomp or a tracer skips the system call.
    Skip,
}

/// A fault on user memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault;

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Granted,
    Expired,
    Ended(Ending),
}

/// Where a reschedule is requested because of a grant.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Site {
    Entry,
    Expiry,
    Exit,
}

/// What is recorded of steps.
pub(crate) struct Log<'a> {
    pub(crate) cover: &'a AtomicU64,
    pub(crate) notes: Option<&'a mut Vec<String>>,
    /// How many ticks have passed.
    pub(crate) ticks: u32,
}

impl Log<'_> {
    pub(crate) fn cover(&self, cover: Cover) {
        if self.cover.load(Ordering::Relaxed) & cover.bits() == 0 {
            self.cover.fetch_or(cover.bits(), Ordering::Relaxed);
        }
    }
}

/// Adds a line to the trace, if there is one.
macro_rules! note {
    ($k:expr, $($text:tt)+) => {
        let note = $k.log.notes.is_some().then(|| format!($($text)+));
        if let Some(notes) = &mut $k.log.notes {
            notes.extend(note);
        }
    };
}
pub(crate) use note;

/// The kernel as the thread `tid` sees it in one step.
pub(crate) struct Kernel<'a, 'l, A> {
    pub(crate) world: &'a mut World<A>,
    pub(crate) config: &'a Config,
    pub(crate) tid: Tid,
    pub(crate) log: &'a mut Log<'l>,
    outcome: Outcome,
    spent: bool,
    /// The step has postponed a reschedule.
    postponed: bool,
    /// The timer whose callback runs.
    firing: Option<Cpu>,
}

impl<'a, 'l, A: Copy> Kernel<'a, 'l, A> {
    pub(crate) fn new(
        world: &'a mut World<A>,
        config: &'a Config,
        tid: Tid,
        log: &'a mut Log<'l>,
        outcome: Outcome,
    ) -> Self {
        Self {
            world,
            config,
            tid,
            log,
            outcome,
            spent: outcome == Outcome::Plain,
            postponed: false,
            firing: None,
        }
    }

    /// Whether the outcome was possible in this step.
    pub(crate) fn is_possible(&self) -> bool {
        self.spent
    }

    /// Whether the step has the outcome `outcome`.
    pub(crate) fn is(&mut self, outcome: Outcome) -> bool {
        let is = self.outcome == outcome;

        self.spent |= is;
        is
    }

    pub(crate) fn break_property(&mut self, property: Broken) {
        self.world.broken |= property;
    }

    pub(crate) fn thread(&self) -> &Thread<A> {
        self.world.thread(self.tid)
    }

    pub(crate) fn thread_mut(&mut self) -> &mut Thread<A> {
        self.world.thread_mut(self.tid)
    }

    /// The system call that the thread is entering.
    ///
    /// # Panics
    ///
    /// If it is not entering one.
    pub(crate) fn entry_call(&self) -> Call {
        match self.thread().pc {
            Pc::Enter(call, _) => call,
            _ => panic!("a thread that enters a system call"),
        }
    }

    /// The CPU that the thread runs on.
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub(crate) fn cpu(&self) -> Cpu {
        self.thread().cpu().expect("a thread that runs")
    }

    pub(crate) fn at(&self, moment: Moment) -> At {
        At(moment, self.log.ticks)
    }

    // The thread.

    /// Stores `rseq_slice_state::granted`.
    pub(crate) fn store_granted(&mut self, granted: bool) {
        if granted {
            let thread = *self.thread();
            if thread.rseq.granted {
                self.break_property(Broken::POSTPONED_AGAIN);
            }
            self.check_postponed();
            if !thread.by_irq {
                self.break_property(Broken::NO_INTERRUPT);
            }
            if matches!(thread.pc, Pc::Grant(work, _) if work.intersects(self.config.deny())) {
                self.break_property(Broken::DESPITE_WORK);
            }
            let thread = self.thread_mut();
            thread.ghost.last = Some(Last {
                out: false,
                expired: false,
            });
            thread.ghost.gave_up = GaveUp::No;
            if !self.may_grant() {
                self.break_property(Broken::UNFIT);
            }
        }
        self.thread_mut().rseq.granted = granted;
    }

    /// `force_sig(SIGSEGV)` because of the slice extension.
    pub(crate) fn segv(&mut self) {
        if !self.thread().ghost.sigsegv_due {
            self.break_property(Broken::SIGSEGV_WITHOUT_CAUSE);
        }
        self.force_segv();
    }

    /// `force_sig(SIGSEGV)`.
    pub(crate) fn force_segv(&mut self) {
        note!(self, "SIGSEGV");
        let thread = self.thread_mut();

        thread.ghost.sigsegv_due = false;
        thread.segv = true;
        thread.work |= Work::SIGNAL;
    }

    /// Counts `event`.
    pub(crate) fn count(&mut self, event: Event) {
        match event {
            Event::Granted => self.thread_mut().ghost.count(1),
            Event::Ended(how) => {
                note!(self, "counted as {}", format!("{how:?}").to_lowercase());
                self.log.cover(match how {
                    Ending::Yielded => Cover::YIELDED,
                    Ending::Aborted => Cover::ABORTED,
                    Ending::Revoked => Cover::REVOKED,
                    Ending::Died => Cover::DIED,
                });
                self.thread_mut().ghost.count(-1);
            }
            Event::Expired => self.expired(),
        }
    }

    // Reschedules.

    /// Whether `rseq_slice_postpone_resched()` of glue.c finds no reason of the CPU against it.
    pub(crate) fn may_grant(&self) -> bool {
        !self.config.unfit
    }

    /// `set_need_resched_current()` because of a grant.
    pub(crate) fn set_need_resched(&mut self, site: Site) {
        note!(self, "requests the reschedule");
        if self.thread().ghost.last.is_none_or(|last| last.out) {
            self.break_property(match site {
                Site::Entry => Broken::TWICE_AT_ENTRY,
                Site::Expiry => Broken::TWICE_AT_EXPIRY,
                Site::Exit => Broken::TWICE_AT_EXIT,
            });
        }
        self.thread_mut().work |= Work::RESCHED;
    }

    /// Postpones the reschedule until `bound`: clears the flags `which`.
    pub(crate) fn clear_need_resched(&mut self, which: Work, bound: Moment) {
        let thread = *self.thread();
        let pending = thread.work & which;

        self.check_postponed();
        if !pending.is_empty() {
            if !self.config.postponable().contains(pending) {
                self.break_property(Broken::URGENT);
            }
            self.thread_mut().ghost.postponed_until = Some(bound);
            self.postponed = true;
        }
        self.thread_mut().work -= which;
        note!(self, "postponed until {}", self.at(bound));
    }

    /// Postpones the reschedule `which` beside the one that the live grant has postponed, to the same
    /// moment.
    pub(crate) fn postpone_another(&mut self, which: Work) {
        let pending = self.thread().work & which;

        if pending.contains(Work::RESCHED) {
            self.break_property(Broken::POSTPONED_AGAIN);
        }
        let thread = self.thread_mut();
        if !pending.is_empty() && thread.ghost.postponed_until.is_none() {
            thread.ghost.postponed_until = thread.rseq.expires;
        }
        thread.work -= which;
        self.log.cover(Cover::KEPT);
        note!(self, "postpones another one until then");
    }

    /// Checks that no reschedule is still due that an earlier step has postponed.
    fn check_postponed(&mut self) {
        if self.thread().ghost.postponed_until.is_some() && !self.postponed {
            self.break_property(Broken::POSTPONED_AGAIN);
        }
    }

    /// `preempt_enable()` of system call entry.
    pub(crate) fn preempt_enable(&mut self) {
        let thread = *self.thread();
        if !thread.work.contains(Work::RESCHED) {
            return;
        }

        if let Some(last) = thread.ghost.last {
            if matches!(thread.pc, Pc::Enter(Call::Yield, _)) && !thread.segv {
                self.thread_mut().ghost.gave_up = match last {
                    Last {
                        expired: false,
                        out: false,
                    } => GaveUp::Yes,
                    Last {
                        expired: true,
                        out: false,
                    } => GaveUp::Expired,
                    Last {
                        expired: false,
                        out: true,
                    } => GaveUp::Again,
                    Last {
                        expired: true,
                        out: true,
                    } => GaveUp::ExpiredAgain,
                };
            }
        }
        self.schedule();
    }

    /// `schedule()`.
    pub(crate) fn schedule(&mut self) {
        let cpu = self.cpu();
        let (keep, out) = (self.is(Outcome::Keep), self.is(Outcome::Out));

        // One of both has to happen.
        self.spent = keep || out;
        let thread = self.thread_mut();
        thread.work -= Work::ANY_RESCHED;
        thread.ghost.postponed_until = None;
        if out {
            thread.switches = 1;
            if let Some(last) = &mut thread.ghost.last {
                last.out = true;
            }
            thread.place = Place::Off(cpu);
            thread.must_restart();
            note!(self, "scheduled out");
        } else {
            note!(self, "the scheduler picks it again");
        }
    }
}
