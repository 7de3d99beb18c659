// SPDX-License-Identifier: GPL-2.0

//! A thread with the extension enabled, alone with its rivals on a CPU.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use rseq_slice_harness::abi::{
    RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE, RSEQ_CS_FLAG_SLICE_EXT_ENABLED, RSEQ_SLICE_EXT_GRANTED,
    RSEQ_SLICE_EXT_REQUEST,
};
use rseq_slice_harness::clock::{calibrate, now, spin_while};
use rseq_slice_harness::scheduler::{Policy, set_policy_of};
use rseq_slice_harness::timer::{Due, await_quiet, monotonic};
use rseq_slice_harness::{Area, Layout, Registration, pin_to, set_layout};

use super::apart::ensure_dies;
use super::features;
use super::rival::Rival;
use crate::check::check;

/// The CPU of a scene.
pub(crate) const CPU: usize = 0;
/// The CPU from which others act on a scene.
pub(crate) const OTHER_CPU: usize = 1;
/// Where a thread may be that is to survive the loss of one of the CPUs.
pub(crate) const BOTH_CPUS: [usize; 2] = [CPU, OTHER_CPU];

static LEAD: AtomicU64 = AtomicU64::new(60_000);
/// Long enough for the timers of other programs to fire before, which are not set anew before those
/// programs get the CPU back; for a kernel that is full of checks; and for a rival to get its order
/// where only lazy reschedules are postponed, which takes several changes of its class.
const LONG_LEAD: u64 = 400_000;

/// Nanoseconds until a rival wakes: enough for the system call that arms its timer to return, with
/// a tick and what that may bring in between.
pub(crate) fn lead() -> u64 {
    LEAD.load(Ordering::Relaxed)
}

/// Lets rivals wake up later: a load on the CPU is quiet then, and a slow kernel ready.
pub(crate) fn lead_longer() {
    LEAD.store(LONG_LEAD, Ordering::Relaxed);
}

/// Nanoseconds after which a rival that did not get the CPU, not even late, is declared lost.
pub(crate) const PATIENCE: u64 = 2_000_000;

/// Whether lazy reschedules are the only ones that this kernel postpones.
static ONLY_LAZY: AtomicBool = AtomicBool::new(false);

/// Has scenes and rivals from now on be such that only lazy reschedules are needed.
pub(crate) fn set_only_lazy() {
    ONLY_LAZY.store(true, Ordering::Relaxed);
    LEAD.store(LONG_LEAD, Ordering::Relaxed);
}

/// Whether a refused request may be made again.
static REFUSALS: AtomicBool = AtomicBool::new(false);

/// Has scenes repeat a request that was refused, for a kernel that has other work now and then.
pub(crate) fn bear_refusals() {
    REFUSALS.store(true, Ordering::Relaxed);
}

pub(super) fn only_lazy() -> bool {
    ONLY_LAZY.load(Ordering::Relaxed)
}

/// The scheduling classes of the tests. Real-time threads keep the kernel's own threads, which are
/// of the normal class, from taking part; where only lazy reschedules are postponed, scenes and rivals
/// are of the normal class, and those threads may disturb.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    /// `SCHED_IDLE`, which every thread of the normal class precedes.
    Idle,
    /// `SCHED_OTHER`.
    Fair,
    /// The thread that asks for extensions.
    Scene,
    /// The threads that want its CPU.
    Rival,
    /// `SCHED_FIFO`, in front of all others.
    Realtime,
}

/// Puts the calling thread into a class. In the normal one it sleeps no longer than it is told to,
/// where 50 us more are the default.
pub(crate) fn set_class(class: Class) -> Result<()> {
    set_class_of(Pid::from_raw(0), class)?;
    // SAFETY: The call takes no pointer.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) })?;
    Ok(())
}

