// SPDX-License-Identifier: GPL-2.0

//! Distributions.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The quantiles to keep.
const STEPS: [f64; 12] = [
    0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0,
];

/// A distribution by some of its quantiles.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Values behind them.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: f64,
    /// The share of the values, and the value that so many do not exceed.
    pub points: Vec<(f64, u64)>,
}

impl Quantiles {
    /// Those of a histogram.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        Self {
            count: histogram.len(),
            mean: histogram.mean(),
            points: STEPS
                .into_iter()
                .filter(|_| !histogram.is_empty())
                .map(|step| (step, histogram.value_at_quantile(step)))
                .collect(),
        }
    }

    /// The value that the share `step` of all does not exceed, if that is among the points.
    pub fn at(&self, step: f64) -> Option<u64> {
        self.points
            .iter()
            .find(|point| point.0 == step)
            .map(|point| point.1)
    }

    /// The largest value; 0 if there is none.
    pub fn max(&self) -> u64 {
        self.at(1.0).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_a_histogram() {
        let mut histogram = Histogram::new(3).unwrap();
        for value in 1..=1000 {
            histogram.record(value).unwrap();
        }
        let quantiles = Quantiles::of(&histogram);
        assert_eq!((quantiles.count, quantiles.max()), (1000, 1000));
        assert_eq!(
            (quantiles.at(0.5), quantiles.at(0.99)),
            (Some(500), Some(990))
        );
        assert_eq!(quantiles.at(0.42), None);
        let empty = Quantiles::of(&Histogram::new(3).unwrap());
        assert_eq!((empty.count, empty.max()), (0, 0));
    }
}
