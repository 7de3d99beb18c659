// SPDX-License-Identifier: GPL-2.0

//! Does the steps of a program.
//!
//! Between two steps no system call is made, for that would end a grant. What a step needs is
//! prepared before its grant can begin.

use std::arch::asm;
use std::cell::RefCell;
use std::sync::atomic::Ordering::SeqCst;

use anyhow::Result;
use rseq_slice_diff_program::arg::{Call, Delay, Event, Fault};
use rseq_slice_diff_program::op::Op;
use rseq_slice_diff_program::program::Step;
use rseq_slice_harness::abi::{NR_RSEQ_SLICE_YIELD, PR_RSEQ_SLICE_EXTENSION, SIGNATURE};
use rseq_slice_harness::clock::spin_while;
use rseq_slice_harness::pin_to;
use rseq_slice_harness::seccomp::{self, Filter};
use rseq_slice_harness::timer::{Due, await_quiet, monotonic, timespec};

use crate::area::{self, CPU_ID, CPU_ID_START, FLAGS, RSEQ_CS, WORD, outcome, zero_or_error};
use crate::planned::Planned;
use crate::shared::shared;
use crate::{competitors, fresh, knobs, planned, sequence, signals};

/// Nanoseconds in which a reschedule is set up: for the competitor, for each plan of this CPU, and for each
/// plan of the other CPU.
const LEAD: u64 = 25_000;
const LEAD_PER_PLAN: u64 = 10_000;
const LEAD_PER_THREAD: u64 = 60_000;
/// Nanoseconds that have to be left of them.
const LEAST_LEAD: u64 = 5_000;
/// Nanoseconds after a decision within which simultaneous events have their effect. They vary, so that the
/// following steps come earlier and later in the extension.
const SETTLING: Delay = Delay::range(1_500, 3_500);
/// The moment of an event on the other CPU that is planned for the reschedule itself. Either may come
/// first.
const AT_ONCE: Delay = Delay::range(0, 6_000);
/// Nanoseconds after which a step stops waiting for the competitor.
const PATIENCE: u64 = 2_000_000;
/// Nanoseconds that are longer than any extension lasts.
const LONG: u64 = 200_000;

/// A word that does not change.
static NOTHING: u32 = 0;

thread_local! {
    static PLANS: RefCell<Vec<(Delay, Event)>> = const { RefCell::new(Vec::new()) };
}

/// How a step went.
pub(crate) struct Done {
    pub(crate) value: i64,
    pub(crate) timeout: bool,
}

impl From<i64> for Done {
    fn from(value: i64) -> Self {
        Self {
            value,
            timeout: false,
        }
    }
}

