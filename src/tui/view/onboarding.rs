//! An onboarding's page: where it stands, its states as a timeline, and beside it what it did and what is known.

use chrono::{DateTime, Utc};
use ratatui::text::{Line, Span};

use super::{
    errors,
    page::{audit, fact, head, payload},
    phrase, timeline,
};
use crate::{
    domain::{
        attempt::CompensationStatus,
        onboarding::{Phase, Status},
    },
    engine::reader::OnboardingPage,
    tui::{
        model::Model,
        widget::text::{clock, fit, piece, plural, span, wrap},
    },
};

/// Up to this many entities are named; more are counted.
const NAMED: usize = 5;

/// The page in two columns.
pub(super) fn beside(
    model: &Model,
    page: &OnboardingPage,
    left: usize,
    right: usize,
) -> (Vec<Line<'static>>, Vec<Line<'static>>) {
    let mut main = standing(model, page, left);
    states(model, page, left, &mut main);
    let mut side = Vec::new();
    request(model, page, right, &mut side);
    compensations(model, page, right, false, &mut side);
    rest(model, page, right, &mut side);
    (main, side)
}

/// The page in one narrow column: what is decided upon comes first.
pub(super) fn below(model: &Model, page: &OnboardingPage, columns: usize) -> Vec<Line<'static>> {
    let mut lines = standing(model, page, columns);
    let row = &page.row;
    let in_trouble =
        row.status == Status::Failed || matches!(row.phase, Some(Phase::RollingBack | Phase::Stuck));
    if in_trouble {
        compensations(model, page, columns, true, &mut lines);
    }
    states(model, page, columns, &mut lines);
    if !in_trouble {
        compensations(model, page, columns, true, &mut lines);
    }
    request(model, page, columns, &mut lines);
    rest(model, page, columns, &mut lines);
    lines
}

fn standing(model: &Model, page: &OnboardingPage, columns: usize) -> Vec<Line<'static>> {
    let row = &page.row;
    let (standing, style) = phrase::onboarding(row, model);
    let mut lines = Vec::new();
    let name = format!("{} · {}", phrase::masked(&row.tenant_id), phrase::repository(&row.repo_url));
    lines.extend(wrap(&name, columns).into_iter().map(|line| piece(line, model.look.title())));
    let mut first = vec![Span::styled(standing, style)];
    if let (Status::Failed | Status::InProgress, Some(state)) = (row.status, &row.current_state) {
        first.push(Span::raw(format!(" · {}", phrase::id(state.as_str()))));
    }
    if let Some(circuit) = &row.parked_by {
        first.push(Span::raw(format!(" until circuit {circuit} closes")));
    }
    if let Some(owner) = &row.owner {
        first.push(Span::styled(format!("  leased by {}", phrase::id(owner.as_str())), model.look.dim()));
    }
    lines.push(Line::from(first));
    if let Some(error) = &row.error {
        lines.extend(
            wrap(&phrase::masked(error), columns).into_iter().map(|line| piece(line, model.look.bad())),
        );
        errors::newest_against_last(model, &page.attempts, columns, &mut lines);
    }
    let last = phrase::last_action(row.last_action.as_ref(), model);
    if !last.is_empty() {
        lines.push(piece(last, model.look.dim()));
    }
    lines
}

fn states(model: &Model, page: &OnboardingPage, columns: usize, lines: &mut Vec<Line<'static>>) {
    head(model, lines, "states");
    timeline::lines(model, page, columns, lines);
    errors::kinds(model, &page.attempts, columns, lines);
}

fn request(model: &Model, page: &OnboardingPage, columns: usize, lines: &mut Vec<Line<'static>>) {
    let row = &page.row;
    head(model, lines, "request");
    fact(model, lines, "repository", &phrase::masked(&row.repo_url), columns);
    let workspace = row.workspace_id.as_ref().map_or("none".to_owned(), phrase::masked);
    fact(model, lines, "workspace", &workspace, columns);
    let now = model.database_now();
    let mut moment = |name: &str, at: DateTime<Utc>| {
        fact(model, lines, name, &format!("{} UTC, {} ago", clock(at, now), span(now - at)), columns);
    };
    moment("began", row.created_at);
    if let Some(failed) = row.failed_at {
        moment("failed", failed);
    }
    if row.status == Status::Completed {
        // The last state's end; what others completed left no attempt, only when it last moved.
        let ended = page.attempts.iter().filter_map(|attempt| attempt.ended_at).max();
        moment("completed", ended.unwrap_or(row.updated_at));
    }
}

