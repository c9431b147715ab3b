//! The open dialog, over everything.
//!
//! ```text
//! ┌ Roll back? ────────────────────────────────────────┐
//! │ this onboarding                                    │ target: never cut, never scrolled
//! │ acme/payments                                      │
//! │                                                    │
//! │ 3 compensations in this order:                     │ details: scroll with j k
//! │   1. will run: github.delete_hook …                │
//! │                                                    │
//! │ type 412  ____                                     │ only where it is asked for
//! │ reason    ____                                     │
//! │ [ Cancel ]  [ Roll back ]                          │
//! └────────────────────────────────────────────────────┘
//! ```

use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::{Clear, Widget as _},
};
use tui_input::Input;

use super::{bottom::skip_columns, frame};
use crate::{
    domain::circuit::Forced,
    tui::{
        dialog::{CHOICES, Dialog, DialogLine, Focus, LineTone, Need, Stage, choice_word},
        layout,
        model::Model,
        widget::text::{draw_lines, piece, plural, width, wrap},
    },
};

const CANCEL: &str = "[ Cancel ]";
/// Columns between the buttons.
const BETWEEN: usize = 2;

/// Draws it in the middle of `area`.
pub(super) fn draw(model: &Model, screen: &mut Frame<'_>, area: Rect) {
    let Some(dialog) = &model.dialog else { return };
    let size = (area.width, area.height);
    let columns = layout::dialog_columns(size);
    if !dialog.fits(size) {
        return too_small(model, screen.buffer_mut(), area, columns);
    }
    let target = dialog.target(columns);
    let details = dialog.details(columns);
    let rows = details.len().min(dialog.detail_rows(size));
    let height = (dialog.fixed_rows(columns) + rows + 2) as u16;
    let place = centred(area, columns as u16 + 4, height);
    let inner = panel(model, screen.buffer_mut(), place, dialog.title());

    let top = dialog.top.min(details.len().saturating_sub(rows));
    let mut lines: Vec<Line<'static>> = target.iter().map(|line| styled(model, line)).collect();
    lines.push(Line::default());
    lines.extend(details[top..top + rows].iter().map(|line| styled(model, line)));
    lines.push(match details.len() - top - rows {
        0 => Line::default(),
        below => piece(format!("{below} more {} below: j k scroll", plural(below, "line")), model.look.dim()),
    });
    lines.extend(dialog.choice().map(|chosen| choice(model, chosen)));
    let mut cursor = None;
    let mut field = |name: &str, input: &Input, focus: bool, lines: &mut Vec<Line<'static>>| {
        let room = columns.saturating_sub(width(name) + 1);
        let scroll = input.visual_scroll(room.saturating_sub(1));
        let style = if focus { model.look.accent() } else { model.look.dim() };
        if focus {
            cursor = Some((width(name) + 1 + input.visual_cursor() - scroll, lines.len()));
        }
        lines.push(Line::from(vec![
            Span::styled(format!("{name} "), style),
            Span::raw(skip_columns(input.value(), scroll, room)),
        ]));
    };
    if let Some(wanted) = dialog.to_type() {
        let name = format!("type {wanted} to confirm:");
        field(&name, &dialog.typed, dialog.focus == Focus::Typed, &mut lines);
    }
    if dialog.has_limit() {
        let name = "for how long, empty until taken back:";
        field(name, &dialog.limit, dialog.focus == Focus::Limit, &mut lines);
    }
    if dialog.need().is_some() {
        let name = if dialog.needs_reason() || model.setting.preferences.production {
            "reason, needed here:"
        } else {
            "reason, for the audit:"
        };
        field(name, &dialog.reason, dialog.focus == Focus::Reason, &mut lines);
    }
    if let Some(complaint) = &dialog.complaint {
        lines.push(piece(complaint.to_string(), model.look.bad()));
    }
    lines.push(buttons(model, dialog, columns));
    draw_lines(screen.buffer_mut(), inner, &lines);
    let at = match cursor {
        Some((column, row)) => (inner.x + column as u16, inner.y + row as u16),
        None => {
            // On the first letter of the button in focus.
            let column = if dialog.focus == Focus::Confirm { width(CANCEL) + BETWEEN + 2 } else { 2 };
            (inner.x + column as u16, inner.y + lines.len().saturating_sub(1) as u16)
        }
    };
    screen.set_cursor_position((
        at.0.min(inner.right().saturating_sub(1)),
        at.1.min(inner.bottom().saturating_sub(1)),
    ));
}

