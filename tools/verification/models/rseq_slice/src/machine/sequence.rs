// SPDX-License-Identifier: GPL-2.0

//! Restartable sequences.

use crate::{
    cover::Cover,
    kernel::{note, Kernel},
    property::Broken,
};

/// Whether `rseq_update_usr()` does not look at the sequence.
pub(super) fn is_skipped<A: Copy>(k: &Kernel<'_, '_, A>) -> bool {
    !k.thread().rseq.user_irq && !k.config.debug
}

/// `rseq_update_user_cs()`: restarts the sequence if the thread is inside of it.
///
/// Returns whether that was possible. With `rseq_debug` it is not after a system call.
pub(super) fn look<A: Copy>(k: &mut Kernel<'_, '_, A>) -> bool {
    if !k.thread().inside {
        return true;
    }
    if k.config.debug && !k.thread().rseq.user_irq {
        note!(k, "is inside of a sequence and was not interrupted");
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

/// Judges the `SIGSEGV` by `rseq_debug` that follows, for a system call inside of a sequence. Such a
/// call is the only entry that is no interrupt.
pub(super) fn judge<A: Copy>(k: &mut Kernel<'_, '_, A>) {
    k.log.cover(Cover::CALLED_INSIDE);
    if k.thread().by_irq {
        k.break_property(Broken::SHOT_IN_SEQUENCE);
    }
}
