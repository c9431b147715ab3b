//! Two stacked rates over time, in braille: first tries below, retries on top; or one ratio. A hole in the data is a hole
//! in the chart.
//!
//! ```text
//!  120 ┤            ⣀⣤⣶⣿⣿⣿⣷⣶⣤
//!   60 ┤      ⣀⣀⣤⣶⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣶
//!    0 ┤⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪⡪
//!      15 min                now
//! ```
//! First tries are dotted and retries are solid, so that the two are told apart without colour.

use chrono::{DateTime, TimeDelta, Utc};
use ratatui::{buffer::Buffer, layout::Rect};

use super::text::{number, percent, right, width};
use crate::tui::theme::Look;

/// One point: when, first tries and retries per second; `None` is a hole.
pub type Point = (DateTime<Utc>, Option<(f64, f64)>);

/// Bits of a braille cell by row from the top, left and right.
const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/// What a chart's height stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Something per second, from 0 to a round number above the highest. A slot shows the highest point in it.
    PerSecond,
    /// Times something, from 1 to a round number above the highest. A slot shows the mean, which is never nothing.
    Times,
    /// A share of all, from 0 to all. A slot shows the mean, which is never nothing.
    Share,
}

/// A chart of the last `range` before `now`.
pub struct Chart<'a> {
    /// Oldest first.
    pub points: &'a [Point],
    /// The right edge.
    pub now: DateTime<Utc>,
    /// From the left edge to the right one.
    pub range: TimeDelta,
    /// What its height stands for.
    pub scale: Scale,
    /// How it looks.
    pub look: Look,
}