/// `circuit: [open]  closed  disabled  auto`.
fn choice(model: &Model, chosen: Option<Forced>) -> Line<'static> {
    let mut line = Line::from(Span::styled("circuit: ", model.look.dim()));
    for to in CHOICES {
        let (word, style) = match to == chosen {
            true => (format!("[{}]", choice_word(to)), model.look.chosen()),
            false => (format!(" {} ", choice_word(to)), model.look.base()),
        };
        line.spans.push(Span::styled(word, style));
        line.spans.push(Span::raw(" "));
    }
    line.spans.push(Span::styled(" ← → choose", model.look.dim()));
    line
}

fn buttons(model: &Model, dialog: &Dialog, columns: usize) -> Line<'static> {
    let style = |focus| if dialog.focus == focus { model.look.chosen() } else { Style::new() };
    let mut line = Line::from(Span::styled(CANCEL, style(Focus::Cancel)));
    if dialog.order().contains(&Focus::Confirm) {
        line.spans.push(Span::raw(" ".repeat(BETWEEN)));
        line.spans.push(Span::styled(format!("[ {} ]", dialog.verb()), style(Focus::Confirm)));
    }
    let hints: &[&str] = match (&dialog.stage, dialog.need()) {
        (Stage::Ready(_), Some(_)) if matches!(dialog.focus, Focus::Typed | Focus::Reason | Focus::Limit) => {
            &["Enter next", "Esc leaves"]
        }
        (Stage::Ready(_), Some(Need::Yes)) => &["y confirms", "Esc leaves", "Tab moves", "Y copies it"],
        (Stage::Ready(_), Some(_)) => &["Esc leaves", "Tab moves", "Y copies it"],
        (Stage::Lost(..), _) => &["Tab moves", "Esc leaves"],
        (Stage::Ready(_), None) => &["nothing would run"],
        _ => &["Esc leaves"],
    };
    // As many as there is room for, the important ones first.
    let mut between = "  ";
    for hint in hints {
        if line.width() + width(between) + width(hint) > columns {
            break;
        }
        line.spans.push(Span::styled(format!("{between}{hint}"), model.look.dim()));
        between = " · ";
    }
    line
}

fn styled(model: &Model, line: &DialogLine) -> Line<'static> {
    let style = match line.tone {
        LineTone::Target => model.look.accent(),
        LineTone::Plain => model.look.base(),
        LineTone::Dim => model.look.dim(),
        LineTone::LeftOut | LineTone::Warning => model.look.warn(),
    };
    piece(line.text.clone(), style)
}

fn too_small(model: &Model, buffer: &mut Buffer, area: Rect, columns: usize) {
    let text = "What this acts on does not fit on the terminal: enlarge it to go on, or Esc leaves.";
    let lines: Vec<_> = wrap(text, columns).into_iter().map(|line| piece(line, model.look.warn())).collect();
    let place = centred(area, columns as u16 + 4, lines.len() as u16 + 2);
    let inner = panel(model, buffer, place, "");
    draw_lines(buffer, inner, &lines);
}

fn panel(model: &Model, buffer: &mut Buffer, place: Rect, title: &str) -> Rect {
    Clear.render(place, buffer);
    buffer.set_style(place, model.look.base());
    let title = if title.is_empty() { Line::default() } else { Line::from(format!(" {title} ")) };
    frame::draw(model, buffer, place, &title)
}

fn centred(area: Rect, columns: u16, rows: u16) -> Rect {
    let (width, height) = (columns.min(area.width), rows.min(area.height));
    Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height }
}
