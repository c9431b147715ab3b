//! A table that never cuts without showing it: columns adapt to what they hold, and the least important ones leave
//! first when the screen is narrow.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Modifier, Style},
};

use super::text::{fit, fit_apart, fit_middle, left, right, width};
use crate::tui::theme::Look;

/// How wide a column is.
#[derive(Debug, Clone, Copy)]
pub enum Width {
    /// As wide as its widest cell, at most this.
    Fit(usize),
    /// At least this, and a share of what is left over.
    Grow(usize),
}

/// One column.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its head.
    pub title: &'static str,
    /// How wide.
    pub width: Width,
    /// Whether it holds numbers, which stand right.
    pub numeric: bool,
    /// Leaves first when the screen is narrow: the highest number; 0 stays.
    pub leaves: u8,
}

impl Column {
    /// A column of text.
    pub const fn text(title: &'static str, width: Width, leaves: u8) -> Self {
        Self { title, width, numeric: false, leaves }
    }

    /// A column of numbers.
    pub const fn number(title: &'static str, max: usize, leaves: u8) -> Self {
        Self { title, width: Width::Fit(max), numeric: true, leaves }
    }
}

/// One cell.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// How.
    pub style: Style,
    /// Whether its middle is cut instead of its end.
    pub keeps_end: bool,
}

impl Cell {
    /// A cell in `style`.
    pub fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style, keeps_end: false }
    }

    /// A cell whose two ends matter.
    pub fn id(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style, keeps_end: true }
    }
}

/// Whether a row is marked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mark {
    /// No.
    #[default]
    None,
    /// Yes.
    Marked,
    /// It was, and changed since: struck through and left out.
    Changed,
}

/// One row.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// Its cells, one for each column.
    pub cells: Vec<Cell>,
    /// Whether it is marked.
    pub mark: Mark,
}

/// A table in its place.
pub struct Table<'a> {
    /// Its columns.
    pub columns: &'a [Column],
    /// The rows on the screen.
    pub rows: Vec<Row>,
    /// The one under the cursor.
    pub cursor: Option<usize>,
    /// How it looks.
    pub look: Look,
}

/// The cursor's column and the mark's.
const GUTTER: usize = 2;
const GAP: usize = 2;