/// Puts a thread into a class.
pub(crate) fn set_class_of(thread: Pid, class: Class) -> Result<()> {
    let class = match class {
        Class::Scene if only_lazy() => Class::Idle,
        Class::Rival if only_lazy() => Class::Fair,
        class => class,
    };
    let policy = match class {
        Class::Idle => Policy::Idle,
        Class::Fair => Policy::Other,
        Class::Scene => Policy::Fifo(10),
        Class::Rival => Policy::Fifo(20),
        Class::Realtime => Policy::Fifo(30),
    };
    Ok(set_policy_of(thread.as_raw(), policy)?)
}

/// Puts the calling thread on the given CPU, in front of all threads of the normal class.
pub(crate) fn be_on(cpu: usize) -> Result<()> {
    pin_to(&[cpu])?;
    set_class(Class::Scene)?;
    if only_lazy() {
        features::forget()?;
    }
    calibrate();
    Ok(())
}

/// The control word with a request and nothing else.
pub(crate) fn requested(layout: Layout) -> u32 {
    match layout {
        Layout::Bytes => u32::from_ne_bytes([1, 0, 0, 0]),
        Layout::Bits => RSEQ_SLICE_EXT_REQUEST,
    }
}

/// The control word with a grant and nothing else.
pub(crate) fn granted(layout: Layout) -> u32 {
    match layout {
        Layout::Bytes => u32::from_ne_bytes([0, 1, 0, 0]),
        Layout::Bits => RSEQ_SLICE_EXT_GRANTED,
    }
}

