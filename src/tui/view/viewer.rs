//! The open page's payload, over the page: folded, searched, masked unless it was revealed.

use ratatui::{buffer::Buffer, layout::Rect, text::Line};

use super::frame;
use crate::{
    engine::reader::Detail,
    tui::{
        model::Model,
        widget::text::{draw_lines, number, piece, width},
    },
};

/// Draws it; answers where the cursor is.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect) -> Option<(u16, u16)> {
    let inner = frame::draw(model, buffer, area, &Line::from(title(model)));
    let viewer = model.viewer.as_ref()?;
    let Some(rows) = model.payload() else {
        draw_lines(buffer, inner, &[piece(model.unread(), model.look.dim())]);
        return None;
    };
    let look = model.look;
    let is_hit =
        |text: &str| !viewer.sought.is_empty() && text.to_lowercase().contains(viewer.sought.as_str());
    let lines: Vec<Line<'static>> = rows
        .iter()
        .enumerate()
        .skip(viewer.top)
        .take(usize::from(inner.height))
        .map(|(place, row)| {
            let style = match (place == viewer.cursor, is_hit(&row.text), row.folded) {
                (true, ..) => look.chosen(),
                (_, true, _) => look.accent(),
                (_, _, Some(_)) => look.base(),
                _ => look.dim(),
            };
            piece(row.text.clone(), style)
        })
        .collect();
    draw_lines(buffer, inner, &lines);
    let below = rows.len().saturating_sub(viewer.top + usize::from(inner.height));
    if below > 0 && area.height > 1 {
        let text = format!(" {below} more below ");
        let x = area.right().saturating_sub(width(&text) as u16 + 2).max(area.x);
        buffer.set_stringn(x, area.bottom() - 1, &text, usize::from(area.width), look.title());
    }
    let row = viewer.cursor.checked_sub(viewer.top)?;
    Some((inner.x, inner.y + row as u16))
}

/// What it is, and whether it is in the clear; never anything of the payload itself.
fn title(model: &Model) -> String {
    let what = match model.pages.last().map(|page| &page.detail) {
        Some(Detail::Onboarding(_)) => "context",
        Some(Detail::Key(_)) => "stored response",
        Some(Detail::Letter(_)) => "original request",
        None => "payload",
    };
    match &model.revealed {
        Some((_, revealed)) => {
            let cut = if revealed.is_cut() { ", its first 4 KiB" } else { "" };
            let bytes = number(i64::try_from(revealed.bytes).unwrap_or(i64::MAX));
            format!(" {what} IN THE CLEAR until the page is left · {bytes} bytes{cut} ")
        }
        None if model.read_only() => format!(" {what}, masked · o folds · / searches "),
        None => format!(" {what}, masked · o folds · / searches · M reveals it "),
    }
}
