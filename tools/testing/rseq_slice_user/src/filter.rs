// SPDX-License-Identifier: GPL-2.0

//! Seccomp filters that refuse one system call.

use std::mem::zeroed;
use std::ptr::null_mut;

use anyhow::{Result, ensure};

/// What the filter answers to the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// The error `EPERM`.
    Errno,
    /// `SIGSYS`, whose handler makes it the error `EPERM`.
    Trap,
    Kill,
}

pub(crate) const ACTIONS: [(&str, Action); 3] = [
    ("errno", Action::Errno),
    ("trap", Action::Trap),
    ("kill", Action::Kill),
];

/// Installs a filter for the calling thread and those that it creates.
pub(crate) fn refuse(call: libc::c_long, action: Action) -> Result<()> {
    let answer = match action {
        Action::Errno => libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        Action::Trap => libc::SECCOMP_RET_TRAP,
        Action::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    if action == Action::Trap {
        answer_eperm()?;
    }
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let (load, equal, answers) = (
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        (libc::BPF_RET | libc::BPF_K) as u16,
    );
    let mut steps = [
        // The number is the first field of what a filter sees.
        step(load, 0, 0, 0),
        step(equal, 0, 1, call as u32),
        step(answers, 0, 0, answer),
        step(answers, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: steps.len() as u16,
        filter: steps.as_mut_ptr(),
    };
    // SAFETY: The call takes no pointers.
    let result = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    ensure!(
        result == 0,
        "PR_SET_NO_NEW_PRIVS: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: The program is one, and is not used after the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            0,
            &raw const program,
        )
    };
    ensure!(result == 0, "seccomp: {}", std::io::Error::last_os_error());
    Ok(())
}

extern "C" fn on_trap(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context: *mut libc::ucontext_t = context.cast();
    // SAFETY: The kernel passes the context of what the signal has interrupted.
    let context = unsafe { &mut *context };
    context.uc_mcontext.gregs[libc::REG_RAX as usize] = -i64::from(libc::EPERM);
}

fn answer_eperm() -> Result<()> {
    // SAFETY: A structure of plain numbers, for which 0 is a value.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = on_trap as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: The handler only changes the context that it is passed.
    let result = unsafe { libc::sigaction(libc::SIGSYS, &action, null_mut()) };
    ensure!(
        result == 0,
        "sigaction: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}
