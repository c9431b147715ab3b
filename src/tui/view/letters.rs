//! Dead letters: by error at home, one by one inside a group or ungrouped.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
};

use super::{frame, onboardings, phrase};
use crate::{
    engine::reader::{Count, LetterGroup, ReplayRow, Rows},
    tui::{
        model::{LettersBy, Model},
        theme::Look,
        widget::{
            table::{Cell, Column, Row, Width},
            text::{draw_lines, number, rate},
        },
    },
};

#[rustfmt::skip]
const GROUPS: &[Column] = &[
    Column::number("open", 6, 0),
    Column::number("replaying", 9, 4),
    Column::text("new", Width::Fit(3), 0),
    Column::text("error", Width::Grow(40), 0),
    Column::text("operation", Width::Fit(22), 3),
    Column::number("first", 11, 6),
    Column::number("newest", 11, 0),
    Column::text("last action", Width::Fit(24), 5),
];

#[rustfmt::skip]
const LETTERS: &[Column] = &[
    Column::text("repository", Width::Fit(26), 0),
    Column::text("state", Width::Fit(16), 2),
    Column::text("status", Width::Fit(15), 0),
    Column::text("error", Width::Grow(30), 0),
    Column::text("why", Width::Fit(9), 5),
    Column::number("replays", 7, 3),
    Column::number("age", 11, 0),
    Column::text("last action", Width::Fit(24), 4),
];

/// The groups; answers where the cursor is.
pub(super) fn draw_groups(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let look = model.look;
    let groups = model.groups();
    let mut title = format!(" dead letters by error · {} ", how_many(model, &groups));
    if let Some(counts) = model.board().map(|board| &board.counts) {
        for (count, word) in [(counts.quarantined, "quarantined"), (counts.discarded, "discarded")] {
            if count.0 > 0 {
                title.push_str(&format!("· {count} {word} "));
            }
        }
    }
    title.push_str(&onboardings::sorted(model));
    let panel = model.panel_rows() as u16;
    let [area, below] = Layout::vertical([Constraint::Min(0), Constraint::Length(panel)]).areas(area);
    if panel > 0 {
        draw_replays(model, buffer, below);
    }
    let list = model.list();
    if !list.typed.is_empty() {
        title.push_str(&format!("· filter {} ", phrase::id(&list.typed)));
    }
    if !list.marks.is_empty() {
        title.push_str(&format!("· {} marked ", list.marks.len()));
    }
    let inner = frame::draw_tight(model, buffer, area, &Line::from(title));
    let row = |group: &&LetterGroup| Row {
        cells: vec![
            Cell::new(group.open.to_string(), if group.open > 0 { look.bad() } else { look.dim() }),
            Cell::new(
                if group.replaying > 0 { group.replaying.to_string() } else { "-".to_owned() },
                look.busy(),
            ),
            Cell::new(if group.new { "new" } else { "" }, look.warn()),
            Cell::new(phrase::kind_of(&group.error), look.base()),
            Cell::new(group.operation.as_ref().map_or("-", |o| o.as_str()), look.dim()),
            Cell::new(phrase::ago(group.first_seen, model), look.dim()),
            Cell::new(phrase::ago(group.last_seen, model), look.dim()),
            Cell::new(phrase::last_action_short(group.last_action.as_ref(), model), look.dim()),
        ],
        mark: phrase::mark(model, &group.fingerprint, 0),
    };
    onboardings::draw_table(model, buffer, inner, GROUPS, (&groups, row), "no dead letter")
}

/// How many groups there are, how many of them are shown where that is not all, and how many letters are open.
fn how_many(model: &Model, groups: &[&LetterGroup]) -> String {
    let (known, letters) = model.board().map_or_else(Default::default, |board| {
        (Count(board.counts.letter_groups.0.max(board.letter_groups.len() as i64)), board.counts.letters)
    });
    let mut text = format!("{known} {}", if known.0 == 1 { "group" } else { "groups" });
    let is_whole = groups.len() as i64 == known.0;
    if !is_whole {
        text.push_str(&format!(" · {} shown", number(groups.len() as i64)));
    }
    let open = match is_whole || !model.list().filter.is_empty() {
        true => number(groups.iter().map(|group| group.open).sum()),
        false => letters.to_string(),
    };
    format!("{text} · {open} open")
}

