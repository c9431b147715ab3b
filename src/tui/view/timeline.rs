//! The states of an onboarding as a timeline: what each came to, by what was recorded of it, and its attempts.

use ratatui::{
    style::Style,
    text::{Line, Span},
};

use super::{phrase, scale};
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
        theme::Look,
        widget::text::{left, piece, plural, span, wrap},
    },
};

/// Up to this many subtasks are named; more are counted.
const NAMED: usize = 5;

/// What a state came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// It was recorded as done.
    Done,
    /// A later one was reached, so it was done where nothing was recorded for us.
    Passed,
    /// It failed.
    Failed,
    /// It runs.
    Running,
    /// It was begun and is not done.
    Begun,
    /// It was never reached.
    Never,
}

impl Came {
    fn sign(self, look: Look) -> (&'static str, Style) {
        match self {
            Self::Done => ("✓", look.good()),
            Self::Passed => ("✓", look.dim()),
            Self::Failed => ("✗", look.bad()),
            Self::Running => ("●", look.busy()),
            Self::Begun => ("○", look.warn()),
            Self::Never => ("·", look.dim()),
        }
    }
}

/// Every state with its attempts.
pub(super) fn lines(model: &Model, page: &OnboardingPage, columns: usize, lines: &mut Vec<Line<'static>>) {
    for state in states(page) {
        state_lines(model, page, &state, columns, lines);
    }
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

/// The place among the states that run forward.
fn place(state: &StateName) -> Option<usize> {
    State::FORWARD.iter().position(|known| known.as_str() == state.as_str())
}

fn came(page: &OnboardingPage, state: &StateName) -> Came {
    let row = &page.row;
    let is_current = row.current_state.as_ref() == Some(state);
    if state.as_str() == State::RollingBack.as_str() {
        return match (row.phase, row.status) {
            (Some(Phase::Stuck), _) => Came::Failed,
            (Some(Phase::RollingBack), _) => Came::Running,
            (Some(Phase::RolledBack), _) | (_, Status::FailedCleanedUp) => Came::Done,
            _ if is_current => Came::Begun,
            _ => Came::Never,
        };
    }
    let goes_back = matches!(row.phase, Some(Phase::RollingBack | Phase::RolledBack | Phase::Stuck))
        || row.status == Status::FailedCleanedUp;
    let stands =
        matches!(row.phase, Some(Phase::Failed)) || row.phase.is_none() && row.status == Status::Failed;
    let attempts = || page.attempts.iter().filter(|attempt| attempt.state == *state);
    let newest = attempts().next_back();
    let succeeded = attempts().any(|attempt| attempt.outcome == Some(AttemptOutcome::Succeeded));
    let ended_badly =
        newest.is_some_and(|a| matches!(a.outcome, Some(AttemptOutcome::Failed | AttemptOutcome::Lost)));
    // How far it came by what was recorded: going back says nothing of the states that never ran.
    let tried = page.attempts.iter().map(|attempt| &attempt.state);
    let worked = page.subtasks.iter().map(|(of, ..)| of).chain(page.compensations.iter().map(|c| &c.state));
    let furthest = tried.chain(worked).chain(&row.current_state).filter_map(place).max();
    let was_passed = place(state).zip(furthest).is_some_and(|(own, furthest)| own < furthest);
    match () {
        () if is_current && stands => Came::Failed,
        () if succeeded || row.status == Status::Completed => Came::Done,
        () if goes_back && (ended_badly || is_current) => Came::Failed,
        () if is_current && row.phase == Some(Phase::Running) => Came::Running,
        () if is_current => Came::Begun,
        () if was_passed && newest.is_none() => Came::Passed,
        () if newest.is_some() || page.subtasks.iter().any(|(of, ..)| of == state) => Came::Begun,
        () => Came::Never,
    }
}

fn state_lines(
    model: &Model,
    page: &OnboardingPage,
    state: &StateName,
    columns: usize,
    lines: &mut Vec<Line<'static>>,
) {
    let look = model.look;
    let attempts: Vec<&AttemptRow> = page.attempts.iter().filter(|attempt| attempt.state == *state).collect();
    let came = came(page, state);
    let (sign, style) = came.sign(look);
    let name_style = if matches!(came, Came::Never | Came::Passed) { look.dim() } else { look.base() };
    let mut spans = vec![
        Span::styled(format!("{sign} "), style),
        Span::styled(left(&phrase::id(state.as_str()), 17), name_style),
    ];
    if let (Some(first), Some(newest)) = (attempts.first(), attempts.last()) {
        spans.push(Span::styled(format!(" {}", phrase::moment(first.started_at, model)), look.dim()));
        let ended = newest.ended_at.unwrap_or_else(|| model.database_now());
        spans.push(Span::styled(format!("  {:>6}", span(ended - first.started_at)), look.dim()));
        let counted = attempts.iter().filter(|attempt| counts(attempt)).count();
        if counted > 1 {
            spans.push(Span::styled(format!("  {counted} {}", plural(counted, "attempt")), look.warn()));
        }
    }
    lines.push(Line::from(spans));
    // An attempt that simply worked says nothing the state's line does not.
    to_scale(model, page, state, &attempts, columns, lines);
    if attempts.len() > 1 || attempts.iter().any(|a| a.outcome != Some(AttemptOutcome::Succeeded)) {
        history(model, attempts, columns, lines);
    }
    let subtasks: Vec<String> = page
        .subtasks
        .iter()
        .filter(|(of, ..)| of == state)
        .map(|(_, name, _)| phrase::masked(name))
        .collect();
    if !subtasks.is_empty() {
        let text = match subtasks.len() {
            n if n > NAMED => format!("done: {n} subtasks"),
            _ => format!("done: {}", subtasks.join(", ")),
        };
        lines.extend(
            wrap(&text, columns.saturating_sub(4))
                .into_iter()
                .map(|line| piece(format!("    {line}"), look.dim())),
        );
    }
}

/// Attempts and delays as long as they were, also the delay that is still to come.
fn to_scale(
    model: &Model,
    page: &OnboardingPage,
    state: &StateName,
    attempts: &[&AttemptRow],
    columns: usize,
    lines: &mut Vec<Line<'static>>,
) {
    const MOST: usize = 60;
    let is_current = page.row.current_state.as_ref() == Some(state);
    let next = page.row.run_at.filter(|_| is_current && page.row.phase == Some(Phase::Waiting));
    if attempts.len() < 2 && next.is_none() {
        return;
    }
    let now = model.database_now();
    let spans: Vec<_> = attempts.iter().map(|a| (a.started_at, a.ended_at.unwrap_or(now))).collect();
    let (Some(first), Some(last)) = (spans.first(), spans.last()) else { return };
    let until = next.unwrap_or(last.1);
    let wide = columns.saturating_sub(18).min(MOST);
    if let Some(bar) = scale::bar(&spans, until, wide) {
        let whole = span(until.max(last.1) - first.0);
        lines.push(Line::from(vec![
            Span::styled(format!("    {bar}"), model.look.warn()),
            Span::styled(format!("  {whole}"), model.look.dim()),
        ]));
    }
}

/// Whether an attempt was spent: a look at an open circuit and one handed back spend none, and so have no number.
fn counts(attempt: &AttemptRow) -> bool {
    !matches!(attempt.outcome, Some(AttemptOutcome::Parked | AttemptOutcome::HandedBack))
}

/// Attempts at one state, oldest first; says where their numbers begin anew.
pub(super) fn history<'a>(
    model: &Model,
    attempts: impl IntoIterator<Item = &'a AttemptRow>,
    columns: usize,
    lines: &mut Vec<Line<'static>>,
) {
    let attempts: Vec<&AttemptRow> = attempts.into_iter().collect();
    let mut highest = 0;
    // Waiting for a circuit costs no attempt and repeats: each run of it is told once, by its newest.
    for run in attempts.chunk_by(|a, b| a.outcome == Some(AttemptOutcome::Parked) && b.outcome == a.outcome) {
        let Some(attempt) = run.last() else { continue };
        if run.len() > 1 {
            let text = format!("        parked {} times in a row, the last:", run.len());
            lines.push(piece(text, model.look.dim()));
        }
        if counts(attempt) {
            if attempt.attempt <= highest {
                lines.push(piece("    resumed: attempts are counted anew", model.look.dim()));
            }
            highest = attempt.attempt;
        }
        attempt_lines(model, attempt, columns, lines);
    }
}

/// One attempt: when, how it ended, its error, why it was or was not retried.
fn attempt_lines(model: &Model, attempt: &AttemptRow, columns: usize, lines: &mut Vec<Line<'static>>) {
    let look = model.look;
    let (word, style) = match attempt.outcome {
        None => ("running", look.busy()),
        Some(AttemptOutcome::Succeeded) => ("succeeded", look.good()),
        Some(AttemptOutcome::Failed) => ("failed", look.bad()),
        Some(AttemptOutcome::Parked) => ("parked", look.warn()),
        Some(AttemptOutcome::HandedBack) => ("handed back", look.dim()),
        Some(AttemptOutcome::Lost) => ("lost", look.bad()),
    };
    let number = if counts(attempt) { format!("{:>2}.", attempt.attempt) } else { " - ".to_owned() };
    let mut spans = vec![
        Span::styled(format!("    {number} "), look.dim()),
        Span::styled(format!("{} ", phrase::moment(attempt.started_at, model)), look.dim()),
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
        (Some(circuit), Some(delay)) if !counts(attempt) && is_word(&circuit) => {
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
