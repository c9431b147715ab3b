//! Marks: one row, a range, or everything that matches. A mark keeps the version it saw.

use crate::{
    engine::{
        command::Refusal,
        reader::{Query, Rows},
    },
    tui::{
        model::{Model, Place, Tone},
        msg::{Effect, Ticket},
        rows::{ListRows, RowRef},
        widget::text::{number, plural},
    },
};

/// Marks the row or takes its mark off; with a range begun, marks the range.
pub(super) fn toggle(model: &mut Model) {
    let rows = model.rows();
    let cursor = model.cursor_in(&rows);
    let Some(row) = rows.get(cursor) else { return };
    let begin = model.list().range.as_ref().and_then(|begin| rows.position(begin, cursor));
    if let Some(begin) = begin {
        let range = (begin.min(cursor)..=begin.max(cursor)).filter_map(|index| rows.get(index));
        let marked = owned(range);
        return mark(model, marked);
    }
    let (id, version) = (row.id.to_owned(), row.version);
    let list = model.list_mut();
    list.range = None;
    if list.marks.remove(&id).is_none() {
        list.marks.insert(id, version);
    }
    super::navigate::by(model, 1);
}

/// Begins a range at the cursor, or gives it up.
pub(super) fn begin_range(model: &mut Model) {
    let begin = model.selected();
    let list = model.list_mut();
    list.range = if list.range.is_some() { None } else { begin };
    if list.range.is_some() {
        model.say(Tone::Note, "range begun: move, then Space marks it");
    }
}

/// Marks everything that matches, also what is not on the screen.
pub(super) fn all(model: &mut Model) -> Vec<Effect> {
    let place = model.list_place();
    if place == Place::Groups {
        let rows = owned(model.rows().iter());
        let count = rows.len();
        mark(model, rows);
        model.say(Tone::Note, format!("{count} {} marked", plural(count, "group")));
        return Vec::new();
    }
    if model.setting.playback.is_some() {
        model.say(Tone::Note, "this is a recording: only rows on the screen can be marked");
        return Vec::new();
    }
    let ticket = model.ticket();
    model.matching = Some((ticket, place));
    let limit = u32::try_from(Query::COUNT_CAP).unwrap_or(u32::MAX);
    vec![Effect::Match(ticket, Query { limit, detail: None, ..model.query() })]
}

/// Everything that matches has been read.
pub(super) fn matched(model: &mut Model, ticket: Ticket, result: Result<Rows, Refusal>) {
    // An answer that comes after the operator went elsewhere marks nothing.
    if model
        .matching
        .take_if(|(asked, _)| *asked == ticket)
        .is_none_or(|(_, place)| place != model.list_place())
    {
        return;
    }
    match result {
        Err(refusal) => model.say(Tone::Bad, format!("could not mark all: {refusal}")),
        Ok(rows) => {
            let rows = owned(ListRows::Read(&rows).iter());
            let count = rows.len();
            let capped = i64::try_from(count).unwrap_or(i64::MAX) >= Query::COUNT_CAP;
            let more = if capped { ": that is the cap, more may match" } else { ", all that match" };
            mark(model, rows);
            model.say(Tone::Note, format!("{} marked{more}", number(count as i64)));
        }
    }
}

fn mark(model: &mut Model, rows: Vec<(String, i64)>) {
    let list = model.list_mut();
    list.range = None;
    list.marks.extend(rows);
}

fn owned<'a>(rows: impl Iterator<Item = RowRef<'a>>) -> Vec<(String, i64)> {
    rows.map(|row| (row.id.to_owned(), row.version)).collect()
}
