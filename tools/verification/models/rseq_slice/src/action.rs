// SPDX-License-Identifier: GPL-2.0

//! What can happen next.

use core::fmt;

use crate::{
    config::{Config, UserOp},
    kernel::Outcome,
    property::Broken,
    rules::{is_preemptible, Rules},
    thread::{Call, Cpu, Pc, Place, Tid, Work},
    world::World,
};

/// What an interrupt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The timer of this CPU, which may be queued on another one, expires.
    Timer(Cpu),
    /// The scheduler's tick or a wakeup requests a reschedule, lazily or not.
    Resched(Work),
    /// membarrier(2) requests an update of user space.
    Membarrier,
    /// The interrupt itself changes nothing, but the flags that others have set are read: an IPI.
    Nothing,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Time passes.
    Tick,
    /// A thread executes an instruction in user mode.
    User(Tid, UserOp),
    /// A thread in the kernel takes its next step.
    Step(Tid, Outcome),
    /// An interrupt on a CPU, until interrupts are enabled again.
    Interrupt(Cpu, Cause, Outcome),
    /// Another thread or CPU sets a flag of a thread.
    Remote(Tid, Work),
    /// A CPU continues with a thread.
    SwitchIn(Cpu, Tid),
    /// A waiting thread is moved to the other CPU.
    Migrate(Tid),
    /// The second CPU goes offline.
    Unplug,
    /// The second CPU goes online.
    Plug,
}

impl Action {
    /// The same action with the CPUs exchanged.
    pub(crate) fn mirrored(self) -> Self {
        match self {
            Self::Interrupt(cpu, Cause::Timer(slot), outcome) => {
                Self::Interrupt(cpu.other(), Cause::Timer(slot.other()), outcome)
            }
            Self::Interrupt(cpu, cause, outcome) => Self::Interrupt(cpu.other(), cause, outcome),
            Self::SwitchIn(cpu, tid) => Self::SwitchIn(cpu.other(), tid),
            action => action,
        }
    }
}

/// The outcomes that the next step of a thread in the kernel may have.
fn outcomes<A>(config: &Config, pc: Pc<A>, work: Work) -> &'static [Outcome] {
    use Outcome::{Die, Fault, FaultLate, ForgedFlags, Handle, Keep, Long, Out, Plain, Skip};

    // Outcomes that a step cannot have are found when it is tried.
    match pc {
        Pc::Schedule(_) => &[Keep, Out],
        Pc::Fetch | Pc::Exception => &[Plain, Keep, Out],
        Pc::Signals(_) if config.faults => &[Handle, Die, Fault],
        Pc::Signals(_) => &[Handle, Die],
        Pc::Enter(..) if work.contains(Work::RESCHED) && config.faults => {
            &[Plain, Keep, Out, Fault]
        }
        Pc::Enter(..) if work.contains(Work::RESCHED) => &[Plain, Keep, Out],
        Pc::Grant(..) if config.lengths && config.faults => &[Plain, Long, Fault],
        Pc::Grant(..) if config.lengths => &[Plain, Long],
        Pc::Body(Call::Prctl(_)) if config.faults => &[Plain, Fault, ForgedFlags],
        Pc::Body(Call::Yield | Call::Other) if config.skips => &[Plain, Skip],
        Pc::Exit if config.faults && work.contains(Work::RSEQ) => &[Plain, Fault, FaultLate],
        // Without a sequence `rseq_debug` looks for its descriptor at address 0.
        Pc::Exit if config.debug && work.contains(Work::RSEQ) => &[Plain, FaultLate],
        _ if config.faults => &[Plain, Fault],
        _ => &[Plain],
    }
}

/// Adds all actions that are possible in `world`, and some that are not.
pub(crate) fn all<R: Rules>(config: &Config, world: &World<R::At>, actions: &mut Vec<Action>) {
    if world.broken.intersects(Broken::FINAL) {
        return;
    }

    let mut scratch = *world;
    if scratch.can_tick() && world.in_one_go().is_none() {
        actions.push(Action::Tick);
    }

    if let Some(tid) = world.in_one_go() {
        let thread = world.thread(tid);
        actions.extend(
            outcomes(config, thread.pc, thread.work)
                .iter()
                .map(|&outcome| Action::Step(tid, outcome)),
        );
        return;
    }

    for cpu in Cpu::ALL.into_iter().filter(|&cpu| world.is_online(cpu)) {
        let current = world.current(cpu);
        if let Some(tid) = current {
            let thread = world.thread(tid);
            match thread.pc {
                Pc::User if !world.is_timer_due(config, cpu) => {
                    actions.extend(config.ops_of(tid).iter().map(|&op| Action::User(tid, op)));
                }
                Pc::User => {}
                pc => actions.extend(
                    outcomes(config, pc, thread.work)
                        .iter()
                        .map(|&outcome| Action::Step(tid, outcome)),
                ),
            }
            if config.signals && !thread.work.contains(Work::SIGNAL) {
                actions.push(Action::Remote(tid, Work::SIGNAL));
            }
            for work in resched(config) {
                if config.remote && adds(thread.work, work) {
                    actions.push(Action::Remote(tid, work));
                }
            }
            if config.task_work && !thread.work.contains(Work::NOTIFY) {
                actions.push(Action::Remote(tid, Work::NOTIFY));
            }
        } else {
            for tid in Tid::ALL {
                if world.thread(tid).place == Place::Off(cpu) {
                    actions.push(Action::SwitchIn(cpu, tid));
                }
            }
        }
        // The end of the exit loop has interrupts disabled.
        if !current.is_some_and(|tid| matches!(world.thread(tid).pc, Pc::Exit)) {
            add_interrupts::<R>(config, world, cpu, actions);
        }
    }

    for tid in Tid::ALL {
        if let Place::Off(cpu) = world.thread(tid).place {
            if world.is_online(cpu.other()) {
                actions.push(Action::Migrate(tid));
            }
        }
    }
    if config.hotplug {
        actions.push(if world.second_online {
            Action::Unplug
        } else {
            Action::Plug
        });
    }
}

