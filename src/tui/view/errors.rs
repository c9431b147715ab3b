//! An onboarding's errors: this attempt's against the one before, and all of them by kind.

use ratatui::text::Line;

use super::{difference, page::head, phrase};
use crate::{
    domain::{attempt::AttemptOutcome, mask, shape::shape},
    engine::reader::AttemptRow,
    tui::{
        model::Model,
        widget::text::{fit, piece, plural, wrap},
    },
};

/// The longest a changed part is shown, in columns.
const PART: usize = 60;

/// Whether the newest error is the one before again, or what about it changed.
pub(super) fn newest_against_last(
    model: &Model,
    attempts: &[AttemptRow],
    columns: usize,
    lines: &mut Vec<Line<'static>>,
) {
    let errors: Vec<String> = failed(attempts).map(|(_, error)| error).collect();
    let [.., before, newest] = errors.as_slice() else { return };
    let text = match difference::of(before, newest) {
        None => {
            let times = errors.iter().rev().take_while(|error| *error == newest).count();
            format!("the same as before, {times} times in a row")
        }
        Some(changed) if changed.in_detail => {
            let or_nothing = |part: &str| match part {
                "" => "nothing".to_owned(),
                part => format!("“{}”", fit(part, PART)),
            };
            format!("as before, but {} was {}", or_nothing(&changed.is), or_nothing(&changed.was))
        }
        Some(_) => format!("before it was “{}”", fit(before, PART)),
    };
    lines.extend(wrap(&text, columns).into_iter().map(|line| piece(line, model.look.dim())));
}

/// Every kind of error there was, with how often and when last; nothing where one failed once.
pub(super) fn kinds(model: &Model, attempts: &[AttemptRow], columns: usize, lines: &mut Vec<Line<'static>>) {
    let mut kinds: Vec<(String, usize, &AttemptRow, String)> = Vec::new();
    for (attempt, error) in failed(attempts) {
        let kind = shape(&error);
        match kinds.iter_mut().find(|(known, ..)| *known == kind) {
            Some((_, count, newest, text)) => (*count, *newest, *text) = (*count + 1, attempt, error),
            None => kinds.push((kind, 1, attempt, error)),
        }
    }
    let count: usize = kinds.iter().map(|(_, count, ..)| count).sum();
    if count < 2 {
        return;
    }
    head(model, lines, "errors by kind");
    kinds.sort_by_key(|(_, count, newest, _)| std::cmp::Reverse((*count, newest.seq)));
    for (kind, count, newest, text) in &kinds {
        // One that is alone is told as it was; what varies among several is a #.
        let text = if *count == 1 { text } else { kind };
        let at = phrase::moment(newest.started_at, model);
        let text = format!("{count} {}: {text}, last {at}", plural(*count, "time"));
        lines.extend(wrap(&text, columns).into_iter().map(|line| piece(line, model.look.dim())));
    }
}

/// What failed, oldest first, safe to show.
fn failed(attempts: &[AttemptRow]) -> impl Iterator<Item = (&AttemptRow, String)> {
    let failed = attempts
        .iter()
        .filter(|attempt| matches!(attempt.outcome, Some(AttemptOutcome::Failed | AttemptOutcome::Lost)));
    failed.filter_map(|attempt| Some((attempt, mask::secrets(&phrase::id(attempt.error.as_deref()?)))))
}
