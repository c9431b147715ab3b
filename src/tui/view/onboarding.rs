//! An onboarding's page: the nine states as a timeline with every attempt, and beside it what it did and what is known.

use ratatui::text::{Line, Span};

use super::{
    page::{audit, fact, head, payload},
    phrase,
};
use crate::{
    domain::{
        attempt::AttemptOutcome,
        id::StateName,
        mask,
        onboarding::{Phase, State, Status},
    },
    engine::reader::{AttemptRow, OnboardingPage},
    tui::{
        model::Model,
        widget::text::{clock, left, piece, plural, span, wrap},
    },
};

/// The two columns of the page.
pub(super) fn lines(
    model: &Model,
    page: &OnboardingPage,
    left: usize,
    right: usize,
) -> (Vec<Line<'static>>, Vec<Line<'static>>) {
    (timeline(model, page, left), facts(model, page, right))
}

fn timeline(model: &Model, page: &OnboardingPage, columns: usize) -> Vec<Line<'static>> {
    let row = &page.row;
    let (standing, style) = phrase::onboarding(row, model);
    let mut lines = Vec::new();
    let name = format!("{} · {}", phrase::masked(&row.tenant_id), phrase::repository(&row.repo_url));
    lines.extend(wrap(&name, columns).into_iter().map(|line| piece(line, model.look.title())));
    let mut first = vec![Span::styled(standing, style)];
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
    }
    let last = phrase::last_action(row.last_action.as_ref(), model);
    if !last.is_empty() {
        lines.push(piece(last, model.look.dim()));
    }
    head(model, &mut lines, "states");
    for state in states(page) {
        state_lines(model, page, &state, columns, &mut lines);
    }
    lines
}

/// The nine states, and any others that the attempts name: newer versions and other services may have their own.
fn states(page: &OnboardingPage) -> Vec<StateName> {
    let mut states: Vec<StateName> = State::ALL.iter().map(|state| state.name()).collect();
    let current = page.row.current_state.iter().cloned();
    for other in page.attempts.iter().map(|attempt| attempt.state.clone()).chain(current) {
        if !states.contains(&other) {
            states.push(other);
        }
    }
    states
}

fn state_lines(
    model: &Model,
    page: &OnboardingPage,
    state: &StateName,
    columns: usize,
    lines: &mut Vec<Line<'static>>,
) {
    let look = model.look;
    let row = &page.row;
    let attempts: Vec<&AttemptRow> = page.attempts.iter().filter(|attempt| attempt.state == *state).collect();
    let is_current = row.current_state.as_ref() == Some(state);
    let place = |name: &StateName| State::ALL.iter().position(|known| known.as_str() == name.as_str());
    let was_passed = match (place(state), row.current_state.as_ref().and_then(place)) {
        (Some(own), Some(current)) => own < current && state.as_str() != State::RollingBack.as_str(),
        _ => false,
    };
    let newest = attempts.last();
    let succeeded = attempts.iter().any(|attempt| attempt.outcome == Some(AttemptOutcome::Succeeded));
    let done = succeeded || row.status == Status::Completed && state.as_str() != State::RollingBack.as_str();
    let unknown_pass = was_passed && attempts.is_empty();
    let is_running = is_current && matches!(row.phase, Some(Phase::Running | Phase::RollingBack));
    let (sign, style) = match () {
        () if is_current && matches!(row.phase, Some(Phase::Failed | Phase::Stuck)) => ("✗", look.bad()),
        () if is_current && row.phase.is_none() && row.status == Status::Failed => ("✗", look.bad()),
        () if done => ("✓", look.good()),
        () if is_running => ("●", look.busy()),
        () if is_current => ("○", look.warn()),
        () if unknown_pass => ("✓", look.dim()),
        () if newest.is_some() => ("○", look.warn()),
        () => ("·", look.dim()),
    };
    let name_style = if newest.is_some() || is_current || done { look.base() } else { look.dim() };
    let mut spans = vec![
        Span::styled(format!("{sign} "), style),
        Span::styled(left(&phrase::id(state.as_str()), 17), name_style),
    ];
    if let (Some(first), Some(newest)) = (attempts.first(), newest) {
        spans.push(Span::styled(format!(" {}", clock(first.started_at, model.database_now())), look.dim()));
        let ended = newest.ended_at.unwrap_or_else(|| model.database_now());
        spans.push(Span::styled(format!("  {:>6}", span(ended - first.started_at)), look.dim()));
        let spent = attempts.iter().filter(|attempt| !was_free(attempt)).count();
        if spent > 1 {
            spans.push(Span::styled(format!("  {spent} attempts"), look.warn()));
        }
    }
    lines.push(Line::from(spans));
    // An attempt that simply worked says nothing the state's line does not.
    let telling =
        |attempt: &&&AttemptRow| attempts.len() > 1 || attempt.outcome != Some(AttemptOutcome::Succeeded);
    let telling: Vec<&AttemptRow> = attempts.iter().filter(telling).copied().collect();
    // Waiting for a circuit costs no attempt and repeats: each run of it is told once, by its newest.
    for run in telling.chunk_by(|a, b| a.outcome == Some(AttemptOutcome::Parked) && b.outcome == a.outcome) {
        if run.len() > 1 {
            lines.push(piece(format!("        parked {} times in a row, the last:", run.len()), look.dim()));
        }
        run.last().iter().for_each(|attempt| attempt_lines(model, attempt, columns, lines));
    }
    let subtasks: Vec<String> = page
        .subtasks
        .iter()
        .filter(|(of, ..)| of == state)
        .map(|(_, name, _)| phrase::masked(name))
        .collect();
    if !subtasks.is_empty() {
        let text = format!("done: {}", subtasks.join(", "));
        lines.extend(
            wrap(&text, columns.saturating_sub(4))
                .into_iter()
                .map(|line| piece(format!("    {line}"), look.dim())),
        );
    }
}

