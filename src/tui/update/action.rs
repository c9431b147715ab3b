//! From a key to a wish: what `R`, `U`, `B`, `L`, `O` and `P` mean where the operator stands. Opens the dialog and asks for the preview.

use crate::{
    domain::{
        action::ActionKind,
        circuit::Forced,
        id::{KeyId, LetterId, OnboardingId, OperationName},
        letter::LetterStatus,
        onboarding::{Status, WORKFLOW},
        text::SafeText,
    },
    engine::{
        command::{Elsewhere, Target},
        filter::{Field, Filter, Term},
        reader::{CircuitRow, Detail, KeyRow, LetterRow, OnboardingRow, Page, Rows},
    },
    tui::{
        dialog::Dialog,
        model::{Model, Place, Tone},
        msg::{Effect, Wish},
        widget::text::{fit, plural},
    },
};

use super::navigate::{nothing_selected, onboarding_here};

/// `R`.
pub(super) fn replay(model: &mut Model) -> Vec<Effect> {
    let found = match model.place() {
        Place::Pulse => Ok((Wish::ReplayAll, "every open dead letter".to_owned())),
        Place::Groups => replay_groups(model),
        Place::Letters => replay_letters(model),
        Place::LetterPage => match model.page() {
            Some(Page::Letter(page)) => {
                Ok((Wish::Replay(vec![letter(&page.row)]), "this dead letter".to_owned()))
            }
            _ => Err("the letter is still being read"),
        },
        Place::OnboardingPage => match model.page() {
            Some(Page::Onboarding(page)) => {
                let open: Vec<_> =
                    page.letters.iter().filter(|l| l.status == LetterStatus::Open).map(letter).collect();
                match open.len() {
                    0 => Err("it has no open dead letter: U resumes an onboarding without one"),
                    _ => Ok((Wish::Replay(open), "the dead letter of this onboarding".to_owned())),
                }
            }
            _ => Err("the onboarding is still being read"),
        },
        Place::Onboardings => {
            let rows = chosen_onboardings(model);
            let letters: Vec<_> = rows
                .iter()
                .filter_map(|row| row.letter.clone())
                .map(|id| Target { id, seen: None })
                .collect();
            match letters.len() {
                0 => Err("no open dead letter behind what is selected: U resumes an onboarding without one"),
                n => Ok((
                    Wish::Replay(letters),
                    format!("the dead {} of {n} selected {}", plural(n, "letter"), plural(n, "onboarding")),
                )),
            }
        }
        _ => Err("there is nothing to replay here"),
    };
    open(model, ActionKind::Replay, found)
}

/// `U`.
pub(super) fn resume(model: &mut Model) -> Vec<Effect> {
    let failed =
        Term { field: Some(Field::Status), value: Status::Failed.as_str().to_owned(), negated: false };
    let found = match model.place() {
        Place::Pulse => {
            Ok((Wish::ResumeFailed(Filter { terms: vec![failed] }), "every failed onboarding".to_owned()))
        }
        Place::Onboardings if !model.list().marks.is_empty() => {
            let targets: Vec<_> = marked(model);
            let scope = format!("{} marked {}", targets.len(), plural(targets.len(), "onboarding"));
            Ok((Wish::Resume(targets, Elsewhere::Leave), scope))
        }
        Place::Letters if !model.list().marks.is_empty() => {
            let marks = &model.list().marks;
            let marked = letters(model).iter().filter(|l| marks.contains_key(l.id.as_str()));
            behind(marked.map(|l| l.onboarding.clone()).collect(), "letters")
        }
        Place::Keys if !model.list().marks.is_empty() => {
            let marks = &model.list().marks;
            let marked = key_rows(model).iter().filter(|key| marks.contains_key(key.key.as_str()));
            behind(marked.filter_map(|key| key.onboarding.clone()).collect(), "keys")
        }
        _ => match onboarding_here(model) {
            Some((id, seen)) => {
                Ok((Wish::Resume(vec![Target { id, seen }], Elsewhere::Leave), "this onboarding".to_owned()))
            }
            None => Err("no onboarding stands behind this"),
        },
    };
    open(model, ActionKind::Resume, found)
}

