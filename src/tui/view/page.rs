//! A row's page: sections of lines, in two columns where there is room, scrolled together.

use ratatui::{
    buffer::Buffer,
    layout::{Constraint, Layout, Rect},
    text::{Line, Span},
};

use super::{frame, key, letter, onboarding, phrase};
use crate::{
    engine::reader::{AuditRow, Detail, Page},
    tui::{
        model::Model,
        widget::text::{draw_lines, piece, wrap},
    },
};

/// From here on a page has two columns.
const TWO_COLUMNS: usize = 106;
const BETWEEN: usize = 3;

/// Draws the open page.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) {
    let inner = frame::draw(model, buffer, area, &title(model));
    let columns = lines(model, usize::from(inner.width));
    let top = model.pages.last().map_or(0, |page| page.top);
    let longest = columns.iter().map(Vec::len).max().unwrap_or_default();
    let places = match columns.len() {
        2 => {
            let (left, right) = widths(usize::from(inner.width));
            let [a, _, b] = Layout::horizontal([
                Constraint::Length(left as u16),
                Constraint::Length(BETWEEN as u16),
                Constraint::Length(right as u16),
            ])
            .areas(inner);
            vec![a, b]
        }
        _ => vec![inner],
    };
    for (place, lines) in places.into_iter().zip(&columns) {
        draw_lines(buffer, place, lines.get(top..).unwrap_or_default());
    }
    let below = longest.saturating_sub(top + usize::from(inner.height));
    if below > 0 && area.height > 1 {
        let text = format!(" {below} more below ");
        let x = area.right().saturating_sub(text.len() as u16 + 2).max(area.x);
        buffer.set_stringn(x, area.bottom() - 1, &text, usize::from(area.width), model.look.title());
    }
}

/// The page's lines in `columns`, one list for each column of the page.
pub(super) fn lines(model: &Model, columns: usize) -> Vec<Vec<Line<'static>>> {
    let two = columns >= TWO_COLUMNS;
    let (left, right) = if two { widths(columns) } else { (columns, columns) };
    let (mut main, side) = match model.page() {
        None if model.pages.is_empty() => return Vec::new(),
        None => (vec![piece(model.unread(), model.look.dim())], Vec::new()),
        Some(Page::Missing) => {
            (vec![piece("there is no such row any more: Esc goes back", model.look.warn())], Vec::new())
        }
        Some(Page::Onboarding(page)) if two => onboarding::beside(model, page, left, right),
        Some(Page::Onboarding(page)) => (onboarding::below(model, page, left), Vec::new()),
        Some(Page::Key(page)) => key::lines(model, page, left, right),
        Some(Page::Letter(page)) => letter::lines(model, page, left, right),
    };
    if two && !side.is_empty() {
        return vec![main, side];
    }
    main.extend(side);
    vec![main]
}

fn widths(columns: usize) -> (usize, usize) {
    let left = columns * 56 / 100;
    (left, columns.saturating_sub(left + BETWEEN))
}

fn title(model: &Model) -> Line<'static> {
    let text = match model.pages.last().map(|page| &page.detail) {
        Some(Detail::Onboarding(id)) => format!(" onboarding {} ", phrase::id(id.as_str())),
        Some(Detail::Key(id)) => format!(" key {} ", phrase::id(id.as_str())),
        Some(Detail::Letter(id)) => format!(" dead letter {} ", phrase::id(id.as_str())),
        None => String::new(),
    };
    Line::from(text)
}

/// A section's head.
pub(super) fn head(model: &Model, lines: &mut Vec<Line<'static>>, text: &str) {
    if !lines.is_empty() {
        lines.push(Line::default());
    }
    lines.push(piece(text.to_owned(), model.look.title()));
}

/// `name  value`, wrapped under the value.
pub(super) fn fact(model: &Model, lines: &mut Vec<Line<'static>>, name: &str, value: &str, columns: usize) {
    const NAME: usize = 12;
    for (row, text) in wrap(value, columns.saturating_sub(NAME)).into_iter().enumerate() {
        let name = if row == 0 { name } else { "" };
        lines
            .push(Line::from(vec![Span::styled(format!("{name:NAME$}"), model.look.dim()), Span::raw(text)]));
    }
}

/// What operators did.
pub(super) fn audit(model: &Model, lines: &mut Vec<Line<'static>>, rows: &[AuditRow], columns: usize) {
    head(model, lines, "audit");
    if rows.is_empty() {
        lines.push(piece("no operator touched it", model.look.dim()));
    }
    for row in rows {
        let why = row.reason.as_ref().map(|why| format!(": {}", phrase::masked(why))).unwrap_or_default();
        let text = format!("{}  {} by {}{why}", phrase::moment(row.at, model), row.what(), row.operator);
        lines.extend(wrap(&text, columns).into_iter().map(|line| piece(line, model.look.base())));
    }
}

/// A payload by shape and size, indented by its structure, at most so many lines.
pub(super) fn payload(
    model: &Model,
    lines: &mut Vec<Line<'static>>,
    value: &serde_json::Value,
    columns: usize,
) {
    const MOST: usize = 60;
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    let all: Vec<String> = text
        .lines()
        .flat_map(|line| {
            let indent = line.len() - line.trim_start().len();
            let safe = phrase::id(line.trim_start());
            let room = columns.saturating_sub(indent);
            wrap(&safe, room)
                .into_iter()
                .map(move |part| format!("{}{part}", " ".repeat(indent.min(columns))))
        })
        .collect();
    let hidden = all.len().saturating_sub(MOST);
    lines.extend(all.into_iter().take(MOST).map(|line| piece(line, model.look.dim())));
    if hidden > 0 {
        lines.push(piece(format!("… {hidden} more lines"), model.look.dim()));
    }
}
