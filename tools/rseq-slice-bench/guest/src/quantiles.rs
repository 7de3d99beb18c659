// SPDX-License-Identifier: MIT OR Apache-2.0

//! Distributions.

use hdrhistogram::Histogram;
use rseq_slice_bench_record::Quantiles;

/// The quantiles to keep.
const STEPS: [f64; 12] = [
    0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9999, 1.0,
];

/// The quantiles of a histogram.
pub fn quantiles(histogram: &Histogram<u64>) -> Quantiles {
    Quantiles {
        count: histogram.len(),
        mean: histogram.mean(),
        points: STEPS
            .into_iter()
            .filter(|_| !histogram.is_empty())
            .map(|step| (step, histogram.value_at_quantile(step)))
            .collect(),
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
        let some = quantiles(&histogram);
        assert_eq!((some.count, some.max()), (1000, 1000));
        assert_eq!((some.at(0.5), some.at(0.99)), (Some(500), Some(990)));
        let none = quantiles(&Histogram::new(3).unwrap());
        assert_eq!((none.count, none.max()), (0, 0));
    }
}