/// The onboardings behind marked rows, each once.
fn behind(mut ids: Vec<OnboardingId>, rows: &str) -> Result<(Wish, String), &'static str> {
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        return Err("no onboarding stands behind what is marked");
    }
    let scope = format!("the {} behind the marked {rows} on the screen", plural(ids.len(), "onboarding"));
    let targets = ids.into_iter().map(|id| Target { id, seen: None }).collect();
    Ok((Wish::Resume(targets, Elsewhere::Leave), scope))
}

/// `B`: always one, the one under the cursor.
pub(super) fn roll_back(model: &mut Model) -> Vec<Effect> {
    let found = match onboarding_here(model) {
        Some((id, seen)) => {
            let marked = model.list().marks.len();
            let alone = if marked > 1 {
                "this onboarding only: roll-backs go one at a time"
            } else {
                "this onboarding"
            };
            Ok((Wish::RollBack(Target { id, seen }, Elsewhere::Leave), alone.to_owned()))
        }
        None => Err("no onboarding stands behind this"),
    };
    open(model, ActionKind::RollBack, found)
}

/// `L`.
pub(super) fn release(model: &mut Model) -> Vec<Effect> {
    let one = |row: &KeyRow| {
        let target = Target { id: row.key.clone(), seen: Some(row.version) };
        Ok((Wish::Release(vec![target]), "this idempotency key".to_owned()))
    };
    let found = match (model.place(), model.page()) {
        (Place::KeyPage, Some(Page::Key(page))) => one(&page.row),
        (Place::KeyPage, _) => Err("the key is still being read"),
        _ if !model.list().marks.is_empty() => {
            let targets: Vec<Target<KeyId>> = marked(model);
            let scope = format!("{} marked idempotency {}", targets.len(), plural(targets.len(), "key"));
            Ok((Wish::Release(targets), scope))
        }
        _ => {
            match key_rows(model).iter().find(|row| model.list().cursor.as_deref() == Some(row.key.as_str()))
            {
                Some(row) => one(row),
                None => Err("there is no key"),
            }
        }
    };
    open(model, ActionKind::Release, found)
}

/// `M`: the payload of the open page.
pub(super) fn reveal(model: &mut Model) -> Vec<Effect> {
    let found = match model.pages.last().map(|page| page.detail.clone()) {
        Some(of) => {
            let what = match &of {
                Detail::Onboarding(_) => "the context of this onboarding",
                Detail::Key(_) => "the stored response of this idempotency key",
                Detail::Letter(_) => "the original request of this dead letter",
            };
            Ok((Wish::Reveal(of), what.to_owned()))
        }
        None => Err("no payload here: open an onboarding, a key or a letter"),
    };
    open(model, ActionKind::Reveal, found)
}

/// `D`: letters are set aside; those that are already are opened again.
pub(super) fn discard(model: &mut Model) -> Vec<Effect> {
    let aside = |status| matches!(status, LetterStatus::Discarded | LetterStatus::Quarantined);
    let found = match (model.place(), model.page()) {
        (Place::Groups, _) => chosen_groups(model)
            .map(|(groups, scope)| (ActionKind::Discard, (Wish::DiscardGroups(groups), scope))),
        (Place::LetterPage, Some(Page::Letter(page))) => {
            let (letters, scope) = (vec![letter(&page.row)], "this dead letter".to_owned());
            Ok(match aside(page.row.status) {
                true => (ActionKind::Restore, (Wish::Restore(letters), scope)),
                false => (ActionKind::Discard, (Wish::Discard(letters), scope)),
            })
        }
        (Place::LetterPage, _) => Err("the letter is still being read"),
        _ => chosen_letters(model).map(|(targets, scope)| {
            let chosen = |row: &&LetterRow| targets.iter().any(|target| target.id == row.id);
            let rows: Vec<&LetterRow> = letters(model).iter().filter(chosen).collect();
            match !rows.is_empty() && rows.iter().all(|row| aside(row.status)) {
                true => (ActionKind::Restore, (Wish::Restore(targets), scope)),
                false => (ActionKind::Discard, (Wish::Discard(targets), scope)),
            }
        }),
    };
    match found {
        Ok((kind, found)) => open(model, kind, Ok(found)),
        Err(why) => open(model, ActionKind::Discard, Err(why)),
    }
}

