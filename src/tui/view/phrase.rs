//! How nouns are said on the screen: one word and one style for each standing, the same on every screen.

use chrono::{DateTime, Utc};
use ratatui::style::Style;

use crate::{
    domain::{
        attempt::CompensationStatus,
        circuit::{CircuitState, Forced},
        key::KeyPhase,
        letter::LetterStatus,
        mask,
        onboarding::{Phase, Status},
        shape::shape,
        text::SafeText,
    },
    engine::{
        command::LastAction,
        reader::{CircuitRow, Decision, KeyRow, LetterRow, OnboardingRow},
    },
    metrics::signals::{KeySignal, VerdictKind},
    tui::{
        model::{Clock, Model},
        theme::Look,
        widget::{
            table::Mark,
            text::{clock, span, whole_span},
        },
    },
};

/// Text from outside, without secrets.
pub(super) fn masked(text: &SafeText) -> String {
    mask::secrets(text.as_str())
}

/// A raw id, safe to show.
pub(super) fn id(raw: &str) -> String {
    SafeText::new(raw).as_str().to_owned()
}

/// `github.com/acme/payments` without its scheme; GitHub's own host is not worth its columns.
pub(super) fn repository(url: &SafeText) -> String {
    let url = masked(url);
    let bare = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://")).unwrap_or(&url);
    bare.strip_prefix("github.com/").unwrap_or(bare).to_owned()
}

/// A letter's onboarding by its repository, as the list of onboardings says it: a label is a tenant and a URL.
pub(super) fn label(label: &SafeText) -> String {
    match label.as_str().rsplit_once(' ') {
        Some((_, url)) if url.starts_with("https://") || url.starts_with("http://") => {
            repository(&SafeText::new(url))
        }
        _ => masked(label),
    }
}

/// What the errors of a group share; what varies from one to the next is a `#`.
pub(super) fn kind_of(error: &SafeText) -> String {
    shape(&masked(error))
}

/// How long ago, for columns that are compared; UTC where the operator wants that everywhere.
pub(super) fn ago(at: DateTime<Utc>, model: &Model) -> String {
    match model.clock {
        Clock::Utc => clock(at, model.database_now()),
        Clock::Usual | Clock::Ago => whole_span(model.database_now() - at),
    }
}

/// The same in a sentence: `57 s ago`, or `14:01:34 UTC`.
pub(super) fn since(at: DateTime<Utc>, model: &Model) -> String {
    match model.clock {
        Clock::Utc => format!("{} UTC", clock(at, model.database_now())),
        Clock::Usual | Clock::Ago => format!("{} ago", span(model.database_now() - at)),
    }
}

/// A moment of a history: UTC, or how long ago where the operator wants that everywhere.
pub(super) fn moment(at: DateTime<Utc>, model: &Model) -> String {
    match model.clock {
        Clock::Ago => format!("{} ago", whole_span(model.database_now() - at)),
        Clock::Usual | Clock::Utc => clock(at, model.database_now()),
    }
}

/// Where an onboarding stands.
pub(super) fn onboarding(row: &OnboardingRow, model: &Model) -> (String, Style) {
    let look = model.look;
    if let Some(pending) = model.pending.get(row.id.as_str()) {
        return (format!("pending {}", pending.kind.words()), look.busy());
    }
    let Some(phase) = row.phase else {
        return match row.status {
            Status::InProgress => ("in progress elsewhere".to_owned(), look.dim()),
            Status::Failed => ("failed elsewhere".to_owned(), look.bad()),
            Status::Completed => ("completed".to_owned(), look.good()),
            Status::FailedCleanedUp => ("rolled back".to_owned(), look.dim()),
        };
    };
    let due = row.run_at.map(|at| at - model.database_now()).filter(|left| left.num_milliseconds() > 0);
    match phase {
        Phase::Queued => ("queued".to_owned(), look.busy()),
        Phase::Running => ("running".to_owned(), look.busy()),
        Phase::Waiting => (
            due.map_or("retry is due".to_owned(), |left| format!("retry in {}", whole_span(left))),
            look.warn(),
        ),
        Phase::Parked => ("parked".to_owned(), look.warn()),
        Phase::Completed => ("completed".to_owned(), look.good()),
        Phase::Failed => ("failed".to_owned(), look.bad()),
        Phase::RollingBack => ("rolling back".to_owned(), look.warn()),
        Phase::Stuck => ("stuck".to_owned(), look.bad()),
        Phase::RolledBack => ("rolled back".to_owned(), look.dim()),
    }
}

/// Where a key stands.
pub(super) fn key(row: &KeyRow, model: &Model) -> (String, Style) {
    let look = model.look;
    if let Some(pending) = model.pending.get(row.key.as_str()) {
        return (format!("pending {}", pending.kind.words()), look.busy());
    }
    match (row.phase, row.stuck) {
        (_, true) => ("stuck".to_owned(), look.bad()),
        (Some(KeyPhase::Started), _) => ("in flight".to_owned(), look.busy()),
        (Some(KeyPhase::Completed), _) => ("completed".to_owned(), look.good()),
        (Some(KeyPhase::Failed), _) => ("failed for good".to_owned(), look.bad()),
        (Some(KeyPhase::Freed), _) => ("free to retry".to_owned(), look.warn()),
        (Some(KeyPhase::FailedStorage), _) => ("failed storage".to_owned(), look.bad()),
        (None, _) => (format!("{} elsewhere", row.status), look.dim()),
    }
}

/// What the metrics tell of an operation's keys.
pub(super) fn key_signal<'a>(model: &'a Model, operation: &str) -> Option<&'a KeySignal> {
    let signals = model.key_signals()?;
    signals.operations.iter().find(|signal| signal.operation.as_str() == operation)
}

