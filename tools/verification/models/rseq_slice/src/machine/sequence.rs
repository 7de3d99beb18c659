// SPDX-License-Identifier: GPL-2.0

//! Restartable sequences.

use crate::{
    cover::Cover,
    kernel::{note, Kernel},
    property::Broken,
};

/// Whether `rseq_update_usr()` skips the sequence.
pub(super) fn is_skipped<A: Copy>(k: &Kernel<'_, '_, A>) -> bool {
    !k.thread().rseq.user_irq && !k.config.debug
}

/// `rseq_update_user_cs()`: restarts the sequence if the thread is inside it.
///
/// Returns whether it did not fail. With `rseq_debug` it fails after a system call.
pub(super) fn look<A: Copy>(k: &mut Kernel<'_, '_, A>) -> bool {
    if !k.thread().inside {
        return true;
    }
    if k.config.debug && !k.thread().rseq.user_irq {
        note!(k, "is inside a sequence and was not interrupted");
        return false;
    }

    note!(k, "restarts the sequence");
    k.log.cover(if k.thread().ghost.restart {
        Cover::RESTARTED
    } else {
        Cover::RESTARTED_IN_PLACE
    });
    k.thread_mut().leave_sequence();
    true
}

/// Checks a `SIGSEGV` by `rseq_debug`: it is for a system call inside a sequence, and only system
/// calls enter the kernel without an interrupt.
pub(super) fn check_sigsegv<A: Copy>(k: &mut Kernel<'_, '_, A>) {
    k.log.cover(Cover::CALLED_INSIDE);
    if k.thread().by_irq {
        k.break_property(Broken::SIGSEGV_IN_SEQUENCE);
    }
}
