//! The menu of sort orders, and the interval at which the database is read.

use std::time::Duration;

use super::navigate;
use crate::tui::{
    model::{Model, Tone},
    msg::{Effect, Key},
    widget::text,
};

/// `s`.
pub(super) fn begin(model: &mut Model) {
    model.pages.clear();
    let orders = model.orders();
    let now = orders.iter().position(|order| *order == model.order()).unwrap_or_default();
    model.menu = (!orders.is_empty()).then_some(now);
}

/// A key while the menu is open.
pub(super) fn key(model: &mut Model, key: Key) {
    let (Some(at), count) = (model.menu, model.orders().len()) else { return };
    model.menu = match key {
        Key::Char('j') | Key::Down | Key::Char('s') | Key::Tab => Some((at + 1) % count.max(1)),
        Key::Char('k') | Key::Up | Key::BackTab => Some((at + count.saturating_sub(1)) % count.max(1)),
        Key::Char(digit @ '1'..='9') => {
            choose(model, digit as usize - '1' as usize);
            None
        }
        Key::Enter | Key::Char(' ') => {
            choose(model, at);
            None
        }
        _ => None,
    };
}

/// Sorts by the n-th order of the list; the cursor goes to its first row.
pub(super) fn choose(model: &mut Model, at: usize) {
    let Some(order) = model.orders().get(at).copied() else { return };
    let usual = model.orders().first() == Some(&order);
    let list = model.list_mut();
    list.order = (!usual).then_some(order);
    (list.cursor, list.index, list.top, list.range) = (None, 0, 0, None);
    navigate::settle(model);
}

/// The intervals that `+` and `-` go through, in milliseconds.
const INTERVALS: [u64; 8] = [250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

/// `+` and `-`.
pub(super) fn pace(model: &mut Model, slower: bool) -> Vec<Effect> {
    let now = model.setting.interval;
    let mut steps = INTERVALS.into_iter().map(Duration::from_millis);
    let next = match slower {
        true => steps.find(|step| *step > now),
        false => steps.rfind(|step| *step < now),
    };
    let Some(next) = next else {
        let end = if slower { "seldom" } else { "often" };
        model.say(Tone::Note, format!("the database is read every {}, not more {end}", text::interval(now)));
        return Vec::new();
    };
    model.setting.interval = next;
    model.say(Tone::Note, format!("the database is read every {}", text::interval(next)));
    vec![Effect::Pace(next)]
}