/// A key's lock against its lease.
pub(super) fn lease(row: &KeyRow, model: &Model) -> String {
    match (row.locked_at, row.lease_until) {
        (None, _) => "-".to_owned(),
        (Some(_), None) => "no lease".to_owned(),
        (Some(_), Some(until)) => {
            let left = until - model.database_now();
            if left.num_milliseconds() >= 0 {
                format!("{} left", whole_span(left))
            } else {
                format!("over by {}", whole_span(-left))
            }
        }
    }
}

/// Where a letter stands.
pub(super) fn letter(row: &LetterRow, model: &Model) -> (String, Style) {
    let look = model.look;
    if let Some(pending) = model.pending.get(row.id.as_str()) {
        return (format!("pending {}", pending.kind.words()), look.busy());
    }
    match row.status {
        LetterStatus::Open => ("open".to_owned(), look.bad()),
        LetterStatus::Replaying => ("replaying".to_owned(), look.busy()),
        LetterStatus::Closed => {
            let how = row.outcome.map_or("closed".to_owned(), |outcome| outcome.as_str().replace('_', " "));
            (how, look.good())
        }
        LetterStatus::Discarded => ("discarded".to_owned(), look.dim()),
        LetterStatus::Quarantined => ("quarantined".to_owned(), look.warn()),
    }
}

/// What a circuit lets through: what was decided wins over what was computed.
pub(super) fn circuit(row: &CircuitRow, look: Look) -> (&'static str, Style) {
    if row.paused.is_some() {
        return ("paused", look.warn());
    }
    match (row.forced, row.state) {
        (Some(Forced::Open), _) => ("forced OPEN", look.bad()),
        (Some(Forced::Closed), _) => ("forced closed", look.warn()),
        (Some(Forced::Disabled), _) => ("disabled", look.warn()),
        (None, CircuitState::Open) => ("OPEN", look.bad()),
        (None, CircuitState::HalfOpen) => ("half open", look.warn()),
        (None, CircuitState::Closed) => ("closed", look.good()),
    }
}

/// What operators decided about an operation, in words; `None`: nothing.
pub(super) fn decided(row: &CircuitRow) -> Option<String> {
    let forced = row.forced.map(|forced| forced.as_str().replace('_', " "));
    let paused = row.paused.as_ref().map(|_| "paused".to_owned());
    [paused, forced].into_iter().flatten().reduce(|a, b| format!("{a}, {b}"))
}

/// `by ana for 8 m more: GitHub asked us to`.
pub(super) fn decision(decision: &Decision, model: &Model) -> String {
    let left = decision.until.map(|until| until - model.database_now());
    let until = match left {
        None => "until it is taken back".to_owned(),
        Some(left) if left.num_milliseconds() > 0 => format!("for {} more", whole_span(left)),
        Some(_) => "and over by now".to_owned(),
    };
    let why = decision.reason.as_ref().map(|why| format!(": {}", masked(why))).unwrap_or_default();
    format!("by {}, {until}{why}", decision.operator)
}

/// When a circuit probes next.
pub(super) fn probe(row: &CircuitRow, model: &Model) -> Option<String> {
    if row.state != CircuitState::Open || row.forced.is_some() || row.paused.is_some() {
        return None;
    }
    let left = row.probe_at? - model.database_now();
    Some(if left.num_milliseconds() > 0 {
        format!("probe in {}", whole_span(left))
    } else {
        "probe is due".to_owned()
    })
}

/// Where a compensation stands.
pub(super) fn compensation(status: CompensationStatus, look: Look) -> (&'static str, Style) {
    match status {
        CompensationStatus::Recorded => ("would run", look.base()),
        CompensationStatus::Undone => ("undone", look.good()),
        CompensationStatus::NothingToUndo => ("nothing to undo", look.dim()),
        CompensationStatus::Failed => ("failed to undo", look.bad()),
    }
}

/// A verdict's style.
pub(super) fn verdict(kind: VerdictKind, look: Look) -> Style {
    match kind {
        VerdictKind::Calm => look.good(),
        VerdictKind::Elevated | VerdictKind::Recovering => look.warn(),
        VerdictKind::Storm | VerdictKind::Stuck => look.bad(),
        VerdictKind::Unknown => look.dim(),
    }
}

/// `replayed by ana, 40 s ago`.
pub(super) fn last_action(last: Option<&LastAction>, model: &Model) -> String {
    last.map_or_else(String::new, |last| {
        let did = last.kind.past();
        format!("{did} by {}, {}", id(&last.operator), since(last.at, model))
    })
}

/// `ana, 40 s ago`, for lists.
pub(super) fn last_action_short(last: Option<&LastAction>, model: &Model) -> String {
    last.map_or_else(String::new, |last| {
        let ago = match model.clock {
            Clock::Utc => since(last.at, model),
            Clock::Usual | Clock::Ago => format!("{} ago", whole_span(model.database_now() - last.at)),
        };
        format!("{}, {ago}", id(&last.operator))
    })
}

/// Whether a row is marked, and whether it is still the one that was.
pub(super) fn mark(model: &Model, id: &str, version: i64) -> Mark {
    match model.list().marks.get(id) {
        None => Mark::None,
        Some(seen) if *seen == version => Mark::Marked,
        Some(_) => Mark::Changed,
    }
}

/// How a circuit that others tell of is drawn, by how bad it is.
pub(super) fn severity(severity: u8, look: Look) -> Style {
    match severity {
        0 => look.good(),
        1 | 2 => look.dim(),
        3 | 4 => look.warn(),
        _ => look.bad(),
    }
}
