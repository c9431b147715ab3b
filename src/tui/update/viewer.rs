//! A payload, looked into: folding, searching, and what was revealed.

use tui_input::Input;

use crate::{
    engine::{reader::Detail, reveal::Revealed},
    tui::{
        layout,
        model::{Entry, Model, Tone, Viewer},
        msg::Wish,
    },
};

/// `v`.
pub(super) fn open(model: &mut Model) {
    match model.page() {
        Some(_) => model.viewer = Some(Viewer::default()),
        None => {
            let unread = model.unread();
            model.say(Tone::Note, unread);
        }
    }
}

/// The engine showed what a dialog asked to see: it is looked into while its page is open.
pub(super) fn reveal(model: &mut Model, wish: &Wish, revealed: Revealed) {
    let Wish::Reveal(of) = wish else { return };
    if model.pages.last().is_some_and(|page| page.detail == *of) {
        model.revealed = Some((of.clone(), revealed));
        model.viewer = Some(Viewer::default());
    }
}

/// Moves the cursor.
pub(super) fn by(model: &mut Model, rows: isize) {
    if let Some(viewer) = &mut model.viewer {
        viewer.cursor = viewer.cursor.saturating_add_signed(rows);
    }
}

/// Folds what is under the cursor, or what it is in; opens what is folded.
pub(super) fn fold(model: &mut Model) {
    let rows = model.payload().unwrap_or_default();
    let Some(viewer) = &mut model.viewer else { return };
    let Some(here) = rows.get(viewer.cursor) else { return };
    let (mut at, mut cursor) = (here.at.clone(), viewer.cursor);
    if here.folded.is_none() {
        let Some((parent, _)) = here.at.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) else {
            return;
        };
        at = parent.to_owned();
        cursor = rows.iter().position(|row| row.at == at).unwrap_or(cursor);
    }
    if !viewer.folded.remove(&at) {
        viewer.folded.insert(at);
    }
    viewer.cursor = cursor;
}

/// `/` in a payload.
pub(super) fn begin_search(model: &mut Model) {
    model.entry = Entry::Search(Input::default());
}

/// Looks for what was typed, from the cursor on; what is folded is opened.
pub(super) fn search(model: &mut Model, typed: &str) {
    let Some(viewer) = &mut model.viewer else { return };
    viewer.sought = typed.trim().to_lowercase();
    if viewer.sought.is_empty() {
        return;
    }
    let rows = model.payload().unwrap_or_default();
    if let Some(viewer) = &mut model.viewer {
        // The cursor stays on what it stood on.
        let at = rows.get(viewer.cursor).map(|row| row.at.clone());
        viewer.folded.clear();
        let rows = model.payload().unwrap_or_default();
        let place = at.and_then(|at| rows.iter().position(|row| row.at == at)).unwrap_or_default();
        if let Some(viewer) = &mut model.viewer {
            viewer.cursor = place;
        }
    }
    seek(model, 0);
}

/// The next place of what was looked for, or the one before; goes on at the other end.
pub(super) fn hit(model: &mut Model, by: isize) {
    match model.viewer.as_ref().map(|viewer| viewer.sought.is_empty()) {
        Some(false) => seek(model, by),
        _ => model.say(Tone::Note, "nothing was looked for: / searches"),
    }
}

fn seek(model: &mut Model, by: isize) {
    let rows = model.payload().unwrap_or_default();
    let Some(viewer) = &mut model.viewer else { return };
    let hits: Vec<usize> =
        (0..rows.len()).filter(|place| rows[*place].text.to_lowercase().contains(&viewer.sought)).collect();
    let found = match by {
        0 => hits.iter().find(|place| **place >= viewer.cursor).or(hits.first()),
        1.. => hits.iter().find(|place| **place > viewer.cursor).or(hits.first()),
        _ => hits.iter().rev().find(|place| **place < viewer.cursor).or(hits.last()),
    };
    match found {
        Some(place) => {
            viewer.cursor = *place;
            let number = hits.iter().position(|hit| hit == place).unwrap_or_default() + 1;
            model.say(Tone::Note, format!("place {number} of {}", hits.len()));
        }
        None => model.say(Tone::Note, "not found in what is shown"),
    }
}

/// After any message: what was left is forgotten, and the cursor stands on a row that is on the screen.
pub(super) fn settle(model: &mut Model) {
    let top: Option<&Detail> = model.pages.last().map(|page| &page.detail);
    if model.revealed.as_ref().is_some_and(|(of, _)| Some(of) != top) {
        model.revealed = None;
        model.viewer = None;
    }
    if top.is_none() {
        model.viewer = None;
    }
    let Some(rows) = model.payload().map(|rows| rows.len()) else { return };
    let height = model.page_height();
    if let Some(viewer) = &mut model.viewer {
        viewer.cursor = viewer.cursor.min(rows.saturating_sub(1));
        viewer.top = layout::scrolled(viewer.top, viewer.cursor, height, rows);
    }
}
