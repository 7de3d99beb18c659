// SPDX-License-Identifier: GPL-2.0

//! Many threads, and threads of threads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use rseq_slice::{Area, begin, end, support};

use super::{start, start_bare};
use crate::competitor::{Competitor, at_rest, grants};
use crate::runner::{Case, Expect};
use crate::situation::Situation;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("threads", before_and_after_the_first),
        Case::new("thread_churn", ten_thousand).only(|situation| match situation.area {
            Area::TakenOver => Some(Expect::Passes),
            _ => None,
        }),
    ]
}

/// glibc registers an area for a thread if the thread that creates it has one.
fn before_and_after_the_first(situation: Situation) -> Result<()> {
    start_bare(situation)?;
    let _competitor = Competitor::start()?;
    let check = |expected: Area| {
        ensure!(
            support() == Ok(expected),
            "{:?}, not {expected:?}",
            support()
        );
        grants(3)
    };
    let child_of_taken = match situation.area {
        Area::TakenOver => Area::Own,
        area => area,
    };
    let (go, wait) = channel::<()>();
    let before = thread::spawn(move || {
        // A thread whose creator is not set up.
        let child = thread::spawn(move || check(situation.area));
        let result = child.join().map_err(|_| anyhow!("a thread panicked"))?;
        wait.recv()?;
        result.and_then(|()| check(situation.area))
    });
    check(situation.area)?;
    let after = thread::spawn(move || check(child_of_taken));
    after.join().map_err(|_| anyhow!("a thread panicked"))??;
    go.send(())?;
    before.join().map_err(|_| anyhow!("a thread panicked"))??;
    check(situation.area)
}

fn ten_thousand(situation: Situation) -> Result<()> {
    start(situation)?;
    let well = AtomicUsize::new(0);
    for _ in 0..500 {
        thread::scope(|scope| {
            for _ in 0..20 {
                scope.spawn(|| {
                    end(begin());
                    if support().is_ok() && at_rest().is_ok() {
                        well.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
    }
    let well = well.into_inner();
    ensure!(well == 10_000, "{well} of 10000 threads are well");
    Ok(())
}
