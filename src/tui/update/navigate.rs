//! Moving: the cursor, the screens, pages in and out. The cursor follows ids, not places.

use super::viewer;
use crate::{
    engine::{
        filter::Filter,
        reader::{Detail, Page, Query, Rows},
    },
    tui::{
        layout,
        model::{Clock, LettersBy, ListState, Model, OpenPage, Place, Tone, View},
        preferences::SavedView,
    },
};

/// Rows a page key moves.
pub(super) fn page(model: &Model) -> isize {
    let rows = match model.pages.last() {
        Some(_) => model.page_height(),
        None => model.list_height(),
    };
    isize::try_from(rows).unwrap_or(1).max(1)
}

/// Moves the cursor, or an open page's text.
pub(super) fn by(model: &mut Model, rows: isize) {
    if model.viewer.is_some() {
        return viewer::by(model, rows);
    }
    if let Some(page) = model.pages.last_mut() {
        page.top = page.top.saturating_add_signed(rows);
        return;
    }
    let all = model.rows();
    let Some(last) = all.len().checked_sub(1) else { return };
    let index = model.cursor_in(&all).saturating_add_signed(rows).min(last);
    let Some(id) = all.get(index).map(|row| row.id.to_owned()) else { return };
    let read = u32::try_from(all.len()).unwrap_or(u32::MAX);
    let list = model.list_mut();
    list.cursor = Some(id);
    list.index = index;
    // More rows are read when the cursor comes near the last one.
    let limit = list.limit.max(Query::DEFAULT_LIMIT);
    if read >= limit && index + 50 > last && i64::from(limit) < Query::COUNT_CAP {
        list.limit = limit + Query::DEFAULT_LIMIT;
    }
}

/// After any message: the cursor stands on a row and the row is on the screen.
pub(super) fn settle(model: &mut Model) {
    let rows = model.rows();
    let index = model.cursor_in(&rows);
    let (height, count) = (model.list_height(), rows.len());
    if let Some(id) = rows.get(index).map(|row| row.id.to_owned()) {
        let list = model.list_mut();
        list.cursor = Some(id);
        list.index = index;
        list.top = layout::scrolled(list.top, index, height, count);
    }
    let height = model.page_height();
    if let Some(top) = model.pages.last().map(|page| page.top) {
        let lines = crate::tui::view::page_lines(model);
        let last = lines.saturating_sub(height);
        if let Some(page) = model.pages.last_mut() {
            page.top = top.min(last);
        }
    }
    viewer::settle(model);
    if let Some(top) = model.help {
        let lines = crate::tui::view::help_lines(model.read_only());
        model.help = Some(top.min(lines.saturating_sub(model.page_height())));
    }
}

/// Shows one of the six screens.
pub(super) fn show(model: &mut Model, view: View) {
    if view == View::Letters && model.view == View::Letters && model.pages.is_empty() {
        leave_group(model);
    }
    model.view = view;
    model.viewer = None;
    model.pages.clear();
    model.list_mut().from = None;
}

/// A saved view: its list, filter and order as saved.
pub(super) fn saved(model: &mut Model, saved: SavedView) {
    let (view, by) = match saved.place {
        Place::Onboardings => (View::Onboardings, None),
        Place::Keys => (View::Keys, None),
        Place::Groups => (View::Letters, Some(LettersBy::Error)),
        Place::Letters => (View::Letters, Some(LettersBy::One)),
        Place::Circuits => (View::Circuits, None),
        Place::Audit => (View::Audit, None),
        _ => (View::Pulse, None),
    };
    show(model, view);
    if let Some(by) = by {
        model.letters_by = by;
    }
    let SavedView { typed, filter, order, .. } = saved;
    *model.list_mut() = ListState { typed, filter, order, ..ListState::default() };
}

/// The next screen, or the one before.
pub(super) fn turn(model: &mut Model, by: isize) {
    let count = View::ALL.len();
    let next = (model.view.index() + count).wrapping_add_signed(by) % count;
    show(model, View::ALL[next]);
}

/// `u`: moments as UTC, as how long ago, or each as is usual.
pub(super) fn turn_clock(model: &mut Model) {
    let (clock, said) = match model.clock {
        Clock::Usual => (Clock::Utc, "times as UTC, everywhere: u shows how long ago"),
        Clock::Utc => (Clock::Ago, "times as how long ago, everywhere: u shows each as before"),
        Clock::Ago => (Clock::Usual, "ages in lists, UTC in histories"),
    };
    model.clock = clock;
    model.say(Tone::Note, said);
}

