//! Pictures come in; a frozen screen holds the newest one back, and steps through those that went before.

use std::sync::Arc;

use crate::{
    poll::Snapshot,
    tui::{
        model::{Model, Tone},
        msg::Effect,
    },
};

/// A newer picture.
pub(super) fn arrived(model: &mut Model, snapshot: Arc<Snapshot>) {
    model.past.push(&snapshot);
    if model.frozen.is_some() && model.snapshot.is_some() {
        model.held_back = Some(snapshot);
        return;
    }
    show(model, snapshot);
}

fn show(model: &mut Model, snapshot: Arc<Snapshot>) {
    // What the engine did is on this picture if the database's clock had passed it.
    if let Some(board) = &snapshot.board {
        model.pending.retain(|_, pending| pending.done_at.is_none_or(|done| board.at < done));
    }
    model.snapshot = Some(snapshot);
}

/// Holds the picture still, or lets it go on.
pub(super) fn freeze(model: &mut Model) -> Vec<Effect> {
    if model.frozen.is_some() {
        return go_on(model);
    }
    model.frozen = Some(model.now);
    match model.setting.playback {
        // What is played waits; it says so in the header, and its clock, by which messages go away, stands still.
        Some(_) => vec![Effect::Hold(true)],
        None => {
            model.say(Tone::Note, "frozen: ← → step through the last 30 minutes, f goes on");
            Vec::new()
        }
    }
}

/// Back to the present. A recording that is over has none.
pub(super) fn go_on(model: &mut Model) -> Vec<Effect> {
    if model.ended {
        model.say(Tone::Note, OVER);
        return Vec::new();
    }
    if model.frozen.take().is_none() {
        return Vec::new();
    }
    model.stepped_back = false;
    if let Some(newest) = model.held_back.take() {
        show(model, newest);
    }
    if model.setting.playback.is_some() { vec![Effect::Hold(false)] } else { Vec::new() }
}

const OVER: &str = "the recording ends here: ← → step back and forth, q leaves";

/// The recording is over: its last picture stays.
pub(super) fn ended(model: &mut Model) {
    model.ended = true;
    if model.frozen.is_none() {
        model.frozen = Some(model.now);
    }
    model.say(Tone::Note, OVER);
}

/// The picture before the one shown.
pub(super) fn step_back(model: &mut Model) {
    let Some(number) = frozen_at(model) else { return };
    match model.past.before(number) {
        Some(earlier) => {
            // What there is to come back to when nothing newer comes.
            if model.held_back.is_none() {
                model.held_back = model.snapshot.take();
            }
            model.stepped_back = true;
            step_to(model, earlier);
        }
        None => model.say(Tone::Note, "this is the oldest picture that is kept"),
    }
}

/// The picture after the one shown; the newest one stays.
pub(super) fn step_forth(model: &mut Model) {
    let Some(number) = frozen_at(model) else { return };
    match model.past.after(number) {
        Some(later) => {
            model.stepped_back = model.past.after(later.number).is_some();
            step_to(model, later);
        }
        None => model.say(Tone::Note, "this is the newest picture"),
    }
}

fn step_to(model: &mut Model, picture: Arc<Snapshot>) {
    model.frozen = Some(picture.at);
    model.snapshot = Some(picture);
}

/// The number of the picture that is frozen; says how to freeze it where none is.
fn frozen_at(model: &mut Model) -> Option<u64> {
    if model.frozen.is_none() {
        model.say(Tone::Note, "f freezes the picture; then ← → step through the last 30 minutes");
        return None;
    }
    model.snapshot.as_ref().map(|snapshot| snapshot.number)
}
