//! The list of idempotency keys: those in trouble first.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{frame, onboardings, phrase};
use crate::{
    engine::reader::Rows,
    tui::{
        model::Model,
        widget::table::{Cell, Column, Row, Width},
    },
};

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column::text("key", Width::Grow(24), 0),
    Column::text("status", Width::Fit(20), 0),
    Column::number("locked", 7, 1),
    Column::number("lease", 14, 0),
    Column::text("by", Width::Fit(16), 3),
    Column::number("begun", 5, 2),
    Column::number("conflicts", 9, 4),
    Column::number("code", 4, 5),
    Column::number("age", 7, 0),
];

/// Draws the list; answers where the cursor is.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let inner = frame::draw_tight(model, buffer, area, &onboardings::title(model, "keys"));
    let look = model.look;
    let Some(Rows::Keys(rows)) = model.listed() else { return onboardings::reading(model, buffer, inner) };
    let row = |row: &crate::engine::reader::KeyRow| {
        let (standing, style) = phrase::key(row, look);
        let locked = row.locked_at.map_or("-".to_owned(), |at| phrase::ago(at, model));
        let lease_style = if row.stuck { look.bad() } else { look.dim() };
        let conflict_style = if row.conflicts > 0 { look.warn() } else { look.dim() };
        Row {
            cells: vec![
                Cell::id(phrase::id(row.key.as_str()), look.base()),
                Cell::new(standing, style),
                Cell::new(locked, look.dim()),
                Cell::new(phrase::lease(row, model), lease_style),
                Cell::new(row.locked_by.as_ref().map_or("-", |by| by.as_str()), look.dim()),
                Cell::new(row.attempts.to_string(), look.dim()),
                Cell::new(row.conflicts.to_string(), conflict_style),
                Cell::new(row.response_code.map_or("-".to_owned(), |code| code.to_string()), look.dim()),
                Cell::new(phrase::ago(row.created_at, model), look.dim()),
            ],
            ..Row::default()
        }
    };
    let rows = rows.iter().map(row);
    onboardings::draw_table(model, buffer, inner, COLUMNS, rows, "no key")
}