/// Does the step with that index in the calling thread.
pub(crate) fn perform(step: &Step, index: usize, repetition: u32) -> Done {
    let page = area::mine();
    // Without an area there are no sequences.
    let inside = step.inside && area::is_registered();
    let nanos = |delay: Delay| u64::from(delay.widened(repetition).nanos(repetition, index as u32));
    match step.op {
        Op::Rseq {
            len,
            at,
            flags,
            sig,
        } => {
            let (address, sig) = (page.address(at), SIGNATURE.wrapping_add(sig));
            // SAFETY: The memory is ours; where it is not, the call or the process fails.
            let ret = unsafe { libc::syscall(libc::SYS_rseq, address, len, flags.0, sig) };
            let value = outcome(ret);
            if value == 0 {
                area::note_registration(at, flags.0 & 1 == 0);
            }
            return value.into();
        }
        Op::Prctl {
            op,
            value,
            arg4,
            arg5,
        } => {
            let option = PR_RSEQ_SLICE_EXTENSION;
            // SAFETY: No argument of this operation is a pointer.
            outcome(unsafe { libc::syscall(libc::SYS_prctl, option, op, value, arg4, arg5) })
        }
        Op::Word { value } => {
            page.write(WORD, value.0);
            0
        }
        Op::Byte { index, value } => {
            page.write_byte(WORD + index as usize % 4, value.0 as u8);
            0
        }
        Op::Flags { value } => {
            page.write(FLAGS, value.0);
            0
        }
        Op::Ids { value } => {
            page.write(CPU_ID, value.0);
            0
        }
        Op::Cs { value } => {
            page.write(RSEQ_CS, value.0);
            0
        }
        Op::Then { delay, event } => {
            PLANS.with_borrow_mut(|plans| plans.push((delay, event)));
            0
        }
        Op::Ask { word } => return ask(word.0, Some(0), inside, index, repetition),
        Op::Reclass { word } => return ask(word.0, None, inside, index, repetition),
        Op::Outlast => {
            let (word, sum) = (page.read(WORD), shared().totals.sum());
            let same = || page.read(WORD) == word && shared().totals.sum() == sum;
            let timeout = !wait(inside, LONG, page.word(), same);
            return Done { value: 0, timeout };
        }
        Op::Spin { time } => {
            wait(inside, nanos(time), &raw const NOTHING, || true);
            0
        }
        Op::Touch { time } => {
            let (time, to) = (nanos(time), fresh::page(index));
            if inside {
                sequence::wait_and_store(page, time, to);
            } else {
                spin_while(time, || true);
            }
            fault(Fault::Touch, index);
            0
        }
        Op::Yield => call(inside, NR_RSEQ_SLICE_YIELD, [0; 4]),
        Op::Call { call } => other_call(call, inside),
        Op::Unmap => page.unmap(),
        Op::Protect { to } => page.protect(to),
        Op::Map => page.map_again(libc::MAP_PRIVATE),
        Op::MapShared => page.map_again(libc::MAP_SHARED),
        Op::Raise { signal } => signals::raise(signal),
        Op::Handle { signal, with } => signals::handle(signal, with),
        Op::Fault { what } => {
            if inside {
                fault_inside(what, index);
            } else {
                fault(what, index);
            }
            0
        }
        Op::Length { ref text } => knobs::write(knobs::LENGTH, text.as_str()),
        Op::Debug { ref text } => knobs::write_debug(text.as_str()),
        Op::Membarrier => {
            planned::register_membarrier();
            planned::membarrier()
        }
        Op::Filter => zero_or_error(Filter::SKIPS_MARKED_YIELDS.install()),
        Op::Skip => {
            let arguments = [seccomp::MARK as usize, 0, 0, 0];
            call(inside, NR_RSEQ_SLICE_YIELD, arguments)
        }
        Op::Bounce => {
            let there_and_back =
                pin_to(&[planned::OTHER_CPU]).and_then(|()| pin_to(&[planned::CPU]));
            there_and_back.map_or(-1, |()| 0)
        }
        Op::See => {
            // Both IDs of a CPU are small or all ones.
            let ids = (page.read(CPU_ID_START) & 0xfff) << 12 | page.read(CPU_ID) & 0xfff;
            i64::from(ids) << 32 | i64::from(page.read(RSEQ_CS))
        }
        Op::Fork | Op::Thread | Op::Vfork | Op::Exec => unreachable!("the process sees to these"),
    }
    .into()
}

/// Waits in user mode as `spin_while` does, inside of a sequence or not. `going` depends on
/// `watched`, and on who ran.
fn wait(inside: bool, nanos: u64, watched: *const u32, going: impl FnMut() -> bool) -> bool {
    if inside {
        sequence::wait_while(area::mine(), nanos, watched, going)
    } else {
        spin_while(nanos, going)
    }
}

/// A system call, inside of a sequence or not.
fn call(inside: bool, number: libc::c_long, arguments: [usize; 4]) -> i64 {
    let [first, second, third, fourth] = arguments;
    if inside {
        // SAFETY: The callers name calls that take no pointer, or one to what lives through the call.
        unsafe { sequence::call(area::mine(), number, arguments) }
    } else {
        // SAFETY: The callers name calls that take no pointer, or one to what lives through the call.
        outcome(unsafe { libc::syscall(number, first, second, third, fourth) })
    }
}

/// Carries out the plans of this thread around a reschedule, with `word` in the control word. The
/// reschedule is for a competitor, or for nobody.
fn ask(word: u32, competitor: Option<usize>, inside: bool, index: usize, repetition: u32) -> Done {
    let (page, totals) = (area::mine(), &shared().totals);
    let classes = totals.classes.load(SeqCst);
    if prepare(competitor, index, repetition).is_err() {
        return (-1).into();
    }
    let sum = totals.sum();
    page.write(WORD, word);
    let timeout = !wait(inside, PATIENCE, page.word(), || {
        let same = page.read(WORD) == word && totals.sum() == sum;
        same && (competitor.is_some() || totals.classes.load(SeqCst) == classes)
    });
    // An interrupt that came before the kernel was done with the decision is still in the kernel on a
    // slower one, and only now due on a faster one.
    let now = page.read(WORD);
    let settling = u64::from(SETTLING.nanos(repetition, index as u32));
    wait(inside, settling, page.word(), || {
        page.read(WORD) == now && totals.sum() == sum
    });
    Done { value: 0, timeout }
}

