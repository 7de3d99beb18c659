// SPDX-License-Identifier: MIT OR Apache-2.0

//! What `scripts/apps` has measured with whole programs.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::kernels::Kernel;

/// Whether the program had extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Variant {
    Off,
    On,
}

/// Medians over the seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    pub(crate) variant: Variant,
    pub(crate) threads: f64,
    /// Operations in a second.
    pub(crate) rate: f64,
    /// The 99th percentile and the longest of the answers.
    pub(crate) p99_us: Option<f64>,
    pub(crate) longest_us: Option<f64>,
    pub(crate) granted: f64,
    pub(crate) expired: f64,
    pub(crate) revoked: f64,
    pub(crate) yielded: f64,
    pub(crate) aborted: f64,
}

/// The points of each demo.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Demos(pub(crate) BTreeMap<String, Vec<Point>>);

impl Demos {
    /// Each demo and number of threads, without and with extensions.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &Point, &Point)> {
        self.0.iter().flat_map(|(name, points)| {
            let of = |wanted| points.iter().filter(move |point| point.variant == wanted);
            of(Variant::Off).filter_map(move |off| {
                let on = of(Variant::On).find(|on| on.threads == off.threads)?;
                Some((name.as_str(), off, on))
            })
        })
    }
}

/// What is there below `out`.
pub(crate) fn read(out: &Path) -> Result<BTreeMap<Kernel, Demos>> {
    let mut found = BTreeMap::new();
    for (kernel, folder) in [(Kernel::C, "apps-c"), (Kernel::Rust, "apps")] {
        let file = out.join(folder).join("results.json");
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            text => text.with_context(|| file.display().to_string())?,
        };
        let demos = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
        found.insert(kernel, demos);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `scripts/apps.d/judge` writes it.
    pub(crate) const RESULTS: &str = r#"{"server": [
        {"threads": 1, "variant": "off", "cpus": 1, "operations": 2, "ns": 8.5, "granted": 0, "expired": 0,
         "revoked": 0, "yielded": 0, "aborted": 0, "rate": 2000.0, "p99_us": 3000, "longest_us": 4000,
         "rates": [2000.0], "ended": 0.0},
        {"threads": 1, "variant": "on", "granted": 9, "expired": 1, "revoked": 2, "yielded": 4.5,
         "aborted": 2, "rate": 3000.0, "p99_us": 1500, "longest_us": 2000, "rates": [3000.0], "ended": 0.7},
        {"threads": 2, "variant": "off", "granted": 0, "expired": 0, "revoked": 0, "yielded": 0,
         "aborted": 0, "rate": 1.0, "rates": [1.0], "ended": 0.0}]}"#;

    #[test]
    fn points_are_paired() {
        let demos: Demos = serde_json::from_str(RESULTS).unwrap();
        let pairs: Vec<_> = demos.pairs().collect();
        let [("server", off, on)] = pairs[..] else {
            panic!("{pairs:?}");
        };
        assert_eq!((off.rate, on.rate), (2000.0, 3000.0));
        assert_eq!((on.yielded, on.p99_us), (4.5, Some(1500.0)));
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        assert_eq!(read(Path::new("/no/such/folder")).unwrap(), BTreeMap::new());
    }
}
