//! Lists to choose from, over the last rows of the body: sort orders, and everything there is to do.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Widget as _},
};

use super::frame;
use crate::tui::{
    layout,
    model::{Entry, Model},
    update::found,
    widget::text::{draw_lines, fit, left, width},
};

/// Rows of a menu at most.
const ROWS: usize = 14;

/// The sort orders of the list, while their menu is open.
pub(super) fn draw_orders(model: &Model, buffer: &mut Buffer, body: Rect) {
    let Some(chosen) = model.menu else { return };
    let now = model.order();
    let rows: Vec<[String; 3]> = model
        .orders()
        .iter()
        .enumerate()
        .map(|(at, order)| {
            let sign = if *order == now { "●" } else { " " };
            [format!("{} {sign} {order}", at + 1), String::new(), String::new()]
        })
        .collect();
    let wide = Rect { width: body.width.min(40), ..body };
    draw(model, buffer, wide, " sort by · Enter sorts · Esc ", &rows, Some(chosen));
}

/// What the command line finds for what is typed.
pub(super) fn draw_commands(model: &Model, buffer: &mut Buffer, above: Rect) {
    let Entry::Command(input, None) = &model.entry else { return };
    let found = found(model, input.value());
    let title = format!(" {} to do · type to search · ↑ ↓ Enter ", found.len());
    let rows: Vec<[String; 3]> = found.into_iter().map(|e| [e.text, e.keys, e.help]).collect();
    if !rows.is_empty() {
        draw(model, buffer, above, &title, &rows, model.picked);
    }
}

fn draw(
    model: &Model,
    buffer: &mut Buffer,
    body: Rect,
    title: &str,
    rows: &[[String; 3]],
    chosen: Option<usize>,
) {
    let look = model.look;
    let visible = rows.len().min(ROWS).min(usize::from(body.height.saturating_sub(4)));
    let height = (visible as u16 + 2).min(body.height);
    let area = Rect { y: body.bottom() - height, height, ..body };
    Clear.render(area, buffer);
    buffer.set_style(area, look.base());
    let inner = frame::draw(model, buffer, area, &Line::from(title.to_owned()));
    let top = layout::scrolled(0, chosen.unwrap_or_default(), visible.max(1), rows.len());
    let wide = |column: usize| rows.iter().map(|row| width(&row[column])).max().unwrap_or_default().min(26);
    let (texts, keys) = (wide(0), wide(1));
    let columns = usize::from(inner.width);
    let lines: Vec<Line<'static>> = rows
        .iter()
        .enumerate()
        .skip(top)
        .take(visible)
        .map(|(at, [text, key, help])| {
            let (text, key) = (left(text, texts), left(key, keys));
            let room = columns.saturating_sub(texts + keys + 4);
            let mut line = Line::from(vec![
                Span::styled(text, look.accent()),
                Span::styled(format!("  {key}  "), look.title()),
                Span::styled(fit(help, room), look.dim()),
            ]);
            if chosen == Some(at) {
                let fill = columns.saturating_sub(line.width());
                line.spans.push(Span::raw(" ".repeat(fill)));
                line.spans.iter_mut().for_each(|span| span.style = look.chosen());
            }
            line
        })
        .collect();
    draw_lines(buffer, inner, &lines);
}