/// What `rseq::flags` holds while the extension is available, and enabled or not.
pub(crate) const fn flags(enabled: bool) -> u32 {
    if enabled {
        RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE | RSEQ_CS_FLAG_SLICE_EXT_ENABLED
    } else {
        RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The word says that there is a grant.
    Granted,
    /// The word has been erased.
    Erased,
    /// The word says something else.
    Other(u32),
    /// The request is still there.
    Pending,
}

/// A moment of [`monotonic`], [`lead`] from now or a little later, with no tick near it.
pub(crate) fn soon() -> Result<u64> {
    /// Leaves as much time in front of the next tick.
    const SLACK: u64 = 400_000;
    Ok(await_quiet(lead(), SLACK)?)
}

/// The calling thread, registered and enabled.
pub(crate) struct Scene {
    registration: Registration,
    layout: Layout,
}

impl Scene {
    /// Sets the scene on [`CPU`].
    pub(crate) fn new(layout: Layout) -> Result<Self> {
        Self::on(CPU, layout)
    }

    /// Sets the scene on another CPU.
    pub(crate) fn on(cpu: usize, layout: Layout) -> Result<Self> {
        be_on(cpu)?;
        Self::with(Registration::new()?, layout)
    }

    /// Sets the scene on an area that is registered already.
    pub(crate) fn with(registration: Registration, layout: Layout) -> Result<Self> {
        set_layout(Some(layout))?;
        Ok(Self {
            registration,
            layout,
        })
    }

    pub(crate) fn area(&self) -> &Area {
        self.registration.area()
    }

    pub(crate) fn into_registration(self) -> Registration {
        self.registration
    }

    /// The control word.
    pub(crate) fn word(&self) -> u32 {
        self.area().slice_ctrl()
    }

    pub(crate) fn set_word(&self, word: u32) {
        self.area().set_slice_ctrl(word);
    }

    /// Stores a request; the rest of the word is zero.
    pub(crate) fn request(&self) {
        self.set_word(requested(self.layout));
    }

    /// Adds a request to what is in the word.
    pub(crate) fn add_request(&self) {
        self.area().set_bits_in_slice_ctrl(requested(self.layout));
    }

    pub(crate) fn is_granted(&self) -> bool {
        self.word() == granted(self.layout)
    }

    /// Stores `word`, waits in user mode until it changes, and says into what.
    pub(crate) fn offer(&self, word: u32, nanos: u64) -> Seen {
        self.set_word(word);
        if !spin_while(nanos, || self.word() == word) {
            return Seen::Pending;
        }
        match self.word() {
            0 => Seen::Erased,
            word if word == granted(self.layout) => Seen::Granted,
            word => Seen::Other(word),
        }
    }

    /// Requests, lets `rival` want the CPU, and returns what became of the request.
    pub(crate) fn ask(&self, rival: &Rival) -> Result<Seen> {
        rival.wake_soon()?;
        Ok(self.offer(requested(self.layout), lead() + PATIENCE))
    }

    /// Gets a grant against `rival` and returns when it was first seen. The rival is still waiting.
    ///
    /// What was no attempt at all is repeated, and leaves no trace: the rival ran before the request
    /// was made, as the other CPU was slow, or one of the kernel's own threads came before the rival.
    #[track_caller]
    pub(crate) fn obtain(&self, rival: &Rival) -> Result<u64> {
        self.obtain_when(rival, |_| Ok(()))
    }

    /// Like [`obtain`](Self::obtain), with `prepare` called before each attempt with the moment of
    /// [`monotonic`] at which the rival will wake.
    #[track_caller]
    pub(crate) fn obtain_when(
        &self,
        rival: &Rival,
        prepare: impl Fn(u64) -> Result<()>,
    ) -> Result<u64> {
        const ATTEMPTS: u32 = 10;
        let mut left = ATTEMPTS;
        loop {
            let due = soon()?;
            prepare(due)?;
            let runs = rival.runs();
            let (seen, at) = self.try_at(due, rival)?;
            let early = seen == Seen::Pending && rival.runs() != runs;
            let denied = seen == Seen::Erased && REFUSALS.load(Ordering::Relaxed);
            left -= 1;
            if left == 0 || !early && !denied {
                return self.ensure_granted(seen, rival.runs() - runs, at);
            }
            self.set_word(0);
            rival.forget_run(runs)?;
        }
    }

    /// Gets a grant at the first attempt, with the rival waking at the moment `due` of [`monotonic`].
    #[track_caller]
    pub(crate) fn obtain_at(&self, due: u64, rival: &Rival) -> Result<u64> {
        let runs = rival.runs();
        let (seen, at) = self.try_at(due, rival)?;
        self.ensure_granted(seen, rival.runs() - runs, at)
    }

    /// Requests before `rival` wakes at the moment `due`. Returns what became of that, and when.
    fn try_at(&self, due: u64, rival: &Rival) -> Result<(Seen, u64)> {
        let patience = due.saturating_sub(monotonic()?) + PATIENCE;
        rival.wake(Due::At(due))?;
        let seen = self.offer(requested(self.layout), patience);
        Ok((seen, now()))
    }

    #[track_caller]
    fn ensure_granted(&self, seen: Seen, runs: u64, at: u64) -> Result<u64> {
        // Anything that fails from here on makes a system call, which is fine then.
        if seen != Seen::Granted || runs != 0 {
            self.set_word(0);
        }
        check!(
            seen == Seen::Granted,
            "no grant: the request is {seen:?}, the rival ran {runs} times"
        );
        check!(runs == 0, "the rival ran in spite of the grant");
        Ok(at)
    }

    /// Waits in user mode until the grant is gone. Returns the moment at which it was last seen.
    pub(crate) fn outlast(&self) -> Option<u64> {
        let mut last = now();
        let over = spin_while(PATIENCE, || {
            let at = now();
            let live = self.is_granted();
            if live {
                last = at;
            }
            live
        });
        over.then_some(last)
    }
}

/// Expects a process that stores `lie` during a grant to be killed by the `call` that it makes next.
#[track_caller]
pub(crate) fn ensure_lie_kills(layout: Layout, lie: u32, call: fn()) -> Result<()> {
    ensure_dies(Signal::SIGSEGV, || {
        let scene = Scene::new(layout)?;
        let rival = Rival::new(CPU)?;
        scene.obtain(&rival)?;
        scene.set_word(lie);
        call();
        Ok(())
    })
}
