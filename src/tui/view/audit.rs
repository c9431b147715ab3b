//! Audit: who did what, why, with which result; the row under the cursor in full below.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::Line,
};

use super::{frame, onboardings, phrase};
use crate::{
    engine::reader::{AuditRow, Rows},
    tui::{
        model::Model,
        widget::{
            table::{Cell, Column, Row, Width},
            text::{draw_lines, number, piece, wrap},
        },
    },
};

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column::text("at", Width::Fit(11), 0),
    Column::text("operator", Width::Fit(16), 0),
    Column::text("action", Width::Fit(20), 0),
    Column::number("applied", 7, 0),
    Column::number("left out", 8, 2),
    Column::text("reason", Width::Grow(14), 1),
    Column::text("targets", Width::Grow(14), 3),
];

/// Draws the list; answers where the cursor is.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let panel = model.panel_rows() as u16;
    let [list, below] = Layout::vertical([Constraint::Min(0), Constraint::Length(panel)]).areas(area);
    let inner = frame::draw_tight(model, buffer, list, &onboardings::title(model, "audit"));
    let Some(Rows::Audit(rows)) = model.listed() else { return onboardings::reading(model, buffer, inner) };
    let look = model.look;
    let row = |row: &AuditRow| Row {
        cells: vec![
            Cell::new(phrase::moment(row.at, model), look.dim()),
            Cell::new(row.operator.as_str(), look.base()),
            Cell::new(row.what(), look.accent()),
            Cell::new(number(row.applied), look.base()),
            Cell::new(number(row.left_out), if row.left_out > 0 { look.warn() } else { look.dim() }),
            Cell::new(row.reason.as_ref().map(phrase::masked).unwrap_or_else(|| "-".to_owned()), look.base()),
            Cell::new(row.targets.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(" "), look.dim()),
        ],
        ..Row::default()
    };
    let at = onboardings::draw_table(model, buffer, inner, COLUMNS, (rows, row), "no action");
    let here = rows.iter().find(|row| model.list().cursor.as_deref() == Some(row.id.as_str()));
    if let (true, Some(row)) = (panel > 0, here) {
        let inner =
            frame::draw(model, buffer, below, &Line::from(format!(" {} by {} ", row.what(), row.operator)));
        let reason = row.reason.as_ref().map_or("no reason given".to_owned(), phrase::masked);
        let mut lines = vec![
            piece(
                format!(
                    "{} UTC · applied to {}, {} left out · {}",
                    row.at.format("%Y-%m-%d %H:%M:%S"),
                    number(row.applied),
                    number(row.left_out),
                    phrase::id(row.id.as_str())
                ),
                look.base(),
            ),
            piece(format!("why: {reason}"), look.base()),
        ];
        let room = usize::from(inner.height).saturating_sub(lines.len());
        lines.extend(
            targets(row, usize::from(inner.width), room).into_iter().map(|line| piece(line, look.dim())),
        );
        draw_lines(buffer, inner, &lines);
    }
    at
}

/// As many targets as fit `rows` lines of `columns`, and how many more there are.
fn targets(row: &AuditRow, columns: usize, rows: usize) -> Vec<String> {
    let all = (row.applied + row.left_out).max(row.targets.len() as i64);
    let told = |shown: usize| {
        let names = row.targets.iter().take(shown).map(|t| t.as_str()).collect::<Vec<_>>().join("  ");
        let text = match all - shown as i64 {
            0 => format!("targets: {names}"),
            more if shown == 0 => format!("targets: {}, too long to name here", number(more)),
            more => format!("targets: {names}  and {} more", number(more)),
        };
        wrap(&text, columns)
    };
    let fitting = (1..=row.targets.len()).rev().map(told).find(|lines| lines.len() <= rows);
    fitting.unwrap_or_else(|| told(0))
}
