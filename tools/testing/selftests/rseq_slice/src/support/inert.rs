// SPDX-License-Identifier: GPL-2.0

//! What an area is to a kernel that has the extension switched off, or not at all.

use anyhow::Result;
use rseq_slice_harness::abi::RSEQ_FLAG_SLICE_EXT_DEFAULT_ON;
use rseq_slice_harness::{Layout, Registration};

use super::competitor::Competitor;
use super::setup::{CPU, be_on, request_word};
use crate::check::check;
use crate::env::Env;

/// Registers with and without `RSEQ_FLAG_SLICE_EXT_DEFAULT_ON`, and expects the flags to stay zero.
pub(crate) fn ensure_flags_stay_zero() -> Result<()> {
    for flags in [0, RSEQ_FLAG_SLICE_EXT_DEFAULT_ON] {
        let registration = Registration::with_flags(flags)?;
        check!(registration.area().flags() == 0);
        registration.unregister()?;
    }
    Ok(())
}

/// Expects a request to be no more than a word in the thread's memory, even while it is scheduled out.
pub(crate) fn ensure_words_stay(env: Env) -> Result<()> {
    be_on(env, CPU)?;
    let competitor = Competitor::new(env, CPU)?;
    let registration = Registration::with_flags(RSEQ_FLAG_SLICE_EXT_DEFAULT_ON)?;
    let area = registration.area();
    for word in [request_word(Layout::Bytes), request_word(Layout::Bits), !0] {
        let runs = competitor.runs();
        competitor.wake_soon()?;
        area.set_slice_ctrl(word);
        competitor.ensure_runs(runs + 1)?;
        let now = area.slice_ctrl();
        check!(now == word, "{word:#x} became {now:#x}");
    }
    Ok(())
}