/// Letters by error, or one by one.
pub(super) fn regroup(model: &mut Model) {
    model.letters_by = match model.letters_by {
        LettersBy::Error => LettersBy::One,
        LettersBy::Group(_) | LettersBy::One => LettersBy::Error,
    };
    if model.letters_by == LettersBy::One {
        model.forget_letters();
    }
}

fn leave_group(model: &mut Model) {
    model.letters_by = LettersBy::Error;
}

/// Opens what is under the cursor, or what stands behind the open page.
pub(super) fn open(model: &mut Model) {
    if model.viewer.is_some() {
        return viewer::fold(model);
    }
    let behind = match model.page() {
        Some(Page::Key(page)) => page.row.onboarding.clone().map(Detail::Onboarding),
        Some(Page::Letter(page)) => Some(Detail::Onboarding(page.row.onboarding.clone())),
        Some(Page::Onboarding(_) | Page::Missing) | None => None,
    };
    if !model.pages.is_empty() {
        model.pages.extend(behind.map(|detail| OpenPage { detail, top: 0 }));
        return;
    }
    let Some(id) = model.selected() else { return nothing_selected(model) };
    let detail = match model.list_place() {
        Place::Onboardings => Detail::Onboarding(id.into()),
        Place::Keys => Detail::Key(id.into()),
        Place::Letters => Detail::Letter(id.into()),
        Place::Groups => {
            model.forget_letters();
            model.letters_by = LettersBy::Group(id);
            return;
        }
        Place::Circuits => {
            model.view = View::Onboardings;
            let list = model.list_mut();
            (list.typed, list.filter) = parked_by(&id);
            list.from = Some(View::Circuits);
            list.range = None;
            list.limit = 0;
            return;
        }
        _ => return,
    };
    model.pages.push(OpenPage { detail, top: 0 });
}

/// Why nothing is done where no row is under the cursor.
pub(super) fn nothing_selected(model: &mut Model) {
    let why = if model.is_frozen_elsewhere() { model.unread() } else { "nothing selected" };
    model.say(Tone::Note, why);
}

/// The filter that leaves in what the circuit of `operation` holds back, as typed and as read.
fn parked_by(operation: &str) -> (String, Filter) {
    let bare = operation.replace('"', "");
    let value = if bare.contains(char::is_whitespace) { format!("\"{bare}\"") } else { bare };
    let typed = format!("status:parked operation:{value}");
    match Filter::parse(&typed) {
        Ok(filter) => (typed, filter),
        Err(_) => ("status:parked".to_owned(), Filter::parse("status:parked").unwrap_or_default()),
    }
}

/// One step out: a page, then the range, the filter, the marks, the group; answers whether there was one.
pub(super) fn back(model: &mut Model) -> bool {
    if model.viewer.take().is_some() {
        return true;
    }
    if model.pages.pop().is_some() {
        return true;
    }
    let list = model.list_mut();
    if list.range.take().is_some() {
        return true;
    }
    if !list.filter.is_empty() {
        list.filter = Filter::default();
        list.typed.clear();
        if let Some(view) = list.from.take() {
            show(model, view);
        }
        return true;
    }
    if !list.marks.is_empty() {
        list.marks.clear();
        return true;
    }
    let in_group = matches!(model.letters_by, LettersBy::Group(_)) && model.view == View::Letters;
    if in_group {
        leave_group(model);
    }
    in_group
}

/// The onboarding behind the row under the cursor or the open page, with its version where it is on the screen.
pub(super) fn onboarding_here(model: &Model) -> Option<(crate::domain::id::OnboardingId, Option<i64>)> {
    match model.page() {
        Some(Page::Onboarding(page)) => return Some((page.row.id.clone(), Some(page.row.version))),
        Some(Page::Key(page)) => {
            let id = page.row.onboarding.clone()?;
            return Some((id, page.onboarding.as_ref().map(|row| row.version)));
        }
        Some(Page::Letter(page)) => return Some((page.row.onboarding.clone(), None)),
        Some(Page::Missing) => return None,
        None if !model.pages.is_empty() => return None,
        None => {}
    }
    let id = model.list().cursor.as_deref()?;
    match model.listed()? {
        Rows::Onboardings(rows) => {
            rows.iter().find(|row| row.id.as_str() == id).map(|row| (row.id.clone(), Some(row.version)))
        }
        Rows::Keys(rows) => Some((rows.iter().find(|row| row.key.as_str() == id)?.onboarding.clone()?, None)),
        Rows::Letters(rows) => {
            rows.iter().find(|row| row.id.as_str() == id).map(|row| (row.onboarding.clone(), None))
        }
        Rows::Audit(_) | Rows::None => None,
    }
}
