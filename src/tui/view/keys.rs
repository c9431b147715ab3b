//! The list of idempotency keys, those in trouble first; and below it what was asked of them, by operation.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::Line,
};

use super::{frame, onboardings, phrase};
use crate::{
    engine::reader::{KeyRow, Rows},
    metrics::signals::KeySignal,
    tui::{
        model::Model,
        widget::{
            table::{Cell, Column, Row, Table, Width},
            text::{draw_lines, number, percent, piece, plural},
        },
    },
};

#[rustfmt::skip]
const COLUMNS: &[Column] = &[
    Column::text("key", Width::Grow(24), 0),
    Column::text("status", Width::Fit(20), 0),
    Column::number("locked", 7, 1),
    Column::number("lease", 14, 0),
    Column::text("by", Width::Fit(16), 3),
    Column::number("attempts", 8, 2),
    Column::number("conflicts", 9, 4),
    Column::number("code", 4, 5),
    Column::text("onboarding", Width::Fit(12), 7),
    Column::text("last action", Width::Fit(24), 6),
    Column::number("age", 7, 0),
];

/// Draws the list; answers where the cursor is.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let panel = model.panel_rows() as u16;
    let [list, below] = Layout::vertical([Constraint::Min(0), Constraint::Length(panel)]).areas(area);
    if panel > 0 {
        draw_asked(model, buffer, below);
    }
    let inner = frame::draw_tight(model, buffer, list, &onboardings::title(model, "keys"));
    let Some(Rows::Keys(rows)) = model.listed() else { return onboardings::reading(model, buffer, inner) };
    onboardings::draw_table(model, buffer, inner, COLUMNS, (rows, |row| cells(model, row)), "no key")
}

fn cells(model: &Model, row: &KeyRow) -> Row {
    let look = model.look;
    let (standing, style) = phrase::key(row, model);
    let locked = row.locked_at.map_or("-".to_owned(), |at| phrase::ago(at, model));
    let lease_style = if row.stuck { look.bad() } else { look.dim() };
    let conflict_style = if row.conflicts > 0 { look.warn() } else { look.dim() };
    let onboarding = row.onboarding.as_ref().map_or("-".to_owned(), |id| phrase::id(id.as_str()));
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
            Cell::id(onboarding, look.dim()),
            Cell::new(phrase::last_action_short(row.last_action.as_ref(), model), look.dim()),
            Cell::new(phrase::ago(row.created_at, model), look.dim()),
        ],
        mark: phrase::mark(model, row.key.as_str(), row.version),
    }
}

#[rustfmt::skip]
const ASKED: &[Column] = &[
    Column::text("operation", Width::Grow(20), 0),
    Column::number("asked", 6, 0),
    Column::number("hit ratio", 9, 0),
    Column::number("in progress", 11, 1),
    Column::number("conflicts", 9, 0),
    Column::number("recovered", 9, 2),
    Column::number("refused", 7, 3),
    Column::number("unprotected", 11, 0),
];

/// What was asked of keys by operation: first those that ran unprotected or were refused, then the busiest.
fn draw_asked(model: &Model, buffer: &mut Buffer, area: Rect) {
    let look = model.look;
    let title = " asked in the last 5 min ";
    let Some(keys) = model.key_signals().filter(|keys| !keys.operations.is_empty()) else {
        let inner = frame::draw(model, buffer, area, &Line::from(title));
        draw_lines(buffer, inner, &[piece("hit ratio n/a: no target tells of keys", look.dim())]);
        return;
    };
    let mut operations: Vec<&KeySignal> = keys.operations.iter().collect();
    operations.sort_by_key(|signal| std::cmp::Reverse((signal.unprotected, signal.error, signal.asked)));
    let unprotected = operations.iter().fold(0_u64, |sum, signal| sum.saturating_add(signal.unprotected));
    let mut title = title.to_owned();
    if unprotected > 0 {
        title.push_str(&format!("· {} unprotected ", count(unprotected)));
    }
    if keys.not_stored > 0 {
        let answers = plural(usize::try_from(keys.not_stored).unwrap_or(usize::MAX), "answer");
        title.push_str(&format!("· {} {answers} not stored ", count(keys.not_stored)));
    }
    let shown = usize::from(area.height.saturating_sub(3));
    if operations.len() > shown {
        title.push_str(&format!("· {shown} of {} operations ", operations.len()));
    }
    let inner = match unprotected > 0 || keys.not_stored > 0 {
        false => frame::draw_tight(model, buffer, area, &Line::from(title)),
        true => frame::draw_tight_warning(model, buffer, area, &Line::from(title)),
    };
    let cell = |n: u64, style| Cell::new(count(n), if n > 0 { style } else { look.dim() });
    let row = |signal: &&KeySignal| Row {
        cells: vec![
            Cell::new(signal.operation.as_str(), look.base()),
            cell(signal.asked, look.base()),
            Cell::new(signal.hit_ratio.map_or("n/a".to_owned(), percent), look.base()),
            cell(signal.in_progress, look.busy()),
            cell(signal.mismatch, look.warn()),
            cell(signal.recovered, look.warn()),
            cell(signal.error, look.bad()),
            cell(signal.unprotected, look.bad()),
        ],
        ..Row::default()
    };
    let rows = operations.iter().map(row).collect();
    Table { columns: ASKED, rows, cursor: None, look }.draw(buffer, inner);
}

fn count(n: u64) -> String {
    number(i64::try_from(n).unwrap_or(i64::MAX))
}
