// SPDX-License-Identifier: GPL-2.0

//! A thread: its place, the kernel's state of it, and its control word.

use core::fmt;

use bitflags::bitflags;

use crate::{abi::Mode, ghost::Ghost, moment::Moment};

/// A CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cpu(pub(crate) u8);

impl Cpu {
    pub(crate) const ALL: [Self; 2] = [Self(0), Self(1)];

    pub(crate) fn other(self) -> Self {
        Self(1 - self.0)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu{}", self.0)
    }
}

/// A `task_struct`. After its thread is gone another one may have the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tid(pub(crate) u8);

impl Tid {
    pub(crate) const ALL: [Self; 2] = [Self(0), Self(1)];

    pub(crate) fn other(self) -> Self {
        Self(1 - self.0)
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["A", "B"][self.index()])
    }
}

bitflags! {
    /// The bits of `thread_info::flags` that the exit loop reads.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) struct Work: u8 {
        const RESCHED = 1 << 0;
        const LAZY = 1 << 1;
        /// `TIF_SIGPENDING`.
        const SIGNAL = 1 << 2;
        /// `TIF_NOTIFY_RESUME`.
        const NOTIFY = 1 << 3;
        const RSEQ = 1 << 4;

        const ANY_RESCHED = Self::RESCHED.bits() | Self::LAZY.bits();
        /// `EXIT_TO_USER_MODE_WORK_LOOP`.
        const LOOP = Self::ANY_RESCHED.bits() | Self::SIGNAL.bits() | Self::NOTIFY.bits();
    }
}

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// It runs.
    On(Cpu),
    /// It waits for the CPU.
    Off(Cpu),
    /// It does not exist.
    Gone,
}

/// A system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Yield,
    /// One without a meaning here, such as `sigreturn(2)`.
    Other,
    /// One that syscall user dispatch turns into a `SIGSYS` before all other entry work.
    Dispatched,
    /// A 32-bit fast one whose last argument cannot be fetched: it leaves without entry work.
    Argument,
    /// `PR_RSEQ_SLICE_EXTENSION_SET` with this value.
    Prctl(u8),
    /// `rseq(2)`, with or without `RSEQ_FLAG_SLICE_EXT_DEFAULT_ON`.
    Register {
        on: bool,
    },
    Unregister,
    Exec,
    /// Without or with `CLONE_VM`.
    Fork {
        vm: bool,
    },
    Exit,
}

/// The next step of a thread. Interrupts come before a step, never inside it: a step has interrupts
/// disabled or accesses nothing that an interrupt accesses.
///
/// `A` are the steps of the implementation under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pc<A> {
    /// User mode.
    User,

    /// `__exit_to_user_mode_loop()`, interrupts just enabled, a reschedule among its work.
    Resched(Work),
    /// Inside `rseq_grant_slice_extension()`.
    Grant(Work, A),
    /// Before `schedule()`.
    Schedule(Work),
    /// Before `arch_do_signal_or_restart()`.
    Signals(Work),
    /// Before `resume_user_mode_work()`.
    Notify,
    /// `rseq_slowpath_update_usr()`, before it writes to user space.
    SlowUpdate,
    /// The same, inside `rseq_slice_clear_grant()`.
    SlowClear(A),
    /// The same, before it checks the critical section.
    SlowSection,
    /// The same, inside `rseq_slice_update_failed()`.
    SlowFailed(A),
    /// Before `local_irq_disable()` at the bottom of the loop.
    Bottom,
    /// After it and after the work flags were read: `rseq_exit_to_user_mode_restart()`. Only other
    /// CPUs can still set flags.
    Exit,

    /// `__do_fast_syscall_32()`, where it fetches the argument. It may sleep.
    Fetch,
    /// An exception in user mode that is handled with interrupts enabled, such as a page fault. It
    /// may sleep.
    Exception,
    /// System call entry, before any work.
    Entry(Call),
    /// Inside `rseq_syscall_enter_work()`.
    Enter(Call, A),
    /// Before the system call itself.
    Body(Call),
    /// After it, before `local_irq_disable()`.
    Return,

    /// `do_exit()`, before `rseq_slice_exit()`.
    Dying,
    /// After it.
    Dead,
}

