// SPDX-License-Identifier: GPL-2.0

//! The state of the model: threads, CPUs and their timers.

use crate::{
    abi::{Layout, Mode},
    config::Config,
    moment::Moment,
    property::Broken,
    thread::{Cpu, Pc, Place, Thread, Tid, Work},
};

/// The timer of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    /// The CPU on whose queue the timer is: the other one after this CPU went offline.
    pub(crate) base: Option<Cpu>,
    pub(crate) expires: Moment,
    pub(crate) owner: Option<Tid>,
}

impl Slot {
    const IDLE: Self = Self {
        base: None,
        expires: Moment::NOW,
        owner: None,
    };

    /// Whether it expires as soon as interrupts are enabled.
    pub(crate) fn is_due(&self, config: &Config) -> bool {
        if config.unfit {
            self.expires < Moment::NOW
        } else {
            self.expires.is_due()
        }
    }
}

/// The state of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World<A> {
    pub(crate) threads: [Thread<A>; 2],
    pub(crate) slots: [Slot; 2],
    /// Whether the second CPU is online. The first one always is.
    pub(crate) second_online: bool,
    /// The properties that the step to this state has broken.
    pub(crate) broken: Broken,
}

impl<A: Copy> World<A> {
    pub(crate) fn new(threads: [Thread<A>; 2]) -> Self {
        Self {
            threads,
            slots: [Slot::IDLE; 2],
            second_online: true,
            broken: Broken::empty(),
        }
    }

    pub(crate) fn thread(&self, tid: Tid) -> &Thread<A> {
        &self.threads[tid.index()]
    }

    pub(crate) fn thread_mut(&mut self, tid: Tid) -> &mut Thread<A> {
        &mut self.threads[tid.index()]
    }

    pub(crate) fn is_online(&self, cpu: Cpu) -> bool {
        cpu == Cpu(0) || self.second_online
    }

    /// The thread that runs on `cpu`. `None` is some thread without the extension.
    pub(crate) fn current(&self, cpu: Cpu) -> Option<Tid> {
        Tid::ALL
            .into_iter()
            .find(|&tid| self.thread(tid).place == Place::On(cpu))
    }

    /// The thread that has to leave the kernel before anything else happens: the second one. Two threads share nothing but the timer of the CPU that they run on
    /// in turn, so the first one cannot tell where in the kernel the other is interrupted.
    pub(crate) fn in_one_go(&self) -> Option<Tid> {
        let thread = self.thread(Tid(1));

        (thread.cpu().is_some() && !matches!(thread.pc, Pc::User)).then_some(Tid(1))
    }

    /// Whether `cpu` gets a timer interrupt as soon as interrupts are enabled.
    pub(crate) fn is_timer_due(&self, config: &Config, cpu: Cpu) -> bool {
        self.slots
            .iter()
            .any(|slot| slot.base == Some(cpu) && slot.is_due(config))
    }

    /// Lets a tick pass.
    pub(crate) fn tick(&mut self) {
        self.moments(|moment| moment.0 -= 1);
        for thread in &mut self.threads {
            if let Some(bound) = &mut thread.ghost.postponed_until {
                bound.0 = (bound.0 - 1).max(0);
            }
        }
    }

    /// Whether a tick changes anything.
    pub(crate) fn can_tick(&mut self) -> bool {
        let mut pending = self.threads.iter().any(|thread| {
            thread
                .ghost
                .postponed_until
                .is_some_and(|bound| !bound.is_due())
        });

        self.moments(|moment| pending |= *moment >= Moment::NOW);
        pending
    }

    /// Visits every moment whose identity matters.
    fn moments(&mut self, mut visit: impl FnMut(&mut Moment)) {
        for slot in self.slots.iter_mut().filter(|slot| slot.base.is_some()) {
            visit(&mut slot.expires);
        }
        for thread in &mut self.threads {
            if let Some(expires) = &mut thread.rseq.expires {
                visit(expires);
            }
        }
    }

    /// Removes differences that have no effect, so that states with the same future are equal.
    pub(crate) fn normalize(&mut self) {
        for slot in &mut self.slots {
            if slot.base.is_none() {
                *slot = Slot::IDLE;
            }
        }
        for thread in &mut self.threads {
            thread.normalize();
        }

        // A timer that is due fires. Of its expiry only matters whether it is the end of a grant,
        // because any later grant ends later.
        let ends = self.threads.map(|thread| thread.rseq.expires);
        for slot in self.slots.iter_mut().filter(|slot| slot.base.is_some()) {
            if slot.expires.is_due() {
                slot.expires = if ends.contains(&Some(slot.expires)) {
                    Moment(slot.expires.0.max(-1))
                } else {
                    Moment::LONG_AGO
                };
            }
        }
        for thread in &mut self.threads {
            if let Some(expires) = &mut thread.rseq.expires {
                expires.0 = expires.0.max(-1);
            }
        }
    }

    /// Corrects the counts of threads in user mode: a wrong count is reported once.
    pub(crate) fn settle(&mut self) {
        for thread in &mut self.threads {
            if matches!(thread.pc, Pc::User) {
                thread.ghost.open = i8::from(thread.rseq.granted);
            }
        }
    }