impl Table<'_> {
    /// Draws the heads and the rows that fit; answers where the cursor's row is.
    pub fn draw(self, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
        if area.width <= GUTTER as u16 || area.height == 0 {
            return None;
        }
        let visible = usize::from(area.height - 1);
        let shown = self.rows.iter().take(visible);
        let widths = self.widths(usize::from(area.width) - GUTTER);
        let mut x = area.x + GUTTER as u16;
        for (column, wide) in self.columns.iter().zip(&widths) {
            let Some(wide) = *wide else { continue };
            let title = if column.numeric { right(column.title, wide) } else { left(column.title, wide) };
            buffer.set_stringn(x, area.y, title, wide, self.look.title());
            x += (wide + GAP) as u16;
        }
        let cuts = self.cuts(visible, &widths);
        let mut at = None;
        for (line, row) in shown.enumerate() {
            let y = area.y + 1 + line as u16;
            let selected = self.cursor == Some(line);
            let strike = if row.mark == Mark::Changed { Modifier::CROSSED_OUT } else { Modifier::empty() };
            let mut x = area.x + GUTTER as u16;
            for (index, ((column, cell), wide)) in
                self.columns.iter().zip(&row.cells).zip(&widths).enumerate()
            {
                let Some(wide) = *wide else { continue };
                let cut = &cuts[line][index];
                let text = if column.numeric { right(cut, wide) } else { cut.clone() };
                buffer.set_stringn(x, y, text, wide, cell.style.add_modifier(strike));
                x += (wide + GAP) as u16;
            }
            let (sign, style) = match row.mark {
                Mark::None => (" ", Style::new()),
                Mark::Marked => ("●", self.look.accent()),
                Mark::Changed => ("✗", self.look.warn()),
            };
            buffer.set_stringn(area.x + 1, y, sign, 1, style);
            if selected {
                buffer.set_stringn(area.x, y, "▌", 1, self.look.accent());
                buffer.set_style(Rect::new(area.x, y, area.width, 1), self.look.cursor());
                at = Some((area.x, y));
            }
        }
        at
    }

    /// The texts of the `visible` rows, each in its column's width. Where two that differ would look alike, they do not.
    fn cuts(&self, visible: usize, widths: &[Option<usize>]) -> Vec<Vec<String>> {
        let rows: Vec<&Row> = self.rows.iter().take(visible).collect();
        let wide = |index: usize| widths.get(index).copied().flatten().unwrap_or_default();
        let cut = |(index, cell): (usize, &Cell)| match cell.keeps_end {
            true => fit_middle(&cell.text, wide(index)),
            false => fit(&cell.text, wide(index)),
        };
        let cuts: Vec<Vec<String>> =
            rows.iter().map(|row| row.cells.iter().enumerate().map(cut).collect()).collect();
        let apart = |line: usize, (index, cell): (usize, &Cell)| {
            let mine = &cuts[line][index];
            let alike = cell.keeps_end
                && *mine != cell.text
                && rows
                    .iter()
                    .zip(&cuts)
                    .any(|(row, cuts)| cuts.get(index) == Some(mine) && row.cells[index].text != cell.text);
            if alike { fit_apart(&cell.text, wide(index)) } else { mine.clone() }
        };
        let told_apart = |(line, row): (usize, &&Row)| {
            row.cells.iter().enumerate().map(|cell| apart(line, cell)).collect()
        };
        rows.iter().enumerate().map(told_apart).collect()
    }

    /// Each column's width; `None`: it left.
    fn widths(&self, room: usize) -> Vec<Option<usize>> {
        let natural: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let widest = self
                    .rows
                    .iter()
                    .filter_map(|row| row.cells.get(index))
                    .map(|cell| width(&cell.text))
                    .max();
                let widest = widest.unwrap_or_default();
                match column.width {
                    Width::Fit(max) => widest.min(max).max(width(column.title)),
                    Width::Grow(min) => min.max(width(column.title)),
                }
            })
            .collect();
        // A column that says nothing on this screen gives its room to those that do, if it may leave at all.
        let says = |index: usize| {
            self.rows.iter().filter_map(|row| row.cells.get(index)).any(|cell| !cell.text.is_empty())
        };
        let mut widths: Vec<Option<usize>> = natural
            .into_iter()
            .enumerate()
            .map(|(index, wide)| (self.columns[index].leaves == 0 || says(index)).then_some(wide))
            .collect();
        let total = |widths: &[Option<usize>]| {
            let present = widths.iter().flatten();
            present.clone().sum::<usize>() + GAP * present.count().saturating_sub(1)
        };
        while total(&widths) > room {
            let leaver = (0..widths.len()).filter(|i| widths[*i].is_some() && self.columns[*i].leaves > 0);
            match leaver.max_by_key(|i| self.columns[*i].leaves) {
                Some(index) => widths[index] = None,
                None => break,
            }
        }
        let over = total(&widths).saturating_sub(room);
        if over > 0 {
            // Even what stays is too wide: the widest gives way.
            if let Some(widest) = (0..widths.len()).max_by_key(|i| widths[*i]) {
                widths[widest] = widths[widest].map(|w| w.saturating_sub(over));
            }
        }
        let growing: Vec<usize> = (0..widths.len())
            .filter(|i| widths[*i].is_some() && matches!(self.columns[*i].width, Width::Grow(_)))
            .collect();
        let mut spare = room.saturating_sub(total(&widths));
        for (place, index) in growing.iter().enumerate() {
            let share = spare / (growing.len() - place);
            // Nobody grows beyond what it holds, except the last, which fills the line.
            let widest =
                self.rows.iter().filter_map(|row| row.cells.get(*index)).map(|c| width(&c.text)).max();
            let have = widths[*index].unwrap_or_default();
            let wants = widest.unwrap_or_default().saturating_sub(have);
            let more = if place + 1 == growing.len() { share } else { share.min(wants) };
            widths[*index] = Some(have + more);
            spare -= more;
        }
        widths
    }
}
