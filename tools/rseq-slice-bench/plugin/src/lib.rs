// SPDX-License-Identifier: MIT OR Apache-2.0

//! A TCG plugin for QEMU: counts the instructions that CPU 0 executes in each kernel function, and
//! the calls of it, inside the windows that a guest program opens and closes with marks.
//!
//! Arguments: `functions=FILE` names a list of `START END NAME`, hexadecimal and sorted, and
//! `out=FILE` what to write, and `stack=INDEX` one of the functions. Each window becomes a line
//! `GROUP TOTAL STACK INDEX:INSTRUCTIONS:CALLS ...`, in which GROUP counts the marks between groups,
//! TOTAL all instructions of the window, and INDEX the lines of the list. STACK is the largest
//! number of bytes in use of the kernel stack on which the function `stack` runs.

mod api;
mod windows;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::BufWriter;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rseq_slice_bench_record::mark::{self, Mark};

use crate::windows::{FunctionList, Windows};

struct State {
    functions: FunctionList,
    windows: Windows<BufWriter<File>>,
}

/// Whether a window is open, to be asked before the lock is taken: most of the time none is.
static OPEN: AtomicBool = AtomicBool::new(false);

static STATE: Mutex<Option<State>> = Mutex::new(None);

/// Runs `f` on the state. After a failure to write there is none.
fn with_state(f: impl FnOnce(&mut State) -> std::io::Result<()>) {
    // A panic would have ended QEMU.
    let mut guard = STATE.lock().expect("nobody panics");
    if let Some(state) = guard.as_mut() {
        if let Err(error) = f(state) {
            eprintln!("rseq-slice-bench-plugin: {error}");
            *guard = None;
        }
    }
}

/// What a callback is told about its instruction: a mark, or where it is.
#[derive(Clone, Copy)]
enum Place {
    Mark(Mark),
    Function { index: usize, entry: bool },
    Elsewhere,
}

impl Place {
    fn to_userdata(self) -> *mut c_void {
        let word = match self {
            Self::Elsewhere => 0,
            Self::Mark(Mark::Begin) => 1,
            Self::Mark(Mark::End) => 2,
            Self::Mark(Mark::Next) => 3,
            Self::Function { index, entry } => 4 + index * 2 + usize::from(entry),
        };
        std::ptr::without_provenance_mut(word)
    }

    fn from_userdata(userdata: *mut c_void) -> Self {
        match userdata.addr() {
            0 => Self::Elsewhere,
            1 => Self::Mark(Mark::Begin),
            2 => Self::Mark(Mark::End),
            3 => Self::Mark(Mark::Next),
            word => Self::Function {
                index: (word - 4) / 2,
                entry: word % 2 == 1,
            },
        }
    }
}

extern "C" fn translated(_id: u64, block: *mut c_void) {
    with_state(|state| {
        for instruction in api::instructions(block) {
            let place = match instruction.bytes::<{ mark::LEN }>() {
                Some(bytes) if Mark::decode(&bytes).is_some() => {
                    Mark::decode(&bytes).map_or(Place::Elsewhere, Place::Mark)
                }
                _ => match state.functions.find(instruction.address()) {
                    Some((index, entry)) => Place::Function { index, entry },
                    None => Place::Elsewhere,
                },
            };
            instruction.call_before(executed, place.to_userdata());
            if let Place::Function { .. } = place {
                instruction.call_on_store(stored, place.to_userdata());
            }
        }
        Ok(())
    });
}

extern "C" fn executed(cpu: c_uint, userdata: *mut c_void) {
    let place = Place::from_userdata(userdata);
    if cpu != 0 || !(matches!(place, Place::Mark(_)) || OPEN.load(Ordering::Relaxed)) {
        return;
    }
    with_state(|State { windows, .. }| {
        match place {
            Place::Mark(mark) => {
                OPEN.store(mark == Mark::Begin, Ordering::Relaxed);
                return windows.mark(mark);
            }
            Place::Function { index, entry } => windows.count(Some((index, entry))),
            Place::Elsewhere => windows.count(None),
        }
        Ok(())
    });
}

extern "C" fn stored(cpu: c_uint, _info: u32, address: u64, userdata: *mut c_void) {
    if cpu != 0 || !OPEN.load(Ordering::Relaxed) {
        return;
    }
    with_state(|State { windows, .. }| {
        if let Place::Function { index, .. } = Place::from_userdata(userdata) {
            windows.store(index, address);
        }
        Ok(())
    });
}

extern "C" fn at_exit(_id: u64, _userdata: *mut c_void) {
    with_state(|state| state.windows.flush());
}

fn open(args: &[&str]) -> Result<State, String> {
    let value = |key: &str| {
        args.iter()
            .find_map(|arg| arg.strip_prefix(key)?.strip_prefix('='))
            .ok_or(format!("{key}= is missing"))
    };
    let (list, out) = (value("functions")?, value("out")?);
    let text = std::fs::read_to_string(list).map_err(|error| format!("{list}: {error}"))?;
    let functions = FunctionList::parse(&text).map_err(|line| format!("{list}: {line}"))?;
    let out = File::create(out).map_err(|error| format!("{out}: {error}"))?;
    let stack = value("stack")?
        .parse()
        .map_err(|_| "stack=INDEX: not a number")?;
    let windows = Windows::new(functions.len(), stack, BufWriter::new(out));
    Ok(State { functions, windows })
}

/// QEMU's entry to the plugin.
///
/// # Safety
///
/// For QEMU to call: `argv` holds `argc` strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    let args: Vec<&str> = (0..usize::try_from(argc).unwrap_or(0))
        .filter_map(|i| {
            // SAFETY: `i` is less than `argc`.
            let place = unsafe { argv.add(i) };
            // SAFETY: `argv` holds `argc` strings, and `i` is less than `argc`.
            let arg = unsafe { *place };
            // SAFETY: QEMU passes strings, which live through this call.
            unsafe { CStr::from_ptr(arg) }.to_str().ok()
        })
        .collect();
    match open(&args) {
        Ok(state) => *STATE.lock().expect("nobody panics") = Some(state),
        Err(error) => {
            eprintln!("rseq-slice-bench-plugin: {error}");
            return 1;
        }
    }
    api::register(id, translated, at_exit);
    0
}
