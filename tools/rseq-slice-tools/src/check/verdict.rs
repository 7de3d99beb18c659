// SPDX-License-Identifier: MIT OR Apache-2.0

//! The verdict on the facts.

use rseq_slice::abi::LEGACY_LEN;
use rseq_slice_debugfs::Implementation;
use serde::Serialize;

use super::cause::{Cause, Cure, Status, TAKE_OVER};
use super::facts::{Facts, tunable_off};
use super::probe::{Probe, Reason, Serves};
use super::proof::Proof;

/// The answer, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Verdict {
    pub(crate) status: Status,
    pub(crate) exit_status: u8,
    pub(crate) cause: Option<Cause>,
    pub(crate) says: String,
    /// What to do: one of these.
    pub(crate) cures: Vec<Remedy>,
    /// What else is worth knowing.
    pub(crate) also: Vec<String>,
}

/// What to do, and a remark, which may be empty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Remedy {
    pub(crate) cure: String,
    pub(crate) remark: String,
}

impl From<&Cure> for Remedy {
    fn from(&Cure(cure, remark): &Cure) -> Self {
        Self {
            cure: cure.to_owned(),
            remark: remark.to_owned(),
        }
    }
}

impl Verdict {
    pub(crate) fn works(says: String, also: Vec<String>) -> Self {
        Self {
            status: Status::Works,
            exit_status: Status::Works.exit(),
            cause: None,
            says,
            cures: Vec::new(),
            also,
        }
    }

    pub(crate) fn caused(cause: Cause, facts: &Facts, also: Vec<String>) -> Self {
        let status = cause.status();
        Self {
            status,
            exit_status: status.exit(),
            cause: Some(cause),
            says: cause.says(facts),
            cures: cause.cures().iter().map(Remedy::from).collect(),
            also,
        }
    }
}

/// The verdict on this machine, for programs with this one's C library.
pub(crate) fn decide(facts: &Facts) -> Verdict {
    let also = also(facts);
    match cause(facts) {
        Ok(proof) => Verdict::works(worked(&proof, facts), also),
        Err(cause) => {
            let mut verdict = Verdict::caused(cause, facts, also);
            let tried = facts.taken_over.as_ref().map(|probe| tried(probe, facts));
            for remedy in &mut verdict.cures {
                if let (TAKE_OVER, Some(tried)) = (remedy.cure.as_str(), &tried) {
                    remedy.remark.clone_from(tried);
                }
            }
            if let (Cause::NeverGranted, Some(lost)) = (cause, lost(facts)) {
                verdict.also.push(lost);
            }
            verdict
        }
    }
}

/// What was granted, if the thread could end none of it.
fn lost(facts: &Facts) -> Option<String> {
    match decisive(facts) {
        Probe::On {
            proof: Some(proof), ..
        } if proof.granted > 0 => Some(format!(
            "{} grants were live when a section ended, but were over before the thread could end them",
            proof.granted
        )),
        _ => None,
    }
}

/// The probe that decides: the second one if there is a legacy area, else the first.
fn decisive(facts: &Facts) -> &Probe {
    facts.taken_over.as_ref().unwrap_or(&facts.as_is)
}

/// The one cause, or the proof that there is none.
pub(crate) fn cause(facts: &Facts) -> Result<Proof, Cause> {
    let cause = probed(&facts.as_is, facts);
    match (cause, &facts.taken_over) {
        (Err(Cause::LegacyArea), Some(probe)) => match probed(probe, facts) {
            // It works only with the take-over.
            Ok(_) => Err(Cause::LegacyArea),
            Err(cause) => Err(cause),
        },
        (Ok(_), _) if facts.switched_off => Err(Cause::SwitchedOff),
        (cause, _) => cause,
    }
}

fn probed(probe: &Probe, facts: &Facts) -> Result<Proof, Cause> {
    let filtered = facts.seccomp.is_some_and(|mode| mode != 0);
    match *probe {
        Probe::On {
            proof: Some(proof), ..
        } if proof.ended_by_thread > 0 => Ok(proof),
        Probe::On { .. } if facts.coarse_timers => Err(Cause::CoarseTimers),
        Probe::On { .. } => Err(Cause::NeverGranted),
        Probe::Killed { .. } => Err(Cause::Seccomp),
        Probe::Off {
            reason: Reason::NoRseq,
        } if filtered && facts.kernel.has_rseq => Err(Cause::Seccomp),
        Probe::Off {
            reason: Reason::Refused(_),
        } if filtered => Err(Cause::Seccomp),
        Probe::Off { reason } => Err(reason.into()),
    }
}

fn worked(proof: &Proof, facts: &Facts) -> String {
    let length = facts.kernel.extension_ns;
    let length = length.map(|ns| format!(", at most {} us each", f64::from(ns) / 1e3));
    format!(
        "{} extensions granted and ended by the thread in {:.3} s on CPU {}{}",
        proof.ended_by_thread,
        proof.seconds,
        proof.cpu,
        length.unwrap_or_default()
    )
}

/// How the take-over went.
fn tried(probe: &Probe, facts: &Facts) -> String {
    match probed(probe, facts) {
        Ok(proof) => format!(
            "tried just now: works, {} extensions ended by the thread in {:.3} s",
            proof.ended_by_thread, proof.seconds
        ),
        Err(cause) => format!("tried just now: {}", cause.says(facts)),
    }
}

fn also(facts: &Facts) -> Vec<String> {
    let mut also = Vec::new();
    match facts.seccomp {
        None | Some(0) => {}
        Some(_) => also.push(
            "a seccomp filter is installed: programs here end grants by getpid(2) instead of rseq_slice_yield(2)"
                .to_owned(),
        ),
    }
    let on = matches!(decisive(facts), Probe::On { .. });
    if facts.coarse_timers && on && cause(facts) != Err(Cause::CoarseTimers) {
        also.push(
            "high-resolution timers are not active: a grant that the thread does not end lasts until the next tick"
                .to_owned(),
        );
    }
    let named = matches!(cause(facts), Err(Cause::LegacyArea | Cause::Tcmalloc));
    if facts.taken_over.is_some() && !named {
        also.push(format!(
            "{} registers a 32-byte area, which programs have to take over: rseq-slice run --take-over",
            facts.libc.name
        ));
    }
    also
}

/// The kernel, in words.
pub(crate) fn kernel(facts: &Facts) -> String {
    let implementation = match facts.kernel.implementation {
        Some(Implementation::Rust) => ", implementation in Rust",
        Some(Implementation::C) => ", implementation in C",
        None => "",
    };
    format!("Linux {}{implementation}", facts.kernel.release)
}

/// The C library and its area, in words.
pub(crate) fn libc(facts: &Facts) -> String {
    let name = &facts.libc.name;
    let legacy = Probe::Off {
        reason: Reason::LegacyArea,
    };
    match (facts.libc.area, &facts.as_is) {
        (Some(area), _) if area.size != 0 => format!(
            "{name} registers an area of {} bytes, at {:+} from the thread pointer",
            area.size.max(LEGACY_LEN),
            area.offset
        ),
        (
            None,
            Probe::On {
                area: Serves::Libc, ..
            },
        ) => format!("{name} registers an area that is long enough"),
        (None, probe) if *probe == legacy => format!("{name} registers an area of 32 bytes"),
        (Some(_), _) if tunable_off() => {
            format!("{name} registers no area, as GLIBC_TUNABLES has it")
        }
        (
            _,
            Probe::On {
                area: Serves::Own, ..
            },
        )
        | (Some(_), _) => format!("{name} registers no area"),
        (None, _) => name.clone(),
    }
}
