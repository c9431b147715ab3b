//! Keys and previews of the open dialog.

use crate::{
    domain::{action::ActionKind, text::SafeText},
    engine::command::{Asker, Command, Elsewhere, Refusal, Submission},
    metrics::signals::VerdictKind,
    tui::{
        dialog::{CHOICES, Dialog, Focus, Need, Stage},
        layout,
        model::{Model, Pending, Tone},
        msg::{Effect, Key, Previewed, Ticket, Wish},
    },
};

use super::entry::edit;

/// The preview is there. A late one, of a dialog that was closed, finds nobody.
pub(super) fn previewed(
    model: &mut Model,
    ticket: Ticket,
    result: Result<Previewed, Refusal>,
) -> Vec<Effect> {
    let storm = storm(model);
    let Some(dialog) = model.dialog.as_mut().filter(|dialog| dialog.ticket == ticket) else {
        return Vec::new();
    };
    match result {
        Err(refusal) => dialog.stage = Stage::Refused(SafeText::new(&refusal.to_string())),
        Ok(mut previewed) => {
            if matches!(dialog.kind, ActionKind::Replay | ActionKind::Resume)
                && let Some(storm) = storm
            {
                previewed.plan.warnings.insert(0, storm);
            }
            dialog.stage = Stage::Ready(Box::new(previewed));
            // One row that others began: shown again as a take-over, which has to be typed.
            let wish = match dialog.wish.clone() {
                Wish::Resume(targets, Elsewhere::Leave) => Wish::Resume(targets, Elsewhere::TakeOver),
                Wish::RollBack(target, Elsewhere::Leave) => Wish::RollBack(target, Elsewhere::TakeOver),
                _ => return Vec::new(),
            };
            if dialog.may_take_over() {
                dialog.stage = Stage::Reading;
                dialog.wish = wish.clone();
                return vec![Effect::Preview(ticket, wish)];
            }
        }
    }
    Vec::new()
}

/// What an operator who is about to send more should know.
fn storm(model: &Model) -> Option<SafeText> {
    let verdict = &model.snapshot.as_ref()?.signals.as_ref()?.verdict;
    let bad = matches!(verdict.kind, VerdictKind::Storm | VerdictKind::Stuck);
    let operation = verdict.operation.as_ref().filter(|_| bad)?;
    let storm = if verdict.kind == VerdictKind::Stuck { "storm that is stuck" } else { "storm" };
    let text = format!("{operation} is in a {storm} now: whatever runs into it makes it worse");
    Some(SafeText::new(&text))
}

/// A key while a dialog is open.
pub(super) fn key(model: &mut Model, key: Key) -> Vec<Effect> {
    let size = model.size;
    let Some(dialog) = model.dialog.as_mut() else { return Vec::new() };
    dialog.complaint = None;
    match (key, dialog.focus) {
        (Key::Esc, _) => return close(model),
        (Key::Tab, _) => turn(dialog, 1),
        (Key::BackTab, _) => turn(dialog, dialog.order().len() - 1),
        (Key::Enter, Focus::Cancel) => return close(model),
        // What was typed is confirmed enough: the last field leads to the button that acts.
        (Key::Enter, Focus::Reason) if dialog.to_type().is_some() => dialog.focus = Focus::Confirm,
        (Key::Enter, Focus::Typed | Focus::Reason | Focus::Limit) => turn(dialog, 1),
        (Key::Enter, Focus::Confirm) => return confirm(model),
        (key, Focus::Reason) => edit(&mut dialog.reason, key),
        (key, Focus::Limit) => edit(&mut dialog.limit, key),
        (key, Focus::Typed) => edit(&mut dialog.typed, key),
        // Where a count has to be typed first, this leads to it.
        (Key::Char('y'), _) if dialog.need().is_some() => return confirm(model),
        (Key::Char('Y'), _) => return super::copy::action(model),
        (Key::Right, _) => return choose(model, 1),
        (Key::Left, _) => return choose(model, CHOICES.len() - 1),
        (Key::Char('j') | Key::Down, _) => scroll(dialog, size, 1),
        (Key::Char('k') | Key::Up, _) => scroll(dialog, size, -1),
        (Key::PageDown | Key::Ctrl('d'), _) => scroll(dialog, size, 8),
        (Key::PageUp | Key::Ctrl('u'), _) => scroll(dialog, size, -8),
        // What is typed on a button goes nowhere: it may have been meant for another field, or for nobody.
        (Key::Char(_), _) if matches!(dialog.need(), Some(Need::Count(_) | Need::TakeOver)) => {
            dialog.complaint = Some("nothing is typed into a button: Tab moves to the fields".into());
        }
        _ => {}
    }
    Vec::new()
}

/// Another of the states a circuit can be forced to: shown anew, because something else would happen.
fn choose(model: &mut Model, by: usize) -> Vec<Effect> {
    let ticket = model.ticket();
    let Some(dialog) = model.dialog.as_mut() else { return Vec::new() };
    if let (Wish::Force(_, to), false) = (&mut dialog.wish, matches!(dialog.stage, Stage::Lost(..))) {
        let at = CHOICES.iter().position(|choice| choice == to).unwrap_or_default();
        *to = CHOICES[(at + by) % CHOICES.len()];
        dialog.ticket = ticket;
        dialog.stage = Stage::Reading;
        dialog.focus = Focus::Cancel;
        dialog.top = 0;
        return vec![Effect::Preview(ticket, dialog.wish.clone())];
    }
    Vec::new()
}