fn resched(config: &Config) -> impl Iterator<Item = Work> {
    let lazy = config.lazy.then_some(Work::LAZY);

    core::iter::once(Work::RESCHED).chain(lazy)
}

/// Whether the request `more` for a reschedule changes anything for a thread that has `flags`.
fn adds(flags: Work, more: Work) -> bool {
    !flags.intersects(more | Work::RESCHED)
}

fn add_interrupts<R: Rules>(
    config: &Config,
    world: &World<R::At>,
    cpu: Cpu,
    actions: &mut Vec<Action>,
) {
    let mut causes = [None; 6];
    let mut len = 0;
    let mut add = |cause| {
        causes[len] = Some(cause);
        len += 1;
    };

    for slot_cpu in Cpu::ALL {
        let slot = &world.slots[slot_cpu.index()];
        if slot.base == Some(cpu) && slot.is_due(config) {
            add(Cause::Timer(slot_cpu));
        }
    }
    let Some(thread) = world.current(cpu).map(|tid| world.thread(tid)) else {
        for cause in causes.into_iter().flatten() {
            actions.push(Action::Interrupt(cpu, cause, Outcome::Plain));
        }
        return;
    };
    for work in resched(config).filter(|&work| adds(thread.work, work)) {
        add(Cause::Resched(work));
    }
    if config.membarrier {
        add(Cause::Membarrier);
    }
    if !thread.work.is_empty() {
        add(Cause::Nothing);
    }

    let preempts = !matches!(thread.pc, Pc::User) && is_preemptible::<R>(thread.pc);
    let outcomes: &[Outcome] = if preempts {
        &[Outcome::Plain, Outcome::Keep, Outcome::Out]
    } else {
        &[Outcome::Plain]
    };
    for cause in causes.into_iter().flatten() {
        for &outcome in outcomes {
            actions.push(Action::Interrupt(cpu, cause, outcome));
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => f.write_str("time passes"),
            Self::User(tid, op) => match op {
                UserOp::Request => write!(f, "{tid}: user: requests"),
                UserOp::Clear => write!(f, "{tid}: user: clears the request"),
                UserOp::ForgeGrant => write!(f, "{tid}: user: forges the grant"),
                UserOp::SetUndefinedBit => write!(f, "{tid}: user: sets an undefined bit"),
                UserOp::Begin => write!(f, "{tid}: user: begins a sequence"),
                UserOp::Commit => write!(f, "{tid}: user: commits the sequence"),
                UserOp::Touch => write!(f, "{tid}: user: touches a page that is not there"),
                UserOp::Call(call) => write!(f, "{tid}: user: system call {call:?}"),
            },
            Self::Step(tid, outcome) => {
                write!(f, "{tid}: kernel:")?;
                match outcome {
                    Outcome::Plain | Outcome::Keep | Outcome::Out => Ok(()),
                    outcome => write!(f, " [{outcome:?}]"),
                }
            }
            Self::Interrupt(cpu, cause, _) => {
                write!(f, "{cpu}: interrupt: ")?;
                match cause {
                    Cause::Timer(slot) => write!(f, "the timer of {slot} expires")?,
                    Cause::Resched(Work::LAZY) => f.write_str("lazy reschedule due")?,
                    Cause::Resched(_) => f.write_str("reschedule due")?,
                    Cause::Membarrier => f.write_str("membarrier")?,
                    Cause::Nothing => f.write_str("without a cause of its own")?,
                }
                Ok(())
            }
            Self::Remote(tid, Work::NOTIFY) => write!(f, "other CPU: queues task work for {tid}"),
            Self::Remote(tid, Work::SIGNAL) => write!(f, "other thread: sends {tid} a signal"),
            Self::Remote(tid, Work::LAZY) => {
                write!(f, "other CPU: lazy reschedule of {tid} due")
            }
            Self::Remote(tid, _) => write!(f, "other CPU: reschedule of {tid} due"),
            Self::SwitchIn(cpu, tid) => write!(f, "{cpu}: continues with {tid}"),
            Self::Migrate(tid) => write!(f, "{tid}: moved to the other CPU"),
            Self::Unplug => f.write_str("cpu1: goes offline"),
            Self::Plug => f.write_str("cpu1: comes online"),
        }
    }
}
