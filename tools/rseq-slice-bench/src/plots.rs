// SPDX-License-Identifier: MIT OR Apache-2.0

//! Pictures.

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::prelude::*;

/// Curves, one color each.
pub(crate) struct Plot {
    pub(crate) title: String,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    pub(crate) curves: Vec<Curve>,
}

/// One curve.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

const SIZE: (u32, u32) = (640, 400);
const COLORS: [RGBColor; 8] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0xe3, 0x77, 0xc2),
    RGBColor(0x7f, 0x7f, 0x7f),
];

impl Plot {
    /// An SVG element: x in powers of two, y from zero.
    pub(crate) fn powers_of_two(&self) -> Result<String> {
        let (min, max) = self.range(|point| point.0);
        let top = self.range(|point| point.1).1 * 1.05;
        let x = (min..max.max(min * 2.0)).log_scale().base(2.0);
        self.draw(x, 0.0..top.max(1e-9))
    }

    /// An SVG element: y in powers of ten.
    pub(crate) fn powers_of_ten(&self) -> Result<String> {
        let (left, right) = self.range(|point| point.0);
        let (bottom, top) = self.range(|point| point.1.max(1.0));
        let y = (bottom..top.max(bottom * 10.0)).log_scale();
        self.draw(left..right, y)
    }

    fn range(&self, of: impl Fn(&(f64, f64)) -> f64) -> (f64, f64) {
        let values = || self.curves.iter().flat_map(|curve| &curve.points).map(&of);
        let min = values().fold(f64::INFINITY, f64::min);
        (min, values().fold(f64::NEG_INFINITY, f64::max))
    }

    fn draw<X, Y>(&self, x: X, y: Y) -> Result<String>
    where
        X: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
        Y: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
        X::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let failed = |error: &dyn std::fmt::Display| anyhow!("{}: {error}", self.title);
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let mut chart = ChartBuilder::on(&root)
                .caption(&self.title, ("sans-serif", 16))
                .margin(8)
                .x_label_area_size(36)
                .y_label_area_size(60)
                .build_cartesian_2d(x, y)
                .map_err(|error| failed(&error))?;
            chart
                .configure_mesh()
                .x_desc(self.x)
                .y_desc(self.y)
                .x_label_formatter(&|x| x.to_string())
                .light_line_style(TRANSPARENT)
                .draw()
                .map_err(|error| failed(&error))?;
            for (curve, color) in self.curves.iter().zip(COLORS.iter().cycle()) {
                let points = || curve.points.iter().copied();
                chart
                    .draw_series(LineSeries::new(points(), color.stroke_width(2)))
                    .map_err(|error| failed(&error))?
                    .label(&curve.name)
                    .legend(|(x, y)| {
                        PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
                    });
                chart
                    .draw_series(points().map(|point| Circle::new(point, 3, color.filled())))
                    .map_err(|error| failed(&error))?;
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::MiddleRight)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.3))
                .draw()
                .map_err(|error| failed(&error))?;
            root.present().map_err(|error| failed(&error))?;
        }
        Ok(svg)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_holds_its_words_and_curves() {
        let plot = Plot {
            title: "throughput".into(),
            x: "threads",
            y: "M ops/s",
            curves: vec![
                Curve {
                    name: "C".into(),
                    points: vec![(1.0, 1.0), (64.0, 0.9)],
                },
                Curve {
                    name: "Rust".into(),
                    points: vec![(1.0, 1.1)],
                },
            ],
        };
        for svg in [plot.powers_of_two().unwrap(), plot.powers_of_ten().unwrap()] {
            assert!(svg.trim_start().starts_with("<svg") && svg.contains("polyline"));
            for word in ["throughput", "threads", "M ops/s", "Rust"] {
                assert!(svg.contains(word), "{word}");
            }
        }
    }
}
