// SPDX-License-Identifier: GPL-2.0

//! Timers.

use super::{note, Kernel, Outcome};
use crate::{
    cover::Cover,
    moment::Moment,
    property::Broken,
    thread::{Cpu, Pc},
    world::Slot,
};

impl<A: Copy> Kernel<'_, '_, A> {
    /// The end of an extension that begins now.
    pub(crate) fn extension_end(&mut self) -> Moment {
        Moment(if self.is(Outcome::Long) { 2 } else { 1 })
    }

    pub(crate) fn slot(&mut self) -> &mut Slot {
        let cpu = self.cpu();

        &mut self.world.slots[cpu.index()]
    }

    /// Starts this CPU's timer and notes for which thread.
    pub(crate) fn arm(&mut self, expires: Moment) {
        note!(
            self,
            "starts the timer of {} for {}",
            self.cpu(),
            self.at(expires)
        );
        let (tid, cpu) = (self.tid, self.cpu());

        *self.slot() = Slot {
            base: Some(cpu),
            expires,
            owner: Some(tid),
        };
    }

    /// Cancels this CPU's timer.
    pub(crate) fn cancel(&mut self) {
        let tid = self.tid;
        let slot = self.slot();

        if slot.base.take().is_some() {
            let cover = if slot.owner == Some(tid) {
                Cover::CANCELLED
            } else {
                Cover::CANCELLED_FOR_ANOTHER
            };
            self.log.cover(cover);
            note!(self, "cancels the timer of {}", self.cpu());
        }
    }

    /// Notes the timer whose callback runs.
    pub(crate) fn fire(&mut self, slot: Cpu) {
        self.firing = Some(slot);
    }

    /// Checks a callback that acts on a grant.
    pub(super) fn expired(&mut self) {
        let slot_cpu = self.firing.expect("a callback that runs");
        let slot = self.world.slots[slot_cpu.index()];

        note!(self, "counted as expired");
        self.log.cover(match self.thread().pc {
            Pc::User => Cover::EXPIRED_IN_USER_MODE,
            Pc::Entry(_) => Cover::EXPIRED_AT_ENTRY,
            Pc::Enter(..) => Cover::EXPIRED_IN_ENTRY_WORK,
            Pc::Exception => Cover::EXPIRED_IN_EXCEPTION,
            _ => Cover::EXPIRED_ON_THE_WAY_OUT,
        });
        if slot_cpu != self.cpu() {
            self.break_property(Broken::FOREIGN_TIMER);
        }
        let rseq = &self.thread().rseq;
        if !rseq.granted || rseq.expires != Some(slot.expires) {
            self.break_property(Broken::STALE_TIMER);
        }
        if let Some(last) = &mut self.thread_mut().ghost.last {
            last.expired = true;
        }
    }
}
