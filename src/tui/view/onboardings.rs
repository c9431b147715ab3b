//! The list of onboardings.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::{frame, phrase};
use crate::{
    engine::{
        order::Order,
        reader::{Query, Rows},
    },
    tui::{
        model::Model,
        widget::{
            table::{Cell, Column, Row, Table, Width},
            text::{draw_lines, piece},
        },
    },
};

/// The columns on a screen of `width` columns: errors get the room, and what is also on the page leaves first.
#[rustfmt::skip]
fn columns(width: u16) -> [Column; 9] {
    let (repository, error) = if width >= 100 { (28, 40) } else { (18, 15) };
    [
        Column::text("repository", Width::Fit(repository), 0),
        Column::text("tenant", Width::Fit(16), 4),
        Column::text("state", Width::Fit(16), 0),
        Column::text("status", Width::Fit(21), 0),
        Column::number("attempts", 8, 5),
        Column::number("updated", 11, 2),
        Column::text("error", Width::Grow(error), 1),
        Column::text("last action", Width::Fit(24), 6),
        Column::text("id", Width::Fit(14), 7),
    ]
}

/// Draws the list; answers where the cursor is.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let inner = frame::draw_tight(model, buffer, area, &title(model, "onboardings"));
    let look = model.look;
    let Some(Rows::Onboardings(rows)) = model.listed() else { return reading(model, buffer, inner) };
    let row = |row: &crate::engine::reader::OnboardingRow| {
        let (standing, style) = phrase::onboarding(row, model);
        let error = row.error.as_ref().map(phrase::masked).unwrap_or_default();
        let error = match &row.parked_by {
            Some(circuit) if error.is_empty() => format!("circuit {circuit}"),
            _ => error,
        };
        Row {
            cells: vec![
                Cell::id(phrase::repository(&row.repo_url), look.base()),
                Cell::new(row.tenant_id.as_str(), look.base()),
                Cell::new(
                    row.current_state.as_ref().map_or("-".to_owned(), |s| phrase::id(s.as_str())),
                    look.base(),
                ),
                Cell::new(standing, style),
                Cell::new(if row.attempt > 0 { row.attempt.to_string() } else { "-".to_owned() }, look.dim()),
                Cell::new(phrase::ago(row.updated_at, model), look.dim()),
                Cell::new(error, look.dim()),
                Cell::new(phrase::last_action_short(row.last_action.as_ref(), model), look.dim()),
                Cell::id(phrase::id(row.id.as_str()), look.dim()),
            ],
            mark: phrase::mark(model, row.id.as_str(), row.version),
        }
    };
    draw_table(model, buffer, inner, &columns(area.width), (rows, row), "no onboarding")
}

/// A list's title: its name, how many match, the filter, the marks.
pub(super) fn title(model: &Model, name: &str) -> Line<'static> {
    let list = model.list();
    let mut text = format!(" {name} ");
    let rows = model.rows().len();
    let listed = model.listed().is_some();
    if let (true, Some(board)) = (listed, model.board()) {
        let matching = board.matching.to_string();
        text.push_str(&format!("· {matching} "));
        if i64::try_from(rows).is_ok_and(|rows| rows < board.matching.0) {
            text.push_str(&format!("· first {rows} "));
        }
    }
    text.push_str(&sorted(model));
    if !list.typed.is_empty() {
        text.push_str(&format!("· filter {} ", phrase::id(&list.typed)));
    }
    if !list.marks.is_empty() {
        let refs = model.rows();
        let changed =
            refs.iter().filter(|row| list.marks.get(row.id).is_some_and(|seen| *seen != row.version)).count();
        text.push_str(&format!("· {} marked ", list.marks.len()));
        if changed > 0 {
            text.push_str(&format!("· {changed} of them changed since "));
        }
    }
    if list.range.is_some() {
        text.push_str("· range begun ");
    }
    Line::from(text)
}

/// The order, where it is not the usual one, and of what.
pub(super) fn sorted(model: &Model) -> String {
    let Some(order) = model.list().order else { return String::new() };
    let more = model.board().is_some_and(|board| board.matching.0 >= Query::COUNT_CAP);
    match (more && !order.is_whole(), order) {
        (false, _) => format!("· by {order} "),
        (true, Order::LockAge) => format!("· by {order} of the 10k oldest "),
        (true, _) => format!("· by {order} of the 10k newest "),
    }
}

/// The list has not been read yet.
pub(super) fn reading(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    draw_lines(buffer, area, &[piece(format!("  {}", model.unread()), model.look.dim())]);
    None
}

/// A table with the list's cursor, or why there is none. Only the rows on the screen are made.
pub(super) fn draw_table<T>(
    model: &Model,
    buffer: &mut Buffer,
    area: Rect,
    columns: &[Column],
    (rows, row): (&[T], impl Fn(&T) -> Row),
    none: &str,
) -> Option<(u16, u16)> {
    if rows.is_empty() {
        let text = match model.list().filter.is_empty() {
            true => none.to_owned(),
            false => format!("{none} matches: Esc clears the filter"),
        };
        draw_lines(buffer, area, &[piece(format!("  {text}"), model.look.dim())]);
        return None;
    }
    let visible = usize::from(area.height.saturating_sub(1)).max(1);
    let cursor = model.cursor_in(&model.rows());
    let top = crate::tui::layout::scrolled(model.list().top, cursor, visible, rows.len());
    let rows = rows.iter().skip(top).take(visible).map(row).collect();
    // What the list is sorted by is seen, however narrow it is.
    let sorted = model.order().as_str().replace("lock-age", "locked");
    let stays = |column: &Column| Column {
        leaves: if column.title == sorted { 0 } else { column.leaves },
        ..*column
    };
    let columns: &[Column] = &columns.iter().map(stays).collect::<Vec<_>>();
    Table { columns, rows, cursor: cursor.checked_sub(top), look: model.look }.draw(buffer, area)
}