fn compensations(
    model: &Model,
    page: &OnboardingPage,
    columns: usize,
    one_line_each: bool,
    lines: &mut Vec<Line<'static>>,
) {
    let look = model.look;
    head(model, lines, "compensations, in the order they would run");
    if page.compensations.is_empty() {
        let none = if page.entities.is_empty() {
            "none recorded"
        } else {
            "none recorded: a roll-back removes its entities"
        };
        lines.push(piece(none, look.dim()));
    }
    for (place, compensation) in page.compensations.iter().rev().enumerate() {
        let (word, style) = phrase::compensation(compensation.status, look);
        let is_kept =
            page.row.status == Status::Completed && compensation.status == CompensationStatus::Recorded;
        let word = if is_kept { "if rolled back" } else { word };
        let circuit = if compensation.circuit_open { ", its circuit is open" } else { "" };
        let number = format!("{:>2}. ", place + 1);
        let came = format!("{word}{circuit}");
        let text = format!("{} {}", phrase::id(&compensation.operation), phrase::masked(&compensation.name));
        if one_line_each {
            let room = columns.saturating_sub(number.len() + came.len() + 2);
            lines.push(Line::from(vec![
                Span::styled(number, look.dim()),
                Span::styled(came, style),
                Span::styled(format!("  {}", fit(&text, room)), look.dim()),
            ]));
            continue;
        }
        lines.push(Line::from(vec![Span::styled(number, look.dim()), Span::styled(came, style)]));
        lines.extend(
            wrap(&text, columns.saturating_sub(4))
                .into_iter()
                .map(|line| piece(format!("    {line}"), look.dim())),
        );
    }
}

/// Keys, letters, audit and context; the entities last, because there can be many with long names.
fn rest(model: &Model, page: &OnboardingPage, columns: usize, lines: &mut Vec<Line<'static>>) {
    let look = model.look;
    head(model, lines, &plural(page.keys.len().max(2), "key"));
    if page.keys.is_empty() {
        lines.push(piece("none", look.dim()));
    }
    for key in &page.keys {
        let (word, style) = phrase::key(key, model);
        lines.push(Line::from(Span::styled(format!("{word}  {}", phrase::lease(key, model)), style)));
        lines.extend(
            wrap(&phrase::id(key.key.as_str()), columns.saturating_sub(2))
                .into_iter()
                .map(|line| piece(format!("  {line}"), look.dim())),
        );
    }
    head(model, lines, "dead letters");
    if page.letters.is_empty() {
        lines.push(piece("none", look.dim()));
    }
    for letter in &page.letters {
        let (word, style) = phrase::letter(letter, model);
        let written = format!("  written {}", phrase::since(letter.created_at, model));
        lines.push(Line::from(vec![Span::styled(word, style), Span::styled(written, look.dim())]));
        let state = phrase::id(letter.state.as_str());
        let text = format!("{} in {state}: {}", letter.reason, phrase::masked(&letter.error));
        lines.extend(
            wrap(&text, columns.saturating_sub(2))
                .into_iter()
                .map(|line| piece(format!("  {line}"), look.dim())),
        );
    }
    audit(model, lines, &page.audit, columns);
    head(model, lines, "context, masked: v looks into it");
    payload(model, lines, &page.context, columns);
    let count = page.entities.len();
    if count > 0 {
        head(model, lines, &if count == 1 { "1 entity".to_owned() } else { format!("{count} entities") });
        for entity in page.entities.iter().take(NAMED) {
            lines.extend(
                wrap(&phrase::masked(entity), columns).into_iter().map(|line| piece(line, look.dim())),
            );
        }
        if count > NAMED {
            lines.push(piece(format!("… and {} more", count - NAMED), look.dim()));
        }
    }
}