/// `K`: the newest replay that runs.
pub(super) fn stop(model: &mut Model) -> Vec<Effect> {
    let replays = model.board().map(|board| board.replays.as_slice()).unwrap_or_default();
    let running = replays.iter().find(|replay| replay.ended_at.is_none() && replay.stopped.is_none());
    let found = match running {
        Some(replay) => {
            let scope = format!(
                "the replay of {} {}",
                replay.total,
                plural(replay.total.unsigned_abs() as usize, "letter")
            );
            Ok((Wish::Stop(Target { id: replay.id.clone(), seen: Some(replay.version) }), scope))
        }
        None => Err("no replay is running"),
    };
    open_at(model, ActionKind::Stop, found, false)
}

/// `O`: one circuit, the one under the cursor. What is proposed first is what its row is not.
pub(super) fn force(model: &mut Model) -> Vec<Effect> {
    let found = match circuit_here(model) {
        Some(row) => {
            let to = if row.forced.is_none() { Some(Forced::Open) } else { None };
            Ok((Wish::Force(operation(row), to), "this circuit, on every worker".to_owned()))
        }
        None => Err("there is no circuit"),
    };
    open(model, ActionKind::Force, found)
}

/// `P`: the operation of the row, or everything that goes forward; what is paused goes on.
pub(super) fn pause(model: &mut Model) -> Vec<Effect> {
    let (found, paused) = match model.place() {
        Place::Circuits => match circuit_here(model) {
            Some(row) => (Some((operation(row), "this operation, on every worker")), row.paused.is_some()),
            None => (None, false),
        },
        _ => {
            let pauses = model.board().map(|board| board.pauses.as_slice()).unwrap_or_default();
            let held = pauses.iter().find(|pause| pause.operation.as_str() == WORKFLOW);
            let target = Target { id: WORKFLOW.into(), seen: held.map(|pause| pause.version) };
            (Some((target, "every onboarding, on every worker")), held.is_some())
        }
    };
    let kind = if paused { ActionKind::Unpause } else { ActionKind::Pause };
    let found = match found {
        Some((target, scope)) if paused => Ok((Wish::Unpause(target), scope.to_owned())),
        Some((target, scope)) => Ok((Wish::Pause(target), scope.to_owned())),
        None => Err("there is no operation"),
    };
    // All onboardings are meant, whatever row is under the cursor and even if there is none.
    open_at(model, kind, found, model.place() == Place::Circuits)
}

fn circuit_here(model: &Model) -> Option<&CircuitRow> {
    let cursor = model.list().cursor.as_deref()?;
    model.board()?.circuits.iter().find(|row| row.operation.as_str() == cursor)
}

fn operation(row: &CircuitRow) -> Target<OperationName> {
    Target { id: row.operation.as_str().into(), seen: Some(row.version) }
}

fn open(model: &mut Model, kind: ActionKind, found: Result<(Wish, String), &str>) -> Vec<Effect> {
    let of_a_row = model.pages.is_empty() && model.place() != Place::Pulse;
    open_at(model, kind, found, of_a_row)
}

