// SPDX-License-Identifier: MIT OR Apache-2.0

//! Distributions.

use serde::{Deserialize, Serialize};

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
    fn points_are_found_by_their_share() {
        let quantiles = Quantiles {
            count: 1000,
            mean: 500.5,
            points: vec![(0.5, 500), (1.0, 1000)],
        };
        assert_eq!((quantiles.at(0.5), quantiles.at(0.42)), (Some(500), None));
        assert_eq!(quantiles.max(), 1000);
        assert_eq!(Quantiles::default().max(), 0);
    }
}