impl Chart<'_> {
    /// Draws it; needs 3 rows and 12 columns to draw anything.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect) {
        if area.height < 3 || area.width < 12 {
            return;
        }
        let plot_rows = usize::from(area.height - 1);
        let (floor, top) = self.ends();
        let label = |value| self.scale.label(value);
        let half = (floor + top) / 2.0;
        let axis = [floor, half, top].map(|value| width(&label(value))).into_iter().fold(3, usize::max);
        let plot = Rect::new(area.x + axis as u16 + 2, area.y, area.width - axis as u16 - 2, area.height - 1);
        for row in 0..plot_rows {
            let text = match row {
                0 => label(top),
                r if r == plot_rows - 1 => label(floor),
                // Only a row that stands exactly in the middle can be labelled with the half.
                r if plot_rows >= 5 && r * 2 == plot_rows - 1 => label(half),
                _ => String::new(),
            };
            let y = area.y + row as u16;
            let line = format!("{} ┤", right(&text, axis));
            buffer.set_stringn(area.x, y, line, axis + 2, self.look.dim());
        }
        self.draw_time(buffer, plot, area.bottom() - 1);
        for column in 0..usize::from(plot.width) {
            self.draw_column(buffer, plot, column, (floor, top));
        }
    }

    /// The lowest and the highest value there is room for.
    fn ends(&self) -> (f64, f64) {
        let sums = self.points.iter().filter_map(|(_, p)| *p).map(|(f, r)| f + r);
        let peak = sums.filter(|sum| sum.is_finite()).fold(0.0, f64::max);
        match self.scale {
            Scale::PerSecond => (0.0, nice(peak)),
            Scale::Times => (1.0, nice(peak.max(2.0))),
            Scale::Share => (0.0, 1.0),
        }
    }

    fn draw_time(&self, buffer: &mut Buffer, plot: Rect, y: u16) {
        let begin = format!("{} min ago", self.range.num_minutes());
        buffer.set_stringn(plot.x, y, &begin, usize::from(plot.width), self.look.dim());
        if usize::from(plot.width) > width(&begin) + 5 {
            buffer.set_stringn(plot.right() - 3, y, "now", 3, self.look.dim());
        }
    }

    fn draw_column(&self, buffer: &mut Buffer, plot: Rect, column: usize, (floor, top): (f64, f64)) {
        let rows = usize::from(plot.height);
        let dots = rows * 4;
        let halves = [0, 1].map(|half| {
            self.at(column * 2 + half, usize::from(plot.width) * 2).map(|(first, retries)| {
                let share = |value: f64| (value - floor) / (top - floor);
                let height = |value: f64| ((share(value) * dots as f64).round() as usize).min(dots);
                let first_dots = if first > 0.0 { height(first).max(1) } else { 0 };
                let some = retries > 0.0 || self.scale != Scale::PerSecond;
                let all = height(first + retries).max(first_dots + usize::from(some)).min(dots);
                (first_dots, all)
            })
        });
        for row in 0..rows {
            let (mut bits, mut solid, mut dotted) = (0, 0, 0);
            for (half, heights) in halves.iter().enumerate() {
                let Some((first, all)) = *heights else { continue };
                for (line, row_bits) in DOTS.iter().enumerate() {
                    let from_bottom = dots - 1 - (row * 4 + line);
                    if from_bottom < first {
                        dotted += 1;
                        if (from_bottom + half) % 2 == 0 {
                            bits |= row_bits[half];
                        }
                    } else if from_bottom < all {
                        solid += 1;
                        bits |= row_bits[half];
                    }
                }
            }
            if bits == 0 {
                continue;
            }
            let style = if solid >= dotted { self.look.retry() } else { self.look.first() };
            let symbol = char::from_u32(0x2800 + bits).unwrap_or(' ');
            if let Some(cell) = buffer.cell_mut((plot.x + column as u16, plot.y + row as u16)) {
                cell.set_char(symbol).set_style(style);
            }
        }
    }

    /// What one of `columns` slots shows of the points in it, else the one before while it still speaks for it.
    fn at(&self, column: usize, columns: usize) -> Option<(f64, f64)> {
        let range = self.range.num_milliseconds() as f64;
        let begin = self.now - self.range;
        let time =
            |slot: usize| begin + TimeDelta::milliseconds((range * slot as f64 / columns as f64) as i64);
        let (from, to) = (time(column), time(column + 1));
        let after = self.points.partition_point(|(at, _)| *at < to);
        let known = &self.points[..after];
        let inside = &known[known.partition_point(|(at, _)| *at < from)..];
        if inside.is_empty() {
            let (at, value) = known.last()?;
            return (from - *at <= self.speaks_for()).then_some(*value)?;
        }
        let known = inside.iter().filter_map(|(_, value)| *value);
        match self.scale {
            Scale::PerSecond => known.max_by(|a, b| (a.0 + a.1).total_cmp(&(b.0 + b.1))),
            Scale::Times | Scale::Share => {
                let (sum, count) = known.fold((0.0, 0_u32), |(sum, n), (f, r)| (sum + f + r, n + 1));
                (count > 0).then(|| (0.0, sum / f64::from(count)))
            }
        }
    }

    /// How long a point speaks for the time after it: two and a half usual distances.
    fn speaks_for(&self) -> TimeDelta {
        let mut gaps: Vec<TimeDelta> = self.points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).map_or(TimeDelta::seconds(10), |gap| *gap * 5 / 2)
    }
}

/// The next 1, 2 or 5 times a power of ten.
fn nice(peak: f64) -> f64 {
    if !peak.is_finite() || peak <= 1.0 {
        return 1.0;
    }
    let power = 10f64.powf(peak.log10().floor());
    [1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|top| *top >= peak)
        .unwrap_or(peak)
}

impl Scale {
    fn label(self, value: f64) -> String {
        match self {
            Self::Share => percent(value),
            Self::PerSecond => plain(value),
            Self::Times => format!("{}×", plain(value)),
        }
    }
}

fn plain(value: f64) -> String {
    if value < 10.0 && value.fract() > 0.05 { format!("{value:.1}") } else { number(value.round() as i64) }
}
