// SPDX-License-Identifier: GPL-2.0

//! The kernel around the slice extension: interrupts, the exit loop, system calls, the scheduler,
//! rseq's update of user space.
//!
//! This is the base's code, the same for both implementations.

use crate::{
    abi,
    action::Action,
    config::{Config, UserOp},
    cover::Cover,
    kernel::{note, Kernel, Log, Outcome},
    property::Broken,
    rules::{Next, Rules},
    syscall,
    thread::{Call, Pc, Place, Thread, Work},
    world::World,
};

mod exit;
mod irq;
mod sched;
mod sequence;

use exit::{
    after_resched, debug_call, exit, exit_loop, exit_prepare, leave_unchecked, notify, signals,
    update_failed,
};
use irq::{enter_from_user_mode, interrupt};
use sched::{migrate, sched_switch_event, unplug};

/// The world after `action`, unless that is not possible in `world`.
pub(crate) fn apply<R: Rules>(
    rules: &R,
    config: &Config,
    world: &World<R::At>,
    action: Action,
    log: &mut Log<'_>,
) -> Option<World<R::At>> {
    let mut next = *world;
    next.broken = Broken::empty();
    next.settle();

    let possible = match action {
        Action::Tick => {
            next.tick();
            true
        }
        Action::User(tid, op) => {
            user(next.thread_mut(tid), op);
            true
        }
        Action::Step(tid, outcome) => {
            let mut k = Kernel::new(&mut next, config, tid, log, outcome);
            step(rules, &mut k);
            k.is_possible()
        }
        Action::Interrupt(cpu, cause, outcome) => {
            interrupt(rules, config, &mut next, cpu, cause, log, outcome)
        }
        Action::Remote(tid, work) => {
            next.thread_mut(tid).work |= work;
            true
        }
        Action::SwitchIn(cpu, tid) => {
            let thread = next.thread_mut(tid);
            thread.place = Place::On(cpu);
            sched_switch_event(thread);
            true
        }
        Action::Migrate(tid) => {
            let thread = next.thread_mut(tid);
            if let Place::Off(cpu) = thread.place {
                migrate(thread, cpu.other());
                if thread.rseq.granted {
                    log.cover(Cover::MIGRATED);
                }
            }
            true
        }
        Action::Unplug => unplug(&mut next),
        Action::Plug => {
            next.second_online = true;
            true
        }
    };
    if !possible {
        return None;
    }

    next.normalize();
    let broken = next.check(config);
    next.broken |= broken;
    (next != *world).then_some(next)
}

/// The world after `action` in the exploration: the second thread goes through the kernel in one
/// step, and of two worlds that are mirror images there is one.
pub(crate) fn explore<R: Rules>(
    rules: &R,
    config: &Config,
    world: &World<R::At>,
    action: Action,
    log: &mut Log<'_>,
) -> Option<World<R::At>> {
    let next = explore_real(rules, config, world, action, log)?;

    Some(if config.is_symmetric() {
        next.representative()
    } else {
        next
    })
}

/// The same with both of two mirror images.
pub(crate) fn explore_real<R: Rules>(
    rules: &R,
    config: &Config,
    world: &World<R::At>,
    action: Action,
    log: &mut Log<'_>,
) -> Option<World<R::At>> {
    let mut next = apply(rules, config, world, action, log)?;

    while let Some(tid) = next.in_one_go() {
        if !next.broken.is_empty() {
            break;
        }
        match apply(rules, config, &next, Action::Step(tid, Outcome::Plain), log) {
            Some(after) => next = after,
            None => break,
        }
    }
    Some(next)
}

/// One instruction in user mode.
fn user<A: Copy>(thread: &mut Thread<A>, op: UserOp) {
    let bits = thread.rseq.enabled & abi::PR_BITS != 0;
    let request = if bits {
        1
    } else {
        u32::from_ne_bytes([0xff, 0, 0, 0])
    };

    match op {
        UserOp::Request if bits => {
            thread.word = 1;
            thread.ghost.forged |= thread.rseq.granted;
        }
        UserOp::Request => {
            thread.word = (thread.word & !request) | u32::from_ne_bytes([1, 0, 0, 0])
        }
        UserOp::Clear => thread.word &= !request,
        UserOp::ForgeGrant => {
            thread.word ^= if bits {
                2
            } else {
                u32::from_ne_bytes([0, 1, 0, 0])
            };
            thread.ghost.forged = true;
        }
        UserOp::SetUndefinedBit => {
            thread.word |= if bits {
                4
            } else {
                u32::from_ne_bytes([0, 0, 1, 0])
            };
        }
        UserOp::Begin => thread.inside = thread.rseq.registered,
        UserOp::Commit => thread.leave_sequence(),
        UserOp::Touch => {
            enter_from_user_mode(thread);
            thread.pc = Pc::Exception;
        }
        UserOp::Call(call) => {
            thread.by_irq = false;
            thread.pc = match call {
                Call::Argument => Pc::Fetch,
                call => Pc::Entry(call),
            };
        }
    }
}

