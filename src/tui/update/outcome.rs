//! What became of a submission: applied, left out and why, refused, or not known.

use std::collections::HashSet;

use super::{action::shown, viewer};
use crate::{
    domain::{action::ActionKind, text::SafeText},
    engine::{
        command::{LeftOut, Receipt, Refusal, TargetOutcome},
        store::StoreError,
    },
    tui::{
        dialog::{Dialog, Stage},
        model::{Model, Tone},
        msg::{Effect, Ticket, Wish},
        widget::text::{number, plural},
    },
};

/// The engine answered, or did not.
pub(super) fn done(model: &mut Model, ticket: Ticket, result: Result<Receipt, Refusal>) -> Vec<Effect> {
    let Some(at) = model.sent.iter().position(|(sent, _)| *sent == ticket) else { return Vec::new() };
    let (_, dialog) = model.sent.remove(at);
    match result {
        Ok(receipt) => {
            for outcome in &receipt.outcomes {
                match (&outcome.left_out, model.pending.get_mut(&outcome.id)) {
                    (None, Some(pending)) => pending.done_at = Some(receipt.at),
                    (Some(_), Some(_)) => drop(model.pending.remove(&outcome.id)),
                    (_, None) => {}
                }
            }
            // What the receipt does not name is not pending either.
            model.pending.retain(|_, pending| pending.ticket != ticket || pending.done_at.is_some());
            let mut told: HashSet<&str> =
                receipt.outcomes.iter().map(|outcome| outcome.id.as_str()).collect();
            if let Wish::ReplayGroups(groups) | Wish::DiscardGroups(groups) = &dialog.wish {
                told.extend(groups.iter().map(String::as_str));
            }
            model.unmark(&told);
            if let Some(revealed) = &receipt.revealed {
                viewer::reveal(model, &dialog.wish, revealed.clone());
            }
            let tone = if receipt.applied() == receipt.outcomes.len() { Tone::Good } else { Tone::Note };
            model.say(tone, sentence(&receipt));
        }
        Err(Refusal::Store(error @ StoreError::UnknownOutcome { .. })) => {
            lost(model, dialog, &error.to_string())
        }
        Err(refusal) => {
            model.pending.retain(|_, pending| pending.ticket != ticket);
            model.say(Tone::Bad, format!("{} refused: {refusal}", dialog.kind.words()));
        }
    }
    vec![Effect::Nudge]
}

fn lost(model: &mut Model, mut dialog: Dialog, why: &str) {
    if let Stage::Lost(_, said) = &mut dialog.stage {
        *said = SafeText::new(why);
    }
    match model.dialog {
        None => model.dialog = Some(dialog),
        Some(_) => model.lost.push_back(dialog),
    }
}

/// `replay: applied 371; 1 left out: changed since you looked: replayed by ana at 14:03:11 UTC`.
fn sentence(receipt: &Receipt) -> String {
    let applied = receipt.applied();
    let did = match receipt.kind {
        ActionKind::Trigger => "onboarding triggered".to_owned(),
        ActionKind::Resume => format!("{} {} resumed", number(applied as i64), plural(applied, "onboarding")),
        ActionKind::RollBack if applied == 1 => {
            let id = receipt.outcomes.first().map(|outcome| shown(&outcome.id)).unwrap_or_default();
            format!("roll-back of {id} begun")
        }
        ActionKind::RollBack => "no roll-back begun".to_owned(),
        ActionKind::Replay => {
            format!("replay of {} {} begun", number(applied as i64), plural(applied, "letter"))
        }
        ActionKind::Release => format!("{} {} released", number(applied as i64), plural(applied, "key")),
        ActionKind::Discard | ActionKind::Restore => {
            let did = receipt.kind.past();
            format!("{} dead {} {did}", number(applied as i64), plural(applied, "letter"))
        }
        ActionKind::Reveal => "revealed: shown until this page is left".to_owned(),
        ActionKind::Stop => "replay stopped: what it has begun goes on".to_owned(),
        ActionKind::Force | ActionKind::Pause | ActionKind::Unpause => {
            let id = receipt.outcomes.first().map(|outcome| shown(&outcome.id)).unwrap_or_default();
            match receipt.kind {
                ActionKind::Force => format!("circuit {id} decided: every worker obeys within a second"),
                ActionKind::Pause => format!("{id} paused: every worker obeys within a second"),
                _ => format!("{id} goes on: what it held back comes back at a pace"),
            }
        }
    };
    let mut text =
        if receipt.repeated { format!("{did}: applied before, nothing was repeated") } else { did };
    for (why, count) in reasons(&receipt.outcomes) {
        text.push_str(&format!("; {count} left out: {why}"));
    }
    text
}

fn reasons(outcomes: &[TargetOutcome]) -> Vec<(String, usize)> {
    let mut reasons: Vec<(String, usize)> = Vec::new();
    for why in outcomes.iter().filter_map(|outcome| outcome.left_out.as_ref()).map(LeftOut::to_string) {
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, count)) => *count += 1,
            None => reasons.push((why, 1)),
        }
    }
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    reasons
}
