// SPDX-License-Identifier: GPL-2.0

//! A thread with the extension enabled, and nobody but its competitors on its CPU.

use anyhow::Result;
use nix::sys::signal::Signal;
use rseq_slice_harness::abi::{
    RSEQ_CS_FLAG_SLICE_EXT_AVAILABLE, RSEQ_CS_FLAG_SLICE_EXT_ENABLED, RSEQ_SLICE_EXT_GRANTED,
    RSEQ_SLICE_EXT_REQUEST,
};
use rseq_slice_harness::clock::{calibrate, now, spin_while};
use rseq_slice_harness::timer::{Due, monotonic};
use rseq_slice_harness::{Area, Layout, Registration, pin_to, set_layout};

use super::apart::ensure_dies;
use super::class::{Class, set_class};
use super::competitor::Competitor;
use super::timer::{PATIENCE, soon};
use crate::check::check;
use crate::env::Env;
use crate::features;

/// The CPU of the requesting thread.
pub(crate) const CPU: usize = 0;
/// The CPU from which others act on it.
pub(crate) const OTHER_CPU: usize = 1;
/// The CPUs of a thread that keeps running when one of them goes offline.
pub(crate) const BOTH_CPUS: [usize; 2] = [CPU, OTHER_CPU];

/// Puts the calling thread on the given CPU, in front of all threads of the normal class.
pub(crate) fn be_on(env: Env, cpu: usize) -> Result<()> {
    pin_to(&[cpu])?;
    set_class(env, Class::Requester)?;
    if env.only_lazy() {
        features::disable()?;
    }
    calibrate();
    Ok(())
}

/// The control word with a request and nothing else.
pub(crate) fn request_word(layout: Layout) -> u32 {
    match layout {
        Layout::Bytes => u32::from_ne_bytes([1, 0, 0, 0]),
        Layout::Bits => RSEQ_SLICE_EXT_REQUEST,
    }
}

/// The control word with a grant and nothing else.
pub(crate) fn grant_word(layout: Layout) -> u32 {
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

/// The calling thread, registered and enabled.
pub(crate) struct Setup {
    env: Env,
    registration: Registration,
    layout: Layout,
}

impl Setup {
    /// Sets the calling thread up on [`CPU`].
    pub(crate) fn new(env: Env, layout: Layout) -> Result<Self> {
        Self::on(env, CPU, layout)
    }

    /// Sets it up on another CPU.
    pub(crate) fn on(env: Env, cpu: usize, layout: Layout) -> Result<Self> {
        be_on(env, cpu)?;
        Self::with(env, Registration::new()?, layout)
    }

    /// Sets it up with an area that is registered already.
    pub(crate) fn with(env: Env, registration: Registration, layout: Layout) -> Result<Self> {
        set_layout(Some(layout))?;
        Ok(Self::enabled(env, registration, layout))
    }

    /// Takes a thread as it is, which is on its CPU and has the extension on in `layout`.
    pub(crate) const fn enabled(env: Env, registration: Registration, layout: Layout) -> Self {
        Self {
            env,
            registration,
            layout,
        }
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
        self.set_word(request_word(self.layout));
    }

    /// Adds a request to what is in the word.
    pub(crate) fn add_request(&self) {
        self.area()
            .set_bits_in_slice_ctrl(request_word(self.layout));
    }

    pub(crate) fn is_granted(&self) -> bool {
        self.word() == grant_word(self.layout)
    }

    /// Stores `word`, waits in user mode until it changes, and says into what.
    pub(crate) fn offer(&self, word: u32, nanos: u64) -> Seen {
        self.set_word(word);
        if !spin_while(nanos, || self.word() == word) {
            return Seen::Pending;
        }
        match self.word() {
            0 => Seen::Erased,
            word if word == grant_word(self.layout) => Seen::Granted,
            word => Seen::Other(word),
        }
    }

    /// Requests, lets `competitor` want the CPU, and returns what became of the request.
    pub(crate) fn ask(&self, competitor: &Competitor) -> Result<Seen> {
        competitor.wake_soon()?;
        Ok(self.offer(request_word(self.layout), self.env.lead() + PATIENCE))
    }

    /// Gets a grant against `competitor` and returns when it was first seen. The competitor is still
    /// waiting.
    ///
    /// Another attempt is made, and the run of the competitor not counted, if it ran before the request
    /// was made, as the other CPU was slow, or if one of the kernel's own threads came before it.
    #[track_caller]
    pub(crate) fn obtain(&self, competitor: &Competitor) -> Result<u64> {
        self.obtain_when(competitor, |_| Ok(()))
    }

    /// Like [`obtain`](Self::obtain), with `prepare` called before each attempt with the moment of
    /// [`monotonic`] at which the competitor will wake.
    #[track_caller]
    pub(crate) fn obtain_when(
        &self,
        competitor: &Competitor,
        prepare: impl Fn(u64) -> Result<()>,
    ) -> Result<u64> {
        const ATTEMPTS: u32 = 10;
        let mut left = ATTEMPTS;
        loop {
            let due = soon(self.env)?;
            prepare(due)?;
            let runs = competitor.runs();
            let (seen, at) = self.try_at(due, competitor)?;
            let early = seen == Seen::Pending && competitor.runs() != runs;
            let refused = seen == Seen::Erased && self.env.kernel.disturbs();
            left -= 1;
            if left == 0 || !early && !refused {
                return self.ensure_granted(seen, competitor.runs() - runs, at);
            }
            self.set_word(0);
            competitor.discount_run(runs)?;
        }
    }

    /// Gets a grant at the first attempt, with the competitor waking at the moment `due` of
    /// [`monotonic`].
    #[track_caller]
    pub(crate) fn obtain_at(&self, due: u64, competitor: &Competitor) -> Result<u64> {
        let runs = competitor.runs();
        let (seen, at) = self.try_at(due, competitor)?;
        self.ensure_granted(seen, competitor.runs() - runs, at)
    }

    /// Requests before `competitor` wakes at the moment `due`. Returns what became of that, and when.
    fn try_at(&self, due: u64, competitor: &Competitor) -> Result<(Seen, u64)> {
        let patience = due.saturating_sub(monotonic()?) + PATIENCE;
        competitor.wake(Due::At(due))?;
        let seen = self.offer(request_word(self.layout), patience);
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
            "no grant: the request is {seen:?}, the competitor ran {runs} times"
        );
        check!(runs == 0, "the competitor ran in spite of the grant");
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

/// Expects a process that stores `violation` during a grant to be killed by the `call` that it makes
/// next.
#[track_caller]
pub(crate) fn ensure_violation_kills(
    env: Env,
    layout: Layout,
    violation: u32,
    call: fn(),
) -> Result<()> {
    ensure_dies(Signal::SIGSEGV, || {
        let setup = Setup::new(env, layout)?;
        let competitor = Competitor::new(env, CPU)?;
        setup.obtain(&competitor)?;
        setup.set_word(violation);
        call();
        Ok(())
    })
}
