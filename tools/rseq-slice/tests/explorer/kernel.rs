// SPDX-License-Identifier: MIT OR Apache-2.0

//! A thread whose kernel does, before each access to the control word, any of the things that the
//! contract allows it.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;

use rseq_slice::word::ControlWord;

use crate::choices::Choices;
use crate::program::{self, Handler, Library};

/// What happens between two accesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Nothing,
    /// A reschedule with other work pending, or the thread was preempted.
    Refuse,
    Grant,
    /// A second reschedule ends the grant.
    Revoke,
    /// So does its timer; the thread runs again later.
    Expire,
    /// A signal; `refused`: with a reschedule due.
    Signal {
        handler: Handler,
        refused: bool,
    },
}

/// What the code under test did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    /// A request during a grant. The kernel kills for it at the next system call under `rseq_debug`.
    RequestedWhileGranted,
    /// A section cleared the request of another.
    ClearedAnothers,
    /// Nothing ended the request or the grant, and the section has neither.
    Unprotected,
    /// A request is left behind by the outermost section.
    RequestLeft,
    /// A grant is left behind by the outermost section.
    GrantLeft,
    /// A system call to end a grant that the section has not seen.
    LeftWithoutGrant,
}

/// Unwinds to where the program called `setjmp`.
pub(crate) struct LongJump;

/// The thread.
pub(crate) struct World {
    pub(crate) library: Library,
    pub(crate) choices: RefCell<Choices>,
    /// How many more events there may be.
    pub(crate) events: Cell<u32>,
    /// What happened, in order.
    pub(crate) history: RefCell<Vec<Event>>,
    /// Which handlers may run.
    pub(crate) handlers: Vec<Handler>,
    in_handler: Cell<bool>,
    request: Cell<u8>,
    granted: Cell<u8>,
    /// The kernel's own state.
    live: Cell<bool>,
    /// The section that runs, and the one that made the request; 0: none.
    pub(crate) section: Cell<u32>,
    owner: Cell<u32>,
    pub(crate) sections: Cell<u32>,
    /// A section of a library with another rule has been there, which may request during a grant, and may clear what
    /// others requested.
    pub(crate) foreign: Cell<bool>,
    /// Something other than the sections ended the request or the grant.
    taken: Cell<bool>,
    /// The same when the request was made: a section around this one has lost its own.
    taken_before: Cell<bool>,
    /// Signal handlers come back.
    pub(crate) no_jumps: Cell<bool>,
    /// The last access of the code that runs found a grant.
    seen: Cell<bool>,
    pub(crate) depth_of_counting: Cell<u32>,
    pub(crate) grants: Cell<u64>,
    pub(crate) left: Cell<u64>,
}

pub(crate) type Thread<'a> = &'a World;

/// The control word through which the code under test gets to this kernel.
#[derive(Clone, Copy)]
pub(crate) struct Word<'a>(pub(crate) Thread<'a>);

impl World {
    pub(crate) fn new(library: Library, handlers: &[Handler]) -> Self {
        Self {
            library,
            choices: RefCell::default(),
            events: Cell::new(0),
            history: RefCell::default(),
            handlers: handlers.to_vec(),
            in_handler: Cell::default(),
            request: Cell::default(),
            granted: Cell::default(),
            live: Cell::default(),
            section: Cell::default(),
            owner: Cell::default(),
            sections: Cell::default(),
            foreign: Cell::default(),
            taken: Cell::default(),
            taken_before: Cell::default(),
            no_jumps: Cell::default(),
            seen: Cell::default(),
            depth_of_counting: Cell::default(),
            grants: Cell::default(),
            left: Cell::default(),
        }
    }

    /// As a thread starts.
    pub(crate) fn restart(&self, events: u32) {
        self.events.set(events);
        self.history.borrow_mut().clear();
        let flags = [
            &self.in_handler,
            &self.live,
            &self.foreign,
            &self.taken,
            &self.taken_before,
            &self.no_jumps,
            &self.seen,
        ];
        flags.into_iter().for_each(|flag| flag.set(false));
        self.request.set(0);
        self.granted.set(0);
        let numbers = [
            &self.section,
            &self.owner,
            &self.sections,
            &self.depth_of_counting,
        ];
        numbers.into_iter().for_each(|number| number.set(0));
    }

    pub(crate) fn violates(&self, violation: Violation) -> ! {
        resume_unwind(Box::new(violation))
    }