/// One by one; answers where the cursor is.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let look = model.look;
    let name = match &model.letters_by {
        LettersBy::Group(group) => {
            let board = model.board();
            let error = board.and_then(|b| b.letter_groups.iter().find(|g| g.fingerprint == *group));
            let error = error.map_or_else(|| phrase::id(group), |group| phrase::kind_of(&group.error));
            format!("dead letters: {}", crate::tui::widget::text::fit(&error, 48))
        }
        _ => "dead letters".to_owned(),
    };
    let mut title = onboardings::title(model, &name);
    title.spans.extend(open(model).map(|open| Span::raw(format!("· {open} open "))));
    let inner = frame::draw_tight(model, buffer, area, &title);
    let Some(Rows::Letters(rows)) = model.listed() else { return onboardings::reading(model, buffer, inner) };
    let row = |row: &crate::engine::reader::LetterRow| {
        let (standing, style) = phrase::letter(row, model);
        Row {
            cells: vec![
                Cell::id(phrase::label(&row.label), look.base()),
                Cell::new(phrase::id(row.state.as_str()), look.base()),
                Cell::new(standing, style),
                Cell::new(phrase::masked(&row.error), look.dim()),
                Cell::new(row.reason.as_str(), look.dim()),
                Cell::new(row.replays.to_string(), look.dim()),
                Cell::new(phrase::ago(row.created_at, model), look.dim()),
                Cell::new(phrase::last_action_short(row.last_action.as_ref(), model), look.dim()),
            ],
            mark: phrase::mark(model, row.id.as_str(), row.version),
        }
    };
    onboardings::draw_table(model, buffer, inner, LETTERS, (rows, row), "no dead letter")
}

/// How many of the letters listed are open, as on the tab; not known under a filter.
fn open(model: &Model) -> Option<String> {
    let board = model.board()?;
    model.list().filter.is_empty().then_some(())?;
    match &model.letters_by {
        LettersBy::Group(group) => {
            let group = board.letter_groups.iter().find(|g| g.fingerprint == *group)?;
            Some(number(group.open))
        }
        _ => Some(board.counts.letters.to_string()),
    }
}

/// What replays came to: never "requeued", always succeeded, failed again or waiting.
fn draw_replays(model: &Model, buffer: &mut Buffer, area: Rect) {
    let inner = frame::draw(model, buffer, area, &Line::from(" replays "));
    let Some(board) = model.board() else { return };
    draw_lines(buffer, inner, &board.replays.iter().map(|row| replay(model, row)).collect::<Vec<_>>());
}

fn replay(model: &Model, row: &ReplayRow) -> Line<'static> {
    let look = model.look;
    let mut line = Line::from(vec![
        Span::styled(format!("{} ", phrase::moment(row.created_at, model)), look.dim()),
        Span::raw(format!("{} of {}: ", row.operator, number(row.total))),
    ]);
    let mut count = |count: i64, what: &str, style: Style| {
        let style = if count > 0 { style } else { look.dim() };
        line.spans.push(Span::styled(format!("{} {what}", number(count)), style));
    };
    count(row.succeeded, "succeeded, ", look.good());
    count(row.failed_again, "failed again, ", look.bad());
    if row.new_errors > 0 {
        count(row.new_errors, "of them with a new error, ", look.warn());
    }
    if row.skipped > 0 {
        count(row.skipped, "left out, ", look.dim());
    }
    if row.open_again > 0 {
        count(row.open_again, "open again, ", look.warn());
    }
    count(row.waiting, "waiting", look.busy());
    let (standing, style) = stands(row, look);
    line.spans.push(Span::styled(format!("  {standing}"), style));
    line
}

/// Where a replay stands: its stage, what it waits for, or why it stopped.
fn stands(row: &ReplayRow, look: Look) -> (String, Style) {
    let tried = row.dispatched - row.skipped;
    match (&row.stopped, &row.held_by) {
        (Some(why), _) => (format!("stopped: {why}"), look.warn()),
        (None, _) if row.ended_at.is_some() => ("ended".to_owned(), look.dim()),
        (None, Some(operation)) => (format!("waits for {operation}"), look.warn()),
        (None, None) if row.dispatched >= row.total => ("all are on their way".to_owned(), look.dim()),
        (None, None) if tried == 1 && row.succeeded == 0 => {
            ("the first is on its way".to_owned(), look.dim())
        }
        (None, None) if tried <= 1 => ("one goes first".to_owned(), look.dim()),
        (None, None) if tried <= 11 => ("ten go next".to_owned(), look.dim()),
        (None, None) => (format!("{}/s: K stops it", rate(row.per_second)), look.dim()),
    }
}
