// SPDX-License-Identifier: MIT OR Apache-2.0

//! `check --pid`, and `check` under a seccomp filter.

mod common;

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{self, Child, Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use common::{Came, run, tool};
use serde_json::Value;

/// A process that is killed at the end.
struct Subject(Child);

impl Subject {
    fn start(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().expect("it starts"))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    /// The letter of its state.
    fn state(&self) -> char {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let state = status
            .lines()
            .find_map(|line| line.strip_prefix("State:\t"));
        state.unwrap().chars().next().unwrap()
    }

    fn await_state(&self, states: &str) {
        let begin = Instant::now();
        while !states.contains(self.state()) {
            assert!(
                begin.elapsed() < Duration::from_secs(10),
                "it is {}",
                self.state()
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: The call takes two numbers.
        assert_eq!(unsafe { libc::kill(self.0.id() as i32, signal) }, 0);
    }

    fn check(&self) -> (Came, Value) {
        let came = run(&mut tool(["check", "--json", "--pid", &self.pid()]));
        let json = serde_json::from_str(&came.out).unwrap_or_default();
        (came, json)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sleeper() -> Subject {
    let subject = Subject::start(Command::new("sleep").arg("1000"));
    subject.await_state("S");
    subject
}

#[test]
fn a_process_is_looked_at_and_goes_on() {
    let subject = sleeper();
    let (came, json) = subject.check();
    assert_eq!(json["exit_status"], came.status, "{came:?}");
    assert_eq!(json["process"]["name"], "sleep");
    let threads = json["process"]["threads"].as_array().unwrap();
    assert_eq!(threads.len(), 1, "{json}");
    let counts = ["threads_on", "threads_total", "threads_unknown"];
    assert_eq!(
        counts.map(|name| &json["process"][name]),
        [0, 1, 0],
        "{json}"
    );
    assert_eq!(threads[0]["asked"], true, "{json}");
    assert_eq!(threads[0]["tid"].to_string(), subject.pid());
    // sleep(1) takes no locks.
    assert_ne!(came.status, 0, "{json}");
    subject.await_state("S");
    let area = &threads[0]["area"];
    assert!(
        area.is_null() || area["size"].as_u64() >= Some(32),
        "{json}"
    );
}

#[test]
fn a_stopped_process_stays_stopped() {
    let subject = sleeper();
    subject.signal(libc::SIGSTOP);
    subject.await_state("T");
    let (came, json) = subject.check();
    assert!(came.status <= 2, "{came:?}");
    assert_eq!(json["process"]["threads"][0]["asked"], true, "{json}");
    thread::sleep(Duration::from_millis(20));
    assert_eq!(subject.state(), 'T');
    subject.signal(libc::SIGCONT);
    subject.await_state("S");
}

#[test]
fn signals_of_the_process_are_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("count");
    // Each signal is acknowledged before the next one is sent, so none may be missing.
    let script = "n=0; trap 'n=$((n+1)); echo $n > \"$0.new\"; mv \"$0.new\" \"$0\"' USR1
        echo 0 > \"$0\"; while :; do :; done";
    let subject = Subject::start(Command::new("sh").args(["-c", script]).arg(&file));
    let count = || {
        fs::read_to_string(&file)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let reaches = |n: u32| {
        let begin = Instant::now();
        while count() != n.to_string() {
            assert!(
                begin.elapsed() < Duration::from_secs(20),
                "{} is not {n}",
                count()
            );
            thread::sleep(Duration::from_micros(100));
        }
    };
    reaches(0);
    thread::scope(|scope| {
        let checks = scope.spawn(|| (0..10).all(|_| subject.check().0.status <= 2));
        let mut sent = 0;
        while !checks.is_finished() {
            subject.signal(libc::SIGUSR1);
            sent += 1;
            reaches(sent);
        }
        assert!(checks.join().unwrap());
        assert!(sent > 0);
    });
    subject.await_state("R");
}

#[test]
fn all_threads_are_looked_at() {
    let end = Barrier::new(6);
    let came = thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| end.wait());
        }
        let came = run(&mut tool([
            "check",
            "--json",
            "--pid",
            &process::id().to_string(),
        ]));
        end.wait();
        came
    });
    let json: Value = serde_json::from_str(&came.out).expect(&came.err);
    let threads = json["process"]["threads"].as_array().unwrap();
    assert!(threads.len() >= 6, "{json}");
    assert!(
        threads.iter().all(|thread| thread["asked"] == true),
        "{json}"
    );
}

/// Ends the thread that it is called in.
extern "C" fn end_thread(_: i32) {
    // SAFETY: Nobody is interested in the frames of the thread any more.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Is set in the process in which `first_thread_ends` does that.
const ALONE: &str = "FIRST_THREAD_MAY_END";

/// What the next tests start, in a process of its own.
#[test]
#[ignore = "ends the first thread of its process"]
fn first_thread_ends() {
    if std::env::var_os(ALONE).is_none() {
        return;
    }
    let handler: extern "C" fn(i32) = end_thread;
    // SAFETY: The handler makes one system call.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    let first = process::id() as libc::c_long;
    // SAFETY: The call takes numbers.
    unsafe { libc::syscall(libc::SYS_tgkill, first, first, libc::SIGUSR1) };
    thread::sleep(Duration::from_secs(1000));
}

fn first_thread_ends_in_child() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--include-ignored", "--exact", "first_thread_ends"]);
    command
}

#[test]
fn the_ignored_test_ends_where_others_run() {
    let mut subject = Subject::start(first_thread_ends_in_child().env_remove(ALONE));
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = subject.0.try_wait().unwrap() {
            break status;
        }
        assert!(begin.elapsed() < Duration::from_secs(10), "it still runs");
        thread::sleep(Duration::from_millis(1));
    };
    assert!(status.success(), "{status}");
}