/// The next step of a thread in the kernel.
fn step<R: Rules>(rules: &R, k: &mut Kernel<'_, '_, R::At>) {
    match k.thread().pc {
        Pc::User => unreachable!("a thread in the kernel"),

        Pc::Resched(work) => {
            let next = rules.grant(k, work);
            continue_grant(k, work, next);
        }
        Pc::Grant(work, at) => {
            let next = rules.resume(k, at);
            continue_grant(k, work, next);
        }
        Pc::Schedule(work) => {
            note!(k, "schedules");
            k.thread_mut().pc = after_resched(work);
            k.schedule();
        }
        Pc::Signals(work) => signals(k, work),
        Pc::Notify => notify(k),
        Pc::SlowUpdate => {
            note!(k, "updates user space, slowly");
            k.log.cover(Cover::SLOW);
            if k.is(Outcome::Fault) {
                let next = rules.update_failed(k);
                continue_failure(k, next);
            } else {
                k.erase_word_surely();
                let next = rules.user_updated(k);
                continue_clear(k, next);
            }
        }
        Pc::SlowClear(at) => {
            let next = rules.resume(k, at);
            continue_clear(k, next);
        }
        Pc::SlowSection => {
            let failed = if k.is(Outcome::Fault) {
                true
            } else if !sequence::is_skipped(k) && !sequence::look(k) {
                sequence::check_sigsegv(k);
                true
            } else {
                false
            };
            if failed {
                let next = rules.update_failed(k);
                continue_failure(k, next);
            } else {
                k.thread_mut().pc = Pc::Bottom;
            }
        }
        Pc::SlowFailed(at) => {
            let next = rules.resume(k, at);
            if !k.thread().rseq.granted {
                k.log.cover(Cover::ENDED_BY_FAILURE);
            }
            continue_failure(k, next);
        }
        Pc::Bottom => {
            let work = k.thread().work;
            exit_loop(k, work);
        }
        Pc::Exit => exit(rules, k),

        pc @ (Pc::Fetch | Pc::Exception) => {
            if k.is(Outcome::Plain) {
                if matches!(pc, Pc::Fetch) {
                    leave_unchecked(k);
                }
                exit_prepare(k);
            } else {
                note!(k, "sleeps");
                k.schedule();
            }
        }

        Pc::Entry(call) => {
            // Syscall user dispatch comes first.
            if call == Call::Dispatched || !k.thread().syscall_work {
                k.thread_mut().pc = Pc::Body(call);
            } else {
                note!(k, "system call entry work");
                k.check_word_at_entry();
                let next = rules.enter(k, call);
                continue_entry(k, call, next);
            }
        }
        Pc::Enter(call, at) => {
            let next = rules.resume(k, at);
            continue_entry(k, call, next);
        }
        Pc::Body(call) => syscall::body(rules, k, call),
        Pc::Return => {
            debug_call(k);
            exit_prepare(k);
        }

        Pc::Dying => {
            rules.exit(k);
            k.thread_mut().pc = Pc::Dead;
        }
        Pc::Dead => {
            note!(k, "is gone");
            if k.thread().ghost.open != 0 {
                k.break_property(Broken::MISCOUNTED_DEATH);
            }
            *k.thread_mut() = Thread::GONE;
        }
    }
}

fn continue_grant<A: Copy>(k: &mut Kernel<'_, '_, A>, work: Work, next: Next<A>) {
    k.thread_mut().pc = match next {
        Next::At(at) => Pc::Grant(work, at),
        Next::Done(true) => after_resched(work),
        Next::Done(false) => {
            if k.thread().rseq.granted {
                k.break_property(Broken::SURVIVED);
            }
            Pc::Schedule(work)
        }
    };
}

fn continue_clear<A: Copy>(k: &mut Kernel<'_, '_, A>, next: Next<A>) {
    k.thread_mut().pc = match next {
        Next::At(at) => Pc::SlowClear(at),
        Next::Done(_) => Pc::SlowSection,
    };
}

fn continue_failure<A: Copy>(k: &mut Kernel<'_, '_, A>, next: Next<A>) {
    k.thread_mut().pc = match next {
        Next::At(at) => Pc::SlowFailed(at),
        Next::Done(_) => {
            update_failed(k);
            Pc::Bottom
        }
    };
}

fn continue_entry<A: Copy>(k: &mut Kernel<'_, '_, A>, call: Call, next: Next<A>) {
    k.thread_mut().pc = match next {
        Next::At(at) => Pc::Enter(call, at),
        Next::Done(_) => Pc::Body(call),
    };
}