impl<A: fmt::Debug> fmt::Display for Pc<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user mode"),
            Self::Resched(_) => f.write_str("the top of the exit loop"),
            Self::Grant(_, at) => write!(f, "{at:?} of the grant decision"),
            Self::Schedule(_) => f.write_str("schedule()"),
            Self::Signals(_) => f.write_str("the delivery of signals"),
            Self::Notify => f.write_str("resume_user_mode_work()"),
            Self::SlowUpdate => f.write_str("the slow update of user space"),
            Self::SlowClear(at) => write!(f, "{at:?} of the slow update"),
            Self::SlowSection => f.write_str("the critical section of the slow update"),
            Self::SlowFailed(at) => write!(f, "{at:?} of the slow update that failed"),
            Self::Bottom => f.write_str("the bottom of the exit loop"),
            Self::Exit => f.write_str("the end of the exit loop"),
            Self::Fetch => f.write_str("the fetch of an argument"),
            Self::Exception => f.write_str("the end of the exception"),
            Self::Entry(_) => f.write_str("system call entry"),
            Self::Enter(_, at) => write!(f, "{at:?} of system call entry work"),
            Self::Body(call) => write!(f, "the system call {call:?}"),
            Self::Return => f.write_str("the end of the system call"),
            Self::Dying => f.write_str("do_exit()"),
            Self::Dead => f.write_str("the end of do_exit()"),
        }
    }
}

/// The fields of `task_struct::rseq`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rseq {
    pub(crate) registered: bool,
    pub(crate) enabled: u8,
    pub(crate) granted: bool,
    /// An update of user space has erased the control word of the grant.
    pub(crate) hidden: bool,
    /// `None` where there is no grant.
    pub(crate) expires: Option<Moment>,
    pub(crate) switches: u8,
    /// The CPU whose timer bounds the grant.
    pub(crate) timer: Option<Cpu>,
    pub(crate) yielded: bool,
    pub(crate) sched_switch: bool,
    pub(crate) ids_changed: bool,
    pub(crate) user_irq: bool,
    pub(crate) slowpath: bool,
}

impl Rseq {
    /// What `rseq_reset()` leaves.
    pub(crate) const RESET: Self = Self {
        registered: false,
        enabled: 0,
        granted: false,
        hidden: false,
        expires: None,
        switches: 0,
        timer: None,
        yielded: false,
        sched_switch: false,
        ids_changed: false,
        user_irq: false,
        slowpath: false,
    };
}

impl Rseq {
    /// `rseq_event::events = 0`
    pub(crate) fn clear_events(&mut self) {
        self.sched_switch = false;
        self.ids_changed = false;
        self.user_irq = false;
    }
}

/// A thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Thread<A> {
    pub(crate) place: Place,
    pub(crate) pc: Pc<A>,
    /// Whether it entered the kernel by an interrupt, which is any entry but a system call.
    pub(crate) by_irq: bool,
    pub(crate) work: Work,
    /// `SYSCALL_WORK_SYSCALL_RSEQ_SLICE`.
    pub(crate) syscall_work: bool,
    pub(crate) rseq: Rseq,
    /// How often it was scheduled out since its grant, at most 1.
    pub(crate) switches: u8,
    /// A `SIGSEGV` that was forced on it is pending.
    pub(crate) segv: bool,
    /// `rseq::slice_ctrl`.
    pub(crate) word: u32,
    /// Whether its instruction pointer is inside the restartable sequence in `rseq::rseq_cs`.
    pub(crate) inside: bool,
    pub(crate) ghost: Ghost,
}

impl<A> Thread<A> {
    /// A thread that does not exist.
    pub(crate) const GONE: Self = Self {
        place: Place::Gone,
        pc: Pc::Dead,
        by_irq: false,
        work: Work::empty(),
        syscall_work: false,
        rseq: Rseq::RESET,
        switches: 0,
        segv: false,
        word: 0,
        inside: false,
        ghost: Ghost::NEW,
    };

    /// A thread in user mode with a registered area.
    pub(crate) fn new(cpu: Cpu, mode: Mode) -> Self {
        Self {
            place: Place::On(cpu),
            pc: Pc::User,
            rseq: Rseq {
                registered: true,
                enabled: mode.enabled(),
                ..Rseq::RESET
            },
            ..Self::GONE
        }
    }

    /// The CPU that it runs on.
    pub(crate) fn cpu(&self) -> Option<Cpu> {
        match self.place {
            Place::On(cpu) => Some(cpu),
            Place::Off(_) | Place::Gone => None,
        }
    }
}