#[test]
fn a_first_thread_that_has_ended_hides_no_other() {
    let subject = Subject::start(first_thread_ends_in_child().env(ALONE, "1"));
    subject.await_state("Z");
    let (came, json) = subject.check();
    assert!(came.status <= 2, "{came:?}");
    let threads = json["process"]["threads"].as_array().unwrap();
    assert_eq!(threads.len(), 1, "{json}");
    assert_ne!(threads[0]["tid"].to_string(), subject.pid());
}

#[test]
fn no_process_is_66() {
    for pid in ["0", "4194305", "2147483647"] {
        let came = run(&mut tool(["check", "--pid", pid]));
        assert_eq!(came.status, 66, "{came:?}");
        assert!(came.err.contains(&format!("no process {pid}")), "{came:?}");
    }
}

/// A command that calls `before` first, in its process.
fn after(command: &mut Command, before: fn() -> io::Result<()>) -> &mut Command {
    // SAFETY: What the tests do there are system calls.
    unsafe { command.pre_exec(before) }
}

#[test]
fn a_traced_process_is_77() {
    let trace_me = || {
        // SAFETY: The call takes no pointers.
        let ret = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) };
        if ret == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    };
    let subject = Subject::start(after(Command::new("sleep").arg("1000"), trace_me));
    subject.await_state("t");
    let (came, _) = subject.check();
    assert_eq!(came.status, 77, "{came:?}");
    // SAFETY: The call takes no arguments.
    let tracer = unsafe { libc::gettid() };
    assert!(
        came.err.contains(&format!("traced by process {tracer}")),
        "{came:?}"
    );
}

/// Has the kernel answer prctl(79) with `action`.
fn filter(action: u32) -> io::Result<()> {
    let stmt = |code, k| libc::sock_filter {
        code,
        jt: 0,
        jf: 0,
        k,
    };
    let unless = |k, jf| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf,
        k,
    };
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let answer = (libc::BPF_RET | libc::BPF_K) as u16;
    let first_argument = if cfg!(target_endian = "big") { 20 } else { 16 };
    let mut program = [
        stmt(load, 0),
        unless(libc::SYS_prctl as u32, 3),
        stmt(load, first_argument),
        unless(79, 1),
        stmt(answer, action),
        stmt(answer, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: The call takes numbers.
    let ret = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    if ret != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The program lives through the call.
    let ret = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    if ret == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[test]
fn a_filter_is_the_cause_where_it_refuses() {
    let kills = || filter(libc::SECCOMP_RET_KILL_PROCESS);
    let refuses = || filter(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
    for before in [kills as fn() -> io::Result<()>, refuses] {
        let came = run(after(&mut tool(["check", "--json"]), before));
        let json: Value = serde_json::from_str(&came.out).expect(&came.err);
        assert_eq!(json["machine"]["seccomp"], 2, "{json}");
        // An own area needs no prctl(2).
        if json["machine"]["as_is"]["on"].is_null() {
            assert_eq!(
                (&json["cause"], came.status),
                (&"seccomp".into(), 2),
                "{json}"
            );
        }
        let also = json["also"].to_string();
        assert!(also.contains("getpid(2)"), "{json}");
    }
}