fn turn(dialog: &mut Dialog, by: usize) {
    let order = dialog.order();
    let at = order.iter().position(|focus| *focus == dialog.focus).unwrap_or_default();
    dialog.focus = order[(at + by) % order.len()];
}

fn scroll(dialog: &mut Dialog, size: (u16, u16), by: isize) {
    let lines = dialog.details(layout::dialog_columns(size)).len();
    let last = lines.saturating_sub(dialog.detail_rows(size));
    dialog.top = dialog.top.saturating_add_signed(by).min(last);
}

fn close(model: &mut Model) -> Vec<Effect> {
    let closed = model.dialog.take();
    model.unseen = true;
    if let Some(Dialog { stage: Stage::Lost(submission, _), ticket, .. }) = closed {
        model.pending.retain(|_, pending| pending.ticket != ticket);
        let action = super::action::shown(submission.action.as_str());
        model.say(Tone::Note, format!("not known whether it was applied: look for {action} in 6 Audit"));
    }
    model.dialog = model.lost.pop_front();
    vec![]
}

fn confirm(model: &mut Model) -> Vec<Effect> {
    let stale = model.stale();
    let production = model.setting.preferences.production;
    let size = model.size;
    let Some(dialog) = model.dialog.as_mut() else { return Vec::new() };
    if !dialog.fits(size) {
        dialog.complaint = Some("enlarge the terminal: what this acts on does not fit".into());
        return Vec::new();
    }
    if let Stage::Lost(submission, _) = &dialog.stage {
        let submission = (**submission).clone();
        return send(model, submission);
    }
    let typed = dialog.typed.value().trim().to_lowercase();
    if let Some(wanted) = dialog.to_type().filter(|wanted| *wanted != typed) {
        dialog.focus = Focus::Typed;
        dialog.complaint = Some(SafeText::new(&format!("not yet: {wanted} has to be typed first")));
        return Vec::new();
    }
    let limit = match dialog.has_limit().then(|| dialog.seconds()).transpose() {
        Ok(limit) => limit.flatten(),
        Err(why) => {
            dialog.focus = Focus::Limit;
            dialog.complaint = Some(SafeText::new(&why));
            return Vec::new();
        }
    };
    let reason = Some(dialog.reason.value().trim().to_owned()).filter(|reason| !reason.is_empty());
    if (production || dialog.needs_reason()) && reason.is_none() {
        dialog.focus = Focus::Reason;
        dialog.complaint = Some("not yet: a reason has to be typed first".into());
        return Vec::new();
    }
    if let Some(why) = stale {
        dialog.complaint = Some(SafeText::new(&format!("not on a stale picture: {why}")));
        return Vec::new();
    }
    let Stage::Ready(previewed) = &dialog.stage else { return Vec::new() };
    let Previewed { action, command, .. } = &**previewed;
    if dialog.need().is_none() {
        return Vec::new();
    }
    let submission = Submission {
        action: action.clone(),
        asker: Asker::Operator(model.setting.operator.clone()),
        reason,
        command: command.clone().within(limit),
    };
    send(model, submission)
}

fn send(model: &mut Model, submission: Submission) -> Vec<Effect> {
    let ticket = model.ticket();
    let Some(mut dialog) = model.dialog.take() else { return Vec::new() };
    model.unseen = true;
    let ids = match (&submission.command, dialog.plan()) {
        // Left-out rows stay as they are.
        (_, Some(_)) => dialog.runs(),
        (Command::Resume { onboardings, .. }, None) => onboardings.iter().map(|t| t.id.0.clone()).collect(),
        (Command::RollBack { onboarding, .. }, None) => vec![onboarding.id.0.clone()],
        (
            Command::Replay { letters, .. } | Command::Discard { letters } | Command::Restore { letters },
            None,
        ) => letters.iter().map(|t| t.id.0.clone()).collect(),
        (Command::Stop { replay }, None) => vec![replay.id.0.clone()],
        (Command::Release { keys }, None) => keys.iter().map(|t| t.id.0.clone()).collect(),
        (Command::Force { circuit: target, .. }, None)
        | (Command::Pause { operation: target, .. } | Command::Unpause { operation: target }, None) => {
            vec![target.id.0.clone()]
        }
        (Command::Trigger { .. } | Command::Begin { .. } | Command::Reveal { .. }, None) => Vec::new(),
    };
    for id in ids {
        model.pending.insert(id, Pending { ticket, kind: dialog.kind, done_at: None });
    }
    dialog.ticket = ticket;
    dialog.stage = Stage::Lost(Box::new(submission.clone()), SafeText::default());
    dialog.focus = Focus::Cancel;
    dialog.top = 0;
    model.sent.push((ticket, dialog));
    model.dialog = model.lost.pop_front();
    vec![Effect::Submit(ticket, submission)]
}
