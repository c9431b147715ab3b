//! The border around a panel, with its title.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::Line,
    widgets::{Block, Padding, Widget as _},
};

use crate::tui::{model::Model, widget::text::fit_line};

/// Draws a border with a title and answers the room inside.
pub(super) fn draw(model: &Model, buffer: &mut Buffer, area: Rect, title: &Line<'static>) -> Rect {
    bordered(model, buffer, area, title, model.look.border())
}

/// The same, in the colour of what needs somebody.
pub(super) fn draw_warning(model: &Model, buffer: &mut Buffer, area: Rect, title: &Line<'static>) -> Rect {
    bordered(model, buffer, area, title, model.look.warn())
}

fn bordered(model: &Model, buffer: &mut Buffer, area: Rect, title: &Line<'static>, border: Style) -> Rect {
    let title = fit_line(title, usize::from(area.width.saturating_sub(2)));
    let block = Block::bordered()
        .border_style(border)
        .title_style(model.look.title())
        .title(title)
        .padding(Padding::horizontal(1));
    let inner = block.inner(area);
    block.render(area, buffer);
    inner
}

/// The same for a table, which brings its own left margin.
pub(super) fn draw_tight(model: &Model, buffer: &mut Buffer, area: Rect, title: &Line<'static>) -> Rect {
    tightened(draw(model, buffer, area, title), area)
}

/// The same for a table, in the colour of what needs somebody.
pub(super) fn draw_tight_warning(
    model: &Model,
    buffer: &mut Buffer,
    area: Rect,
    title: &Line<'static>,
) -> Rect {
    tightened(draw_warning(model, buffer, area, title), area)
}

fn tightened(inner: Rect, area: Rect) -> Rect {
    Rect { x: inner.x.saturating_sub(1).max(area.x), width: (inner.width + 1).min(area.width), ..inner }
}
