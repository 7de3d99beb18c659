// SPDX-License-Identifier: GPL-2.0

//! Children.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null_mut;

use anyhow::{Result, ensure};
use rseq_slice::{Token, begin, end, support};

use super::start;
use crate::competitor::{Competitor, at_rest, grants};
use crate::runner::{Case, output};
use crate::situation::Situation;
use crate::table::number;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("fork", |situation| fork(situation, true)),
        Case::new("fork_before_set_up", |situation| fork(situation, false)),
        Case::new("vfork", vfork),
        Case::new("spawn_in_a_section", |situation| spawn(situation, false)),
        Case::new("exec_in_a_section", |situation| spawn(situation, true)),
    ]
}

/// Waits for a child; its exit status has to be 0.
fn ends_well(pid: libc::pid_t) -> Result<()> {
    let mut status = 0;
    // SAFETY: The status is written to a variable.
    let result = unsafe { libc::waitpid(pid, &mut status, 0) };
    ensure!(
        result == pid && status == 0,
        "the child ended with status {status:#x}"
    );
    Ok(())
}

fn fork(situation: Situation, set_up: bool) -> Result<()> {
    start(situation)?;
    let _competitor = Competitor::start()?;
    if set_up {
        grants(1)?;
    }
    let token = if set_up { begin() } else { Token::NONE };
    // SAFETY: There is one thread.
    let pid = unsafe { libc::fork() };
    ensure!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    end(token);
    at_rest()?;
    ensure!(support() == Ok(situation.area), "{:?}", support());
    let result = grants(3);
    if pid == 0 {
        // SAFETY: The call ends the process.
        unsafe { libc::_exit(i32::from(result.is_err())) };
    }
    ends_well(pid)?;
    result?;
    grants(3)
}

extern "C" fn sections(_: *mut libc::c_void) -> i32 {
    for _ in 0..100 {
        let outer = begin();
        end(begin());
        end(outer);
    }
    0
}

/// The child has the parent's memory, thread-local storage included, and no area.
fn vfork(situation: Situation) -> Result<()> {
    start(situation)?;
    let _competitor = Competitor::start()?;
    grants(1)?;
    let mut stack = vec![0_u8; 65536];
    let top = stack.as_mut_ptr_range().end;
    let token = begin();
    // SAFETY: The child runs `sections` on a stack of its own, while this thread waits.
    let pid = unsafe {
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        libc::clone(sections, top.cast(), flags, null_mut())
    };
    end(token);
    ensure!(pid > 0, "clone: {}", std::io::Error::last_os_error());
    at_rest()?;
    ends_well(pid)?;
    grants(3)
}

/// A program that is started inside a section of its creator, or of its own process before it was
/// executed.
fn spawn(situation: Situation, in_child: bool) -> Result<()> {
    start(situation)?;
    let _competitor = Competitor::start()?;
    grants(1)?;
    let mut command: Command = situation.command();
    command.arg("cause");
    if situation.take_over {
        command.arg("take-over");
    }
    if in_child {
        // SAFETY: Beginning a section is allowed in the child of a fork.
        unsafe {
            command.pre_exec(|| {
                let _ = begin();
                Ok(())
            });
        }
    }
    let token = begin();
    let output = output(&mut command);
    end(token);
    let said = String::from_utf8(output?.stdout)?;
    let expected = format!("area {}", number(situation.area));
    ensure!(
        said.trim_end() == expected,
        "it prints {said:?}, not {expected:?}"
    );
    at_rest()?;
    grants(3)
}