fn open_at(
    model: &mut Model,
    kind: ActionKind,
    found: Result<(Wish, String), &str>,
    of_a_row: bool,
) -> Vec<Effect> {
    if let Some(why) = model.stale() {
        model.say(Tone::Bad, format!("not on a stale picture: {why}"));
        return Vec::new();
    }
    if model.is_frozen_elsewhere() || of_a_row && model.list().marks.is_empty() && model.selected().is_none()
    {
        nothing_selected(model);
        return Vec::new();
    }
    match found {
        Err(why) => {
            let why = why.to_owned();
            model.say(Tone::Note, why);
            Vec::new()
        }
        Ok((wish, scope)) => {
            let ticket = model.ticket();
            model.dialog = Some(Dialog::new(ticket, kind, wish.clone(), scope));
            vec![Effect::Preview(ticket, wish)]
        }
    }
}

fn replay_groups(model: &Model) -> Result<(Wish, String), &'static str> {
    chosen_groups(model).map(|(groups, scope)| (Wish::ReplayGroups(groups), scope))
}

/// The marked groups, else the one under the cursor.
fn chosen_groups(model: &Model) -> Result<(Vec<String>, String), &'static str> {
    let marks = &model.list().marks;
    if !marks.is_empty() {
        let groups: Vec<_> = marks.keys().cloned().collect();
        let scope =
            format!("every open dead letter of {} marked {}", groups.len(), plural(groups.len(), "group"));
        return Ok((groups, scope));
    }
    let cursor = model.list().cursor.clone().ok_or("there is no dead letter")?;
    let groups = model.groups();
    let group = groups.iter().find(|group| group.fingerprint == cursor).ok_or("there is no dead letter")?;
    // The fingerprint says which; the error is only there to recognize it.
    let error = fit(&crate::domain::mask::secrets(group.error.as_str()), 120);
    Ok((vec![cursor.clone()], format!("every open dead letter of group {}: {error}", shown(&cursor))))
}

fn replay_letters(model: &Model) -> Result<(Wish, String), &'static str> {
    chosen_letters(model).map(|(letters, scope)| (Wish::Replay(letters), scope))
}

/// The marked letters, else the one under the cursor.
fn chosen_letters(model: &Model) -> Result<(Vec<Target<LetterId>>, String), &'static str> {
    if !model.list().marks.is_empty() {
        let targets: Vec<Target<LetterId>> = marked(model);
        let scope = format!("{} marked dead {}", targets.len(), plural(targets.len(), "letter"));
        return Ok((targets, scope));
    }
    let cursor = model.list().cursor.as_deref().unwrap_or_default();
    match letters(model).iter().find(|row| row.id.as_str() == cursor) {
        Some(row) => Ok((vec![letter(row)], "this dead letter".to_owned())),
        None => Err("there is no dead letter"),
    }
}

/// The marked ids with the versions they had when marked.
fn marked<I: From<String>>(model: &Model) -> Vec<Target<I>> {
    model
        .list()
        .marks
        .iter()
        .map(|(id, version)| Target { id: I::from(id.clone()), seen: Some(*version) })
        .collect()
}

fn letter(row: &LetterRow) -> Target<LetterId> {
    Target { id: row.id.clone(), seen: Some(row.version) }
}

fn letters(model: &Model) -> &[LetterRow] {
    match model.listed() {
        Some(Rows::Letters(rows)) => rows,
        _ => &[],
    }
}

fn key_rows(model: &Model) -> &[KeyRow] {
    match model.listed() {
        Some(Rows::Keys(rows)) => rows,
        _ => &[],
    }
}

fn onboardings(model: &Model) -> &[OnboardingRow] {
    match model.listed() {
        Some(Rows::Onboardings(rows)) => rows,
        _ => &[],
    }
}

fn chosen_onboardings(model: &Model) -> Vec<&OnboardingRow> {
    let list = model.list();
    let chosen = |row: &&OnboardingRow| match list.marks.is_empty() {
        true => list.cursor.as_deref() == Some(row.id.as_str()),
        false => list.marks.contains_key(row.id.as_str()),
    };
    onboardings(model).iter().filter(chosen).collect()
}

/// The name of what `id` stands for, safe to show.
pub(super) fn shown(id: &str) -> String {
    SafeText::new(id).as_str().to_owned()
}
