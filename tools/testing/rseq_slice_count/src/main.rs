// SPDX-License-Identifier: GPL-2.0

//! Runs the loops for somebody who counts instructions, or counts them by the time stamp counter where that
//! counts instructions, as in the project's guest.

use std::ffi::CString;
use std::mem::transmute;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use rseq_slice_count::{self as linked, LOOPS, Loop};

const USAGE: &str = "Usage: rseq-slice-count [--library FILE] TIMES
       rseq-slice-count [--library FILE] --tsc

Runs all loops of lock and unlock, so many turns of each. With --tsc, prints
for each of them how far the time stamp counter gets in one turn, and first
whether the thread has the extension: 0, or the number of the cause.

  --library FILE   the loops of this shared object, librseq_slice_count.so
";

struct LoopTable {
    set_up: extern "C" fn() -> u32,
    loops: Vec<(&'static str, Loop)>,
}

impl LoopTable {
    fn linked() -> Self {
        Self {
            set_up: linked::count_set_up,
            loops: LOOPS.to_vec(),
        }
    }

    fn of(file: &str) -> Result<Self> {
        let name = CString::new(file)?;
        // SAFETY: The object is ours and has no constructors.
        let object = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
        ensure!(
            !object.is_null(),
            "{file} cannot be loaded: is it a shared object for this program?"
        );
        let symbol = |name: &str| {
            let symbol = CString::new(name)?;
            // SAFETY: The object is not closed.
            let address = unsafe { libc::dlsym(object, symbol.as_ptr()) };
            ensure!(
                !address.is_null(),
                "{file} has no {name}: build rseq_slice_count again"
            );
            Ok(address)
        };
        let mut loops = Self::linked();
        let set_up = symbol("count_set_up")?;
        // SAFETY: The function has this type.
        loops.set_up = unsafe { transmute::<*mut libc::c_void, extern "C" fn() -> u32>(set_up) };
        for (name, place) in &mut loops.loops {
            // SAFETY: The functions with the names of loops have this type.
            *place = unsafe { transmute::<*mut libc::c_void, Loop>(symbol(name)?) };
        }
        Ok(loops)
    }
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> Result<u64> {
    // SAFETY: Every x86-64 processor has one.
    Ok(unsafe { core::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> Result<u64> {
    bail!("there is a time stamp counter on x86-64 only")
}

/// Ticks of a turn of the loop. The least of many runs is one without an interrupt.
fn per_turn(work: Loop) -> Result<f64> {
    const TURNS: u64 = 500;
    let least = |times| -> Result<u64> {
        let mut least = u64::MAX;
        for _ in 0..500 {
            let start = ticks()?;
            work(times);
            least = least.min(ticks()? - start);
        }
        Ok(least)
    };
    let (once, twice) = (least(TURNS)?, least(2 * TURNS)?);
    Ok((twice as f64 - once as f64) / TURNS as f64)
}

fn run() -> Result<()> {
    use lexopt::prelude::*;
    let mut loops = LoopTable::linked();
    let (mut tsc, mut words) = (false, Vec::new());
    let mut parser = lexopt::Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => {
                print!("{USAGE}");
                return Ok(());
            }
            Long("library") => loops = LoopTable::of(&parser.value()?.string()?)?,
            Long("tsc") => tsc = true,
            Value(word) => words.push(word.string()?),
            argument => return Err(argument.unexpected().into()),
        }
    }
    let why = (loops.set_up)();
    match (tsc, words.as_slice()) {
        (true, []) => {
            println!("why {why}");
            for (name, work) in loops.loops {
                println!("{name} {:.2}", per_turn(work)?);
            }
        }
        (false, [times]) => {
            let times = times
                .parse()
                .with_context(|| format!("{times} is not a number"))?;
            for (_, work) in loops.loops {
                work(times);
            }
        }
        _ => bail!("{USAGE}"),
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rseq-slice-count: {error:#}");
            ExitCode::FAILURE
        }
    }
}