/// Whether it ended without costing an attempt.
fn was_free(attempt: &AttemptRow) -> bool {
    matches!(attempt.outcome, Some(AttemptOutcome::Parked | AttemptOutcome::HandedBack))
}

/// One attempt: when, how it ended, its error, why it was or was not retried.
pub(super) fn attempt_lines(
    model: &Model,
    attempt: &AttemptRow,
    columns: usize,
    lines: &mut Vec<Line<'static>>,
) {
    let look = model.look;
    let (word, style) = match attempt.outcome {
        None => ("running", look.busy()),
        Some(AttemptOutcome::Succeeded) => ("succeeded", look.good()),
        Some(AttemptOutcome::Failed) => ("failed", look.bad()),
        Some(AttemptOutcome::Parked) => ("parked", look.warn()),
        Some(AttemptOutcome::HandedBack) => ("handed back", look.dim()),
        Some(AttemptOutcome::Lost) => ("lost", look.bad()),
    };
    let mut spans = vec![
        Span::styled(format!("    {:>2}. ", attempt.attempt), look.dim()),
        Span::styled(format!("{} ", clock(attempt.started_at, model.database_now())), look.dim()),
        Span::styled(word, style),
    ];
    if let Some(class) = attempt.class {
        spans.push(Span::styled(format!("  {}", class.as_str().replace('_', " ")), look.dim()));
    }
    if let Some(ended) = attempt.ended_at {
        spans.push(Span::styled(format!("  after {}", span(ended - attempt.started_at)), look.dim()));
    }
    spans.push(Span::styled(format!("  {}", phrase::id(attempt.worker.as_str())), look.dim()));
    lines.push(Line::from(spans));
    let room = columns.saturating_sub(8);
    let mut indented = |text: String, style| {
        lines.extend(wrap(&text, room).into_iter().map(|line| piece(format!("        {line}"), style)));
    };
    if let Some(error) = &attempt.error {
        let operation =
            attempt.operation.as_deref().map(|o| format!("{}: ", phrase::id(o))).unwrap_or_default();
        let error = mask::secrets(&phrase::id(error));
        indented(
            if error.starts_with(operation.trim_end_matches(": ")) {
                error
            } else {
                format!("{operation}{error}")
            },
            look.base(),
        );
    }
    let delay =
        attempt.delay_seconds.map(|seconds| chrono::TimeDelta::milliseconds((seconds * 1_000.0) as i64));
    let is_word = |reason: &&String| !reason.contains(' ');
    match (&attempt.reason, delay) {
        (Some(circuit), Some(delay)) if was_free(attempt) && is_word(&circuit) => {
            indented(
                format!("circuit {} is open: asked again in {}", phrase::id(circuit), span(delay)),
                look.dim(),
            );
        }
        (Some(reason), Some(delay)) => {
            indented(format!("next in {}: {}", span(delay), phrase::id(reason)), look.dim())
        }
        (Some(reason), None) => indented(phrase::id(reason), look.dim()),
        (None, Some(delay)) => indented(format!("next in {}", span(delay)), look.dim()),
        (None, None) => {}
    }
}