    /// What the kernel may do here.
    fn possible(&self) -> Vec<Event> {
        let mut events = vec![Event::Nothing];
        if self.live.get() {
            events.extend([Event::Revoke, Event::Expire]);
        } else if self.request.get() != 0 {
            events.extend([Event::Refuse, Event::Grant]);
        }
        if !self.in_handler.get() {
            let refusable = !self.live.get() && self.request.get() != 0;
            let jumps = !self.no_jumps.get();
            for &handler in self.handlers.iter().filter(|h| jumps || !h.jumps()) {
                events.push(Event::Signal {
                    handler,
                    refused: false,
                });
                if refusable {
                    events.push(Event::Signal {
                        handler,
                        refused: true,
                    });
                }
            }
        }
        events
    }

    /// An instruction of user space is about to be executed.
    pub(crate) fn step(&self) {
        if self.events.get() == 0 {
            return;
        }
        let possible = self.possible();
        let chosen = self.choices.borrow_mut().choose(possible.len());
        let event = possible[chosen];
        if event != Event::Nothing {
            self.events.set(self.events.get() - 1);
            self.happens(event);
        }
    }

    pub(crate) fn happens(&self, event: Event) {
        self.history.borrow_mut().push(event);
        match event {
            Event::Nothing => {}
            Event::Grant => {
                self.request.set(0);
                self.granted.set(1);
                self.live.set(true);
                self.grants.set(self.grants.get() + 1);
            }
            Event::Refuse | Event::Revoke | Event::Expire => self.over(),
            Event::Signal { handler, refused } => {
                if refused {
                    self.over();
                }
                let interrupted = (self.seen.replace(false), self.section.get());
                self.in_handler.set(true);
                program::handle(self, handler);
                // The handler returns by a system call.
                self.system_call();
                self.in_handler.set(false);
                self.seen.set(interrupted.0);
                self.section.set(interrupted.1);
            }
        }
    }

    /// The thread has left a signal handler by `longjmp`, or sections.
    pub(crate) fn jumped(&self) {
        self.in_handler.set(false);
        self.section.set(0);
        self.seen.set(false);
    }

    /// There is neither a request nor a grant when the thread runs again.
    fn over(&self) {
        self.live.set(false);
        self.request.set(0);
        self.granted.set(0);
        self.owner.set(0);
        self.taken.set(true);
    }

    /// Any system call.
    pub(crate) fn system_call(&self) {
        if self.live.get() {
            self.over();
        }
    }

    /// Whether there is a request or a grant for the code that runs, or something else ended it.
    pub(crate) fn is_covered(&self) {
        let covered = self.request.get() | self.granted.get() != 0;
        if !covered && !self.taken.get() {
            self.violates(Violation::Unprotected);
        }
    }

    /// No section is open.
    pub(crate) fn at_rest(&self) {
        if self.request.get() != 0 {
            self.violates(Violation::RequestLeft);
        }
        if self.live.get() || self.granted.get() != 0 {
            self.violates(Violation::GrantLeft);
        }
    }

    /// The kernel decides about a request that no section will clear, and a grant expires. If a request
    /// or a grant is missing after that, there is no excuse.
    pub(crate) fn decides(&self) {
        if self.request.get() != 0 && !self.live.get() {
            let event = [Event::Refuse, Event::Grant][self.choices.borrow_mut().choose(2)];
            self.happens(event);
        }
        if self.live.get() {
            self.happens(Event::Expire);
        }
        self.taken.set(false);
    }
}

impl ControlWord for Word<'_> {
    fn request(self) -> u8 {
        self.0.step();
        self.0.seen.set(false);
        self.0.request.get()
    }

    fn granted(self) -> u8 {
        self.0.step();
        self.0.seen.set(self.0.granted.get() != 0);
        self.0.granted.get()
    }

    fn set_request(self, value: u8) {
        let world = self.0;
        world.step();
        world.seen.set(false);
        if value != 0 {
            if world.granted.get() != 0 && !world.foreign.get() {
                world.violates(Violation::RequestedWhileGranted);
            }
            if world.request.get() | world.granted.get() == 0 {
                world.owner.set(world.section.get());
                world.taken_before.set(world.taken.replace(false));
            }
        } else {
            match world.owner.replace(0) {
                0 => {}
                owner if owner == world.section.get() => world.taken.set(world.taken_before.get()),
                _ if world.foreign.get() => world.taken.set(true),
                _ => world.violates(Violation::ClearedAnothers),
            }
        }
        world.request.set(value);
    }

    fn leave(self) {
        self.0.step();
        if !self.0.seen.replace(false) {
            self.0.violates(Violation::LeftWithoutGrant);
        }
        if self.0.live.get() {
            self.0.left.set(self.0.left.get() + 1);
        }
        self.0.system_call();
    }
}
