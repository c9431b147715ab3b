//! A letter's page: its error, its whole history, its request and key, and what earlier replays did.

use ratatui::text::{Line, Span};

use super::{
    page::{audit, fact, head, payload},
    phrase, timeline,
};
use crate::{
    domain::{attempt::AttemptOutcome, letter::ReplayOutcome},
    engine::reader::LetterPage,
    tui::{
        model::Model,
        widget::text::{piece, wrap},
    },
};

/// The two columns of the page.
pub(super) fn lines(
    model: &Model,
    page: &LetterPage,
    left: usize,
    right: usize,
) -> (Vec<Line<'static>>, Vec<Line<'static>>) {
    let look = model.look;
    let row = &page.row;
    let (word, style) = phrase::letter(row, model);
    let mut lines: Vec<Line<'static>> =
        wrap(&phrase::masked(&row.label), left).into_iter().map(|line| piece(line, look.title())).collect();
    lines.push(Line::from(vec![
        Span::styled(word, style),
        Span::raw(format!(
            "  {} in {}, {}",
            row.reason,
            phrase::id(row.state.as_str()),
            phrase::since(row.created_at, model)
        )),
    ]));
    lines.extend(wrap(&phrase::masked(&row.error), left).into_iter().map(|line| piece(line, look.bad())));
    let last = phrase::last_action(row.last_action.as_ref(), model);
    if !last.is_empty() {
        lines.push(piece(last, look.dim()));
    }
    head(model, &mut lines, "error history");
    if page.history.is_empty() {
        lines.push(piece("none recorded", look.dim()));
    }
    // What worked is no part of an error's history.
    let history: Vec<_> =
        page.history.iter().filter(|attempt| attempt.outcome != Some(AttemptOutcome::Succeeded)).collect();
    for of_state in history.chunk_by(|one, next| one.state == next.state) {
        lines.extend(of_state.first().map(|first| piece(phrase::id(first.state.as_str()), look.base())));
        timeline::history(model, of_state.iter().copied(), left, &mut lines);
    }
    let mut side = Vec::new();
    head(model, &mut side, "behind it");
    fact(
        model,
        &mut side,
        "onboarding",
        &format!("{}  Enter opens it", phrase::id(row.onboarding.as_str())),
        right,
    );
    fact(model, &mut side, "operation", row.operation.as_ref().map_or("-", |o| o.as_str()), right);
    fact(
        model,
        &mut side,
        "key",
        &page.key.as_ref().map_or("none".to_owned(), |key| phrase::id(key.as_str())),
        right,
    );
    fact(model, &mut side, "group", &phrase::id(&row.error_fingerprint), right);
    head(model, &mut side, "replays");
    if page.replays.is_empty() {
        side.push(piece("never replayed", look.dim()));
    }
    for item in &page.replays {
        let (word, style) = match item.outcome {
            ReplayOutcome::Waiting => ("waiting", look.busy()),
            ReplayOutcome::Succeeded => ("succeeded", look.good()),
            ReplayOutcome::FailedAgain => ("failed again", look.bad()),
            ReplayOutcome::Skipped => ("left out", look.dim()),
        };
        let when = item.ended_at.map(|at| format!("  {}", phrase::moment(at, model))).unwrap_or_default();
        let became = item
            .became
            .as_ref()
            .map(|id| format!("  became {}", phrase::id(id.as_str())))
            .unwrap_or_default();
        side.push(Line::from(vec![Span::styled(word, style), Span::raw(format!("{when}{became}"))]));
        if let Some(reason) = &item.reason {
            side.extend(wrap(reason.as_str(), right).into_iter().map(|line| piece(line, look.dim())));
        }
    }
    head(model, &mut side, "original request, masked: v looks into it");
    payload(model, &mut side, &page.request, right);
    audit(model, &mut side, &page.audit, right);
    (lines, side)
}