fn facts(model: &Model, page: &OnboardingPage, columns: usize) -> Vec<Line<'static>> {
    let look = model.look;
    let row = &page.row;
    let mut lines = Vec::new();
    head(model, &mut lines, "request");
    fact(model, &mut lines, "repository", &phrase::masked(&row.repo_url), columns);
    fact(
        model,
        &mut lines,
        "workspace",
        &row.workspace_id.as_ref().map_or("none".to_owned(), phrase::masked),
        columns,
    );
    let now = model.database_now();
    fact(
        model,
        &mut lines,
        "began",
        &format!("{} UTC, {} ago", clock(row.created_at, now), span(now - row.created_at)),
        columns,
    );
    if let Some(failed) = row.failed_at {
        fact(
            model,
            &mut lines,
            "failed",
            &format!("{} UTC, {} ago", clock(failed, now), span(now - failed)),
            columns,
        );
    }
    head(model, &mut lines, "compensations, in the order they would run");
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
        let text = format!("{} {}", phrase::id(&compensation.operation), phrase::masked(&compensation.name));
        let circuit = if compensation.circuit_open { ", its circuit is open" } else { "" };
        lines.push(Line::from(vec![
            Span::styled(format!("{:>2}. ", place + 1), look.dim()),
            Span::styled(format!("{word}{circuit}"), style),
        ]));
        lines.extend(
            wrap(&text, columns.saturating_sub(4))
                .into_iter()
                .map(|line| piece(format!("    {line}"), look.dim())),
        );
    }
    if !page.entities.is_empty() {
        head(
            model,
            &mut lines,
            &format!(
                "{} {}",
                page.entities.len(),
                if page.entities.len() == 1 { "entity" } else { "entities" }
            ),
        );
        for entity in page.entities.iter().take(30) {
            lines.extend(
                wrap(&phrase::masked(entity), columns).into_iter().map(|line| piece(line, look.dim())),
            );
        }
    }
    head(model, &mut lines, &plural(page.keys.len().max(2), "key"));
    if page.keys.is_empty() {
        lines.push(piece("none", look.dim()));
    }
    for key in &page.keys {
        let (word, style) = phrase::key(key, look);
        lines.push(Line::from(Span::styled(format!("{word}  {}", phrase::lease(key, model)), style)));
        lines.extend(
            wrap(&phrase::id(key.key.as_str()), columns.saturating_sub(2))
                .into_iter()
                .map(|line| piece(format!("  {line}"), look.dim())),
        );
    }
    head(model, &mut lines, "dead letters");
    if page.letters.is_empty() {
        lines.push(piece("none", look.dim()));
    }
    for letter in &page.letters {
        let (word, style) = phrase::letter(letter, model);
        lines.push(Line::from(vec![
            Span::styled(word, style),
            Span::styled(
                format!(
                    "  {} ago, {} in {}",
                    phrase::ago(letter.created_at, model),
                    letter.reason,
                    phrase::id(letter.state.as_str())
                ),
                look.dim(),
            ),
        ]));
        lines.extend(
            wrap(&phrase::masked(&letter.error), columns.saturating_sub(2))
                .into_iter()
                .map(|line| piece(format!("  {line}"), look.dim())),
        );
    }
    audit(model, &mut lines, &page.audit, columns);
    head(model, &mut lines, "context, masked");
    payload(model, &mut lines, &page.context, columns);
    lines
}