/// Sets everything up for a reschedule some microseconds from now.
fn prepare(competitor: Option<usize>, index: usize, repetition: u32) -> Result<()> {
    let mut plans = Vec::new();
    if competitor.is_none() {
        plans.push((0, Planned::new(Event::Class)?));
    }
    for (number, (delay, event)) in PLANS.take().into_iter().enumerate() {
        let event = Planned::new(event)?;
        let delay = match event {
            Planned::Remote(_) if delay == Delay::exactly(0) => AT_ONCE,
            _ => delay,
        };
        let salt = (index + 7 * number) as u32;
        let nanos = delay.widened(repetition).nanos(repetition, salt);
        plans.push((u64::from(nanos), event));
    }
    let leads = plans.iter().map(|(_, event)| match event {
        Planned::Remote(_) => LEAD_PER_THREAD,
        Planned::Competitor | Planned::Signal(_) => LEAD_PER_PLAN,
    });
    let lead = LEAD + leads.sum::<u64>();
    loop {
        let moment = await_quiet(lead, 0)?;
        for (delay, event) in &plans {
            event.at(moment + delay)?;
        }
        if let Some(competitor) = competitor {
            competitors::wake(competitor, Due::At(moment))?;
        }
        // Something else may have kept the CPU, or made this take long.
        if monotonic()? + LEAST_LEAD < moment {
            let delays = plans.iter().map(|(delay, _)| *delay);
            let last = moment + delays.max().unwrap_or_default();
            shared().planned_until.fetch_max(last, SeqCst);
            return Ok(());
        }
        competitors::rest()?;
        for (_, event) in &plans {
            event.cancel()?;
        }
    }
}

fn other_call(which: Call, inside: bool) -> i64 {
    let plain = |number| call(inside, number, [0; 4]);
    match which {
        Call::Getpid => i64::from(plain(libc::SYS_getpid) < 0),
        Call::SchedYield => plain(libc::SYS_sched_yield),
        // There is no such file.
        Call::Close => call(inside, libc::SYS_close, [usize::MAX, 0, 0, 0]),
        // There are no such calls.
        Call::Unassigned => plain(9_999),
        Call::MinusOne => plain(-1),
        Call::Sleep => {
            let time = timespec(20_000);
            let (clock, time) = (libc::CLOCK_MONOTONIC as usize, (&raw const time).addr());
            call(inside, libc::SYS_clock_nanosleep, [clock, 0, time, 0])
        }
    }
}

fn fault_inside(what: Fault, index: usize) {
    let page = area::mine();
    match what {
        Fault::Touch => sequence::store(page, fresh::page(index)),
        Fault::Null => sequence::store(page, std::ptr::null_mut()),
        Fault::Undefined => sequence::undefined(page),
        Fault::Breakpoint => sequence::breakpoint(page),
    }
}

fn fault(what: Fault, index: usize) {
    match what {
        // SAFETY: Nobody else uses the page.
        Fault::Touch => unsafe { fresh::page(index).write_volatile(1) },
        // SAFETY: Reads what is not there: the kernel sends a signal.
        Fault::Null => unsafe {
            asm!("mov {0:e}, dword ptr [{0}]", inout(reg) 0_u64 => _, options(nostack, readonly))
        },
        // SAFETY: The kernel sends a signal.
        Fault::Undefined => unsafe { asm!("ud2", options(nostack, nomem)) },
        // SAFETY: The kernel sends a signal.
        Fault::Breakpoint => unsafe { asm!("int3", options(nostack, nomem)) },
    }
}

/// Notes what the calling thread sees after a step.
pub(crate) fn complete(index: usize, result: &Done) {
    let (page, shared) = (area::mine(), shared());
    loop {
        let sum = shared.totals.sum();
        let (word, flags) = (page.read(WORD), page.read(FLAGS));
        shared
            .slot(index)
            .complete(result.value, result.timeout, word, flags);
        // Another thread ran between the reads: the values are not of one moment.
        if shared.totals.sum() == sum {
            return;
        }
    }
}

/// Lets the pages of code be there that a grant is to find.
pub(crate) fn warm_up() {
    let page = area::mine();
    page.write(WORD, page.read(WORD));
    spin_while(500, || shared().totals.sum() == 0);
    shared().totals.competitors[0].load(SeqCst);
}
