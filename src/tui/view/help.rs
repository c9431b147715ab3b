//! Every key there is, from the key table.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Widget as _},
};

use super::frame;
use crate::tui::{
    keys::{self, Kind},
    model::Model,
    widget::text::{draw_lines, left, wrap},
};

/// Columns of the keys and of the words, which fit the narrowest layout.
const KEYS: usize = 12;
const WORDS: usize = 42;

/// How many lines there are.
pub fn lines(read_only: bool) -> usize {
    keys::available(read_only).map(|binding| wrap(binding.help, WORDS).len()).sum::<usize>() + 2
}

/// Draws them over the body.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, body: Rect) {
    let wide = body.width.min((KEYS + WORDS + 4) as u16);
    let area = Rect { x: body.x + (body.width - wide) / 2, width: wide, ..body };
    Clear.render(area, buffer);
    buffer.set_style(area, model.look.base());
    let inner = frame::draw(model, buffer, area, &Line::from(" keys · j k scroll · Esc closes "));
    let mut shown = Vec::new();
    for binding in keys::available(model.read_only()) {
        let style = if binding.kind == Kind::Writes { model.look.warn() } else { model.look.accent() };
        for (row, text) in wrap(binding.help, WORDS).into_iter().enumerate() {
            let keys =
                if row == 0 { model.setting.preferences.keys.shown_keys(binding) } else { String::new() };
            shown.push(Line::from(vec![Span::styled(left(&keys, KEYS), style), Span::raw(text)]));
        }
    }
    shown.push(Line::default());
    let writes = if model.read_only() {
        "This dashboard is read-only."
    } else {
        "Shift + letter writes, always after a preview."
    };
    shown.push(Line::from(writes));
    let top = model.help.unwrap_or_default().min(shown.len());
    draw_lines(buffer, inner, &shown[top..]);
}
