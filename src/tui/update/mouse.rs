//! The mouse: a click selects a row or goes to a screen, the wheel scrolls. Never anything that writes.

use super::{navigate, sort};
use crate::tui::{
    layout,
    model::{Entry, Model},
    msg::{Key, Mouse},
};

/// Rows a notch of the wheel moves.
const NOTCH: isize = 3;

/// Something was done with it.
pub(super) fn moved(model: &mut Model, mouse: Mouse) {
    // What is typed, asked or read first is not left by accident.
    if model.unseen || !layout::fits(model.size) || model.dialog.is_some() {
        return;
    }
    if let Some(top) = model.help {
        match mouse {
            Mouse::WheelDown => model.help = Some(top + NOTCH.unsigned_abs()),
            Mouse::WheelUp => model.help = Some(top.saturating_sub(NOTCH.unsigned_abs())),
            Mouse::Click { .. } => {}
        }
        return;
    }
    if model.menu.is_some() {
        match mouse {
            Mouse::WheelDown => sort::key(model, Key::Down),
            Mouse::WheelUp => sort::key(model, Key::Up),
            Mouse::Click { .. } => model.menu = None,
        }
        return;
    }
    if !matches!(model.entry, Entry::None) {
        return;
    }
    match mouse {
        Mouse::WheelDown => navigate::by(model, NOTCH),
        Mouse::WheelUp => navigate::by(model, -NOTCH),
        Mouse::Click { column, row: 1 } => {
            if let Some(view) = crate::tui::view::tab_at(model, column) {
                navigate::show(model, view);
            }
        }
        Mouse::Click { row, .. } => select(model, usize::from(row)),
    }
}

/// The row of a list at a row of the screen.
fn select(model: &mut Model, row: usize) {
    if !model.pages.is_empty() {
        return;
    }
    let first = layout::first_list_row(model.banner().len());
    let Some(line) = row.checked_sub(first).filter(|line| *line < model.list_height()) else { return };
    let rows = model.rows();
    let index = model.list().top + line;
    if let Some(clicked) = rows.get(index) {
        let id = clicked.id.to_owned();
        let list = model.list_mut();
        (list.cursor, list.index) = (Some(id), index);
    }
}
