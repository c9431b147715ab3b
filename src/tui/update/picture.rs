//! Pictures come in; a frozen screen holds the newest one back.

use std::sync::Arc;

use crate::{
    poll::Snapshot,
    tui::model::{Model, Tone},
};

/// A newer picture.
pub(super) fn arrived(model: &mut Model, snapshot: Arc<Snapshot>) {
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
pub(super) fn freeze(model: &mut Model) {
    if model.frozen.take().is_none() {
        model.frozen = Some(model.now);
        model.say(Tone::Note, "frozen: f lets the picture go on");
    } else if let Some(newest) = model.held_back.take() {
        show(model, newest);
    }
}