    /// The same world with the CPUs exchanged.
    pub(crate) fn mirrored(&self) -> Self {
        let mut mirrored = *self;

        mirrored.slots.swap(0, 1);
        for slot in &mut mirrored.slots {
            slot.base = slot.base.map(Cpu::other);
        }
        for thread in &mut mirrored.threads {
            thread.place = match thread.place {
                Place::On(cpu) => Place::On(cpu.other()),
                Place::Off(cpu) => Place::Off(cpu.other()),
                Place::Gone => Place::Gone,
            };
            thread.rseq.timer = thread.rseq.timer.map(Cpu::other);
        }
        mirrored
    }

    /// Picks one of two worlds that are mirror images. For a single thread.
    pub(crate) fn representative(&self) -> Self {
        match self.threads[0].place {
            Place::On(Cpu(1)) | Place::Off(Cpu(1)) => self.mirrored(),
            _ => *self,
        }
    }

    /// The properties that this state breaks.
    pub(crate) fn check(&self, config: &Config) -> Broken {
        let mut broken = Broken::empty();

        for tid in Tid::ALL {
            let thread = self.thread(tid);
            let Place::On(cpu) = thread.place else {
                continue;
            };
            if !matches!(thread.pc, Pc::User | Pc::Dead) {
                continue;
            }

            let slot = &self.slots[cpu.index()];
            let bounded = slot.base == Some(cpu)
                && slot.owner == Some(tid)
                && Some(slot.expires) == thread.rseq.expires;
            let postponed_until = thread.ghost.postponed_until;

            if matches!(thread.pc, Pc::Dead) {
                broken.set(
                    Broken::LOST_BY_DEATH,
                    postponed_until.is_some()
                        && !(thread.rseq.granted && bounded)
                        && !thread.work.intersects(Work::ANY_RESCHED),
                );
                continue;
            }

            broken.set(
                Broken::UNBOUNDED,
                thread.rseq.granted && (thread.rseq.hidden || !bounded) && !thread.ghost.unchecked,
            );
            broken.set(
                Broken::LATE,
                postponed_until.is_some_and(Moment::is_due) && !self.is_timer_due(config, cpu),
            );
            broken.set(
                Broken::LOST,
                postponed_until.is_some()
                    && !thread.rseq.granted
                    && !thread.work.intersects(Work::ANY_RESCHED),
            );
            broken.set(
                Broken::MISCOUNTED,
                thread.ghost.open != i8::from(thread.rseq.granted),
            );
            broken.set(
                Broken::INCONSISTENT,
                !thread.ghost.forged && !thread.is_consistent(),
            );
            broken.set(Broken::MISSING_SIGSEGV, thread.ghost.sigsegv_due);
            broken.set(Broken::UNRESTARTED, thread.ghost.restart);
        }

        broken
    }
}

impl<A> Thread<A> {
    /// The layout of the control word, if the extension is on.
    pub(crate) fn layout(&self) -> Option<Layout> {
        let mode = Mode::from_enabled(self.rseq.enabled);

        (mode != Mode::OFF).then(|| mode.layout())
    }

    /// The bits of the control word that show a grant to user space.
    pub(crate) fn grant_bits(&self) -> u32 {
        match self.layout() {
            None => 0,
            Some(Layout::Bytes) => u32::from_ne_bytes([0, 0xff, 0, 0]),
            Some(Layout::Bits) => 2,
        }
    }

    /// The control word without a request that is consistent with the kernel's state.
    pub(crate) fn expected_word(&self) -> u32 {
        match self.layout() {
            Some(Layout::Bytes) if self.rseq.granted => u32::from_ne_bytes([0, 1, 0, 0]),
            Some(Layout::Bits) if self.rseq.granted => 2,
            _ => 0,
        }
    }

    /// Notes that the thread was scheduled out or interrupted by membarrier(2): a restartable
    /// sequence that it is in has to be restarted, unless it made a system call inside.
    pub(crate) fn must_restart(&mut self) {
        self.ghost.restart |= self.inside && self.by_irq;
    }

    /// The instruction pointer leaves the restartable sequence.
    pub(crate) fn leave_sequence(&mut self) {
        self.inside = false;
        self.ghost.restart = false;
    }

    /// Whether the control word shows a grant exactly if the kernel has one.
    fn is_consistent(&self) -> bool {
        self.word & self.grant_bits() == self.expected_word()
    }

    fn normalize(&mut self) {
        if matches!(self.place, Place::Gone) {
            *self = Self::GONE;
            return;
        }

        let inside = matches!(
            self.pc,
            Pc::Grant(..) | Pc::Enter(..) | Pc::SlowClear(_) | Pc::SlowFailed(_)
        );
        if !self.rseq.granted {
            self.rseq.expires = None;
            self.rseq.hidden = false;
            self.ghost.unchecked = false;
            if !inside {
                self.ghost.last = None;
            }
        }
        self.switches = match self.ghost.last {
            Some(_) => u8::from(self.switches != self.rseq.switches),
            None => 0,
        };
        self.rseq.switches = 0;
        if matches!(self.pc, Pc::User) {
            self.by_irq = false;
            self.ghost.handler = false;
            // Where the extension is off, no word shows a grant.
            self.ghost.forged &= self.rseq.enabled == 0 || !self.is_consistent();
        }
    }
}
