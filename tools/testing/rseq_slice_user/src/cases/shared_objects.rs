// SPDX-License-Identifier: GPL-2.0

//! Shared objects that are loaded while the program runs.

use std::fs;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use rseq_slice::{Area, Why, begin, end};

use super::start;
use crate::competitor::{Competitor, granted_in, grants};
use crate::object::Object;
use crate::runner::{Case, Expect};
use crate::situation::Situation;
use crate::table::number;

const CRATE: &str = "librseq_slice_user_object.so";
const HEADER: &str = "libheader-object.so";

pub(super) fn cases() -> Vec<Case> {
    fn dynamic(situation: Situation) -> Option<Expect> {
        (!situation.is_static()).then_some(Expect::Passes)
    }
    vec![
        Case::new("dlopen_crate", |situation| {
            loaded_and_closed(situation, CRATE)
        })
        .only(dynamic),
        Case::new("dlopen_header", |situation| {
            loaded_and_closed(situation, HEADER)
        })
        .only(dynamic),
        Case::new("two_copies_crate", |situation| two_copies(situation, CRATE)).only(dynamic),
        Case::new("two_copies_header", |situation| {
            two_copies(situation, HEADER)
        })
        .only(dynamic),
    ]
}

fn grants_in(object: Object, wanted: u32) -> Result<()> {
    granted_in(wanted, || Ok(object.section(1000)))
}

fn is_mapped(name: &str) -> Result<bool> {
    Ok(fs::read_to_string("/proc/self/maps")?.contains(name))
}

/// The kernel writes to the object's thread-local storage until the thread ends: closing the object
/// must not take it away. The program's own copy is not used.
fn loaded_and_closed(situation: Situation, name: &str) -> Result<()> {
    let _competitor = Competitor::start()?;
    let object = Object::open(name)?;
    let area = object.support(situation.take_over);
    ensure!(area == 100 + number(situation.area), "area or cause {area}");
    grants_in(object, 2)?;
    object.close()?;
    ensure!(is_mapped(name)?, "the object is gone");
    // Something else would now be where it was.
    drop((0..8).map(|_| vec![0xff_u8; 1 << 20]).collect::<Vec<_>>());
    grants_in(object, 2)?;
    let thread = thread::spawn(move || {
        ensure!(
            object.support(false) > 100,
            "cause {}",
            object.support(false)
        );
        grants_in(object, 2)
    });
    thread
        .join()
        .map_err(|_| anyhow!("the thread panicked"))??;
    let again = Object::open(name)?;
    grants_in(again, 2)?;
    again.close()
}

/// The C library's area is for both. Of an own one there is one in each thread.
fn two_copies(situation: Situation, name: &str) -> Result<()> {
    start(situation)?;
    let _competitor = Competitor::start()?;
    grants(1)?;
    let object = Object::open(name)?;
    let found = object.support(situation.take_over);
    let expected = match situation.area {
        Area::Libc => 101,
        _ => Why::ForeignArea.number().into(),
    };
    ensure!(
        found == expected,
        "the object's area or cause is {found}, not {expected}"
    );
    for _ in 0..100 {
        let token = begin();
        object.section(10);
        end(token);
    }
    grants(3)?;
    if situation.area == Area::Libc {
        grants_in(object, 3)?;
    }
    object.close()
}
