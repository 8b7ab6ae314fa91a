//! A chart of the SDK compared with the floor: one row per scenario, the spread of its rounds as a line.

use std::fmt::Write;

use wxpay_benchmarks::figures::{Figures, Turns};
use wxpay_benchmarks::percentile::Spread;

use crate::chart::svg;
use crate::tables::medians;

const TOP: u32 = 76;
const ROW: u32 = 20;
const COLUMNS: [(&str, f64); 2] =
    [("processor time for a call: SDK / floor", 190.0), ("calls a second: SDK / floor", 535.0)];
const COLUMN_WIDTH: f64 = 300.0;

pub(crate) fn draw(all: &[Turns]) -> String {
    let height = TOP + ROW * u32::try_from(all.len()).unwrap_or(0) + 16;
    let mut content = String::new();
    for (column, (name, left)) in COLUMNS.into_iter().enumerate() {
        let ratio = |turns: &Turns| {
            let [_, _, ratio] = match column {
                0 => medians(turns, Figures::cpu_per_1000),
                _ => medians(turns, Figures::calls_per_second),
            };
            ratio
        };
        let scale = Scale::of(all.iter().map(ratio), left);
        let _ = writeln!(content, r#"<text x="{left}" y="50">{name}</text>"#);
        for tick in scale.ticks() {
            let x = scale.x(tick);
            let class = if (tick - 1.0).abs() < 1e-9 { "one" } else { "rule" };
            let _ = writeln!(
                content,
                r#"<line class="{class}" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{}"/><text class="faint" x="{x:.1}" y="68" text-anchor="middle">{tick:.1}</text>"#,
                height - 12
            );
        }
        for (row, turns) in (0..).zip(all) {
            let Spread { median, min, max } = ratio(turns);
            let [median, min, max] = [median, min, max].map(|ratio| scale.x(ratio));
            let y = TOP + ROW * row + 11;
            let _ = writeln!(
                content,
                r#"<line class="sdk" x1="{min:.1}" x2="{max:.1}" y1="{y}" y2="{y}" stroke-width="2"/><circle class="sdk" cx="{median:.1}" cy="{y}" r="4"/>"#
            );
        }
    }
    for (row, turns) in (0..).zip(all) {
        let what = &turns.scenario;
        let _ = writeln!(
            content,
            r#"<text x="16" y="{}">{}, {}, {}</text>"#,
            TOP + ROW * row + 15,
            what.over,
            what.signing,
            what.callers
        );
    }
    let title = "The SDK beside bare hyper and bare RSA (1 is as good; over, signing, callers)";
    svg(title, height, &content)
}

struct Scale {
    low: f64,
    high: f64,
    left: f64,
}

impl Scale {
    /// Returns a range that includes all values and 1, in tenths.
    fn of(values: impl Iterator<Item = Spread>, left: f64) -> Self {
        let (mut low, mut high) = (1.0_f64, 1.0_f64);
        for value in values.filter(|value| value.min.is_finite() && value.max.is_finite()) {
            (low, high) = (low.min(value.min), high.max(value.max));
        }
        let (low, high) = ((low * 10.0 - 0.5).floor() / 10.0, (high * 10.0 + 0.5).ceil() / 10.0);
        Self { low, high, left }
    }

    fn x(&self, value: f64) -> f64 {
        self.left + (value - self.low) / (self.high - self.low) * COLUMN_WIDTH
    }

    /// Returns ticks in tenths, thinned out to fit; 1 is always included.
    fn ticks(&self) -> Vec<f64> {
        let tenths = ((self.high - self.low) * 10.0).round();
        let every = [1.0, 2.0, 5.0, 10.0].into_iter().find(|every| tenths / every <= 8.0);
        let every = every.unwrap_or(tenths);
        let first = (self.low * 10.0 / every - 1e-9).ceil();
        let ticks = (0..=8).map(|tick| (first + f64::from(tick)) * every / 10.0);
        ticks.filter(|tick| *tick <= self.high + 1e-9).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_marked_on_every_scale() {
        for (min, max) in [(0.97, 1.04), (0.66, 1.73), (0.36, 1.62), (1.02, 4.4)] {
            let scale = Scale::of([Spread { median: 1.0, min, max }].into_iter(), 0.0);
            let ticks = scale.ticks();
            assert!(ticks.iter().any(|tick| (tick - 1.0).abs() < 1e-9), "{ticks:?}");
            assert!(ticks.iter().all(|tick| (0.0..=COLUMN_WIDTH).contains(&scale.x(*tick))));
        }
    }
}
