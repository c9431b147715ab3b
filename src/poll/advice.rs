//! What an operator should know first, and what to do about it: from the board and the metrics together, because a
//! calm verdict says nothing of what is held back. Pure; knows neither screen nor command line.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    domain::{
        circuit::{CircuitState, Forced},
        mask,
        onboarding::WORKFLOW,
        text::SafeText,
        word::words,
    },
    engine::reader::{Board, CircuitRow, Count, PauseRow, Query},
    metrics::signals::{Signals, VerdictKind},
};

words!(
    /// What a piece of advice is about; in order of importance.
    Matter, "matter", {
        /// A replay runs into a storm.
        Replaying = "replaying",
        /// An operator holds something back.
        Paused = "paused",
        /// A circuit lets nothing through.
        CircuitOpen = "circuit_open",
        /// A circuit lets probes through and still holds onboardings.
        CircuitHalfOpen = "circuit_half_open",
        /// Nobody works.
        NoWorker = "no_worker",
        /// Nobody who works can run it.
        Unclaimed = "unclaimed",
        /// A bad item fails again and again.
        Poison = "poison",
        /// A metrics target does not answer.
        Targets = "targets",
        /// A roll-back stands.
        StuckRollBacks = "stuck_roll_backs",
        /// Dead letters are open and nothing speaks against replaying them.
        Letters = "letters",
        /// Onboardings failed without a letter.
        Failed = "failed",
    }
);

/// A key of the dashboard and what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Does {
    /// The key.
    pub key: char,
    /// What it does: completes the sentence "R …".
    pub what: &'static str,
}

/// One thing an operator should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What it is about.
    pub about: Matter,
    /// What is the matter, in one sentence without secrets.
    pub text: SafeText,
    /// The key that acts on it, where one does.
    pub does: Option<Does>,
}

/// Circuits, and definitions that nobody runs, that are told one by one.
const TOLD: usize = 2;

/// What `board` and `signals` say together at `now` by the database's clock, most important first.
pub fn advice(board: &Board, signals: Option<&Signals>, now: DateTime<Utc>) -> Vec<Advice> {
    let mut pauses: Vec<&PauseRow> = board.pauses.iter().collect();
    pauses.sort_by_key(|pause| pause.operation.as_str() != WORKFLOW);
    let mut all: Vec<Advice> = signals.and_then(|signals| replaying(signals, board)).into_iter().collect();
    let pauses = pauses.into_iter().map(|pause| paused(pause, board, now));
    all.extend(pauses);
    let circuits = circuits(board, now);
    let open = circuits.iter().any(|advice| advice.about == Matter::CircuitOpen);
    all.extend(circuits);
    all.extend(workers(board));
    all.extend(
        board.unclaimed.iter().take(TOLD).map(|unclaimed| say(Matter::Unclaimed, &unclaimed.to_string())),
    );
    all.extend(signals.and_then(targets));
    all.extend(roll_backs(board));
    let quiet = signals.is_none_or(|s| matches!(s.verdict.kind, VerdictKind::Calm | VerdictKind::Unknown));
    // What failed would only fail again, or feed the storm.
    if quiet && !open {
        // While more is wrong than an item, those that fail are its victims.
        let alone = board.poison.as_ref().filter(|_| board.counts.parked.0 == 0);
        all.extend(alone.map(|poison| say(Matter::Poison, &poison.to_string())));
        all.extend(letters(board));
        all.extend(failed(board));
    }
    all
}

fn say(about: Matter, text: &str) -> Advice {
    Advice { about, text: SafeText::new(&mask::secrets(text)), does: None }
}

/// The safest lever of all: what nobody waits for is not sent into the storm.
fn replaying(signals: &Signals, board: &Board) -> Option<Advice> {
    let count = board.counts.replaying;
    let bad = matches!(signals.verdict.kind, VerdictKind::Elevated | VerdictKind::Storm | VerdictKind::Stuck);
    let does = Does { key: 'K', what: "stops the newest replay" };
    let text = format!("{count} dead {} being replayed into this", counted_are(count.0, "letter"));
    (bad && count.0 > 0).then(|| Advice { does: Some(does), ..say(Matter::Replaying, &text) })
}

/// `onboarding is paused by ana for 8 min more: nothing goes forward`.
fn paused(pause: &PauseRow, board: &Board, now: DateTime<Utc>) -> Advice {
    let until = match pause.decision.until.map(|until| (until - now).num_seconds().max(0)) {
        None => "until somebody lets it go on".to_owned(),
        Some(seconds) if seconds < 120 => format!("for {seconds} s more"),
        Some(seconds) if seconds < 2 * 3_600 => format!("for {} min more", (seconds + 30) / 60),
        Some(seconds) if seconds < 48 * 3_600 => format!("for {} h more", seconds / 3_600),
        Some(seconds) => format!("for {} d more", seconds / (24 * 3_600)),
    };
    let everything = pause.operation.as_str() == WORKFLOW;
    let held =
        board.circuits.iter().find(|row| row.operation == pause.operation).map_or(0, |row| row.holds.0);
    let effect = match (everything, held) {
        (true, _) => "nothing goes forward".to_owned(),
        (false, 0) => "none of its calls is made".to_owned(),
        (false, held) => format!("holds {held} {}", counted(held, "onboarding")),
    };
    let text = format!("{} is paused by {} {until}: {effect}", pause.operation, pause.decision.operator);
    let what = if everything { "lets it go on" } else { "lets it go on, on its row in 5 Circuits" };
    Advice { does: Some(Does { key: 'P', what }), ..say(Matter::Paused, &text) }
}

fn circuits(board: &Board, now: DateTime<Utc>) -> Vec<Advice> {
    let mut found: Vec<(Matter, &CircuitRow)> = board
        .circuits
        .iter()
        .filter(|row| row.paused.is_none())
        .filter_map(|row| match (row.forced, row.state) {
            (Some(Forced::Closed | Forced::Disabled), _) | (None, CircuitState::Closed) => None,
            (Some(Forced::Open), _) | (None, CircuitState::Open) => Some((Matter::CircuitOpen, row)),
            (None, CircuitState::HalfOpen) => (row.holds.0 > 0).then_some((Matter::CircuitHalfOpen, row)),
        })
        .collect();
    found.sort_by_key(|(matter, row)| (*matter, -row.holds.0, row.operation.clone()));
    let rest = found.split_off(found.len().min(TOLD));
    let does = |row: &CircuitRow| {
        let what = "leaves it to the workers again, on its row in 5 Circuits";
        row.forced.map(|_| Does { key: 'O', what })
    };
    let told = |(matter, row)| Advice { does: does(row), ..say(matter, &circuit(row, now)) };
    let mut all: Vec<_> = found.into_iter().map(told).collect();
    if let Some((matter, _)) = rest.first() {
        let circuits = if rest.len() == 1 { "circuit is" } else { "circuits are" };
        all.push(say(*matter, &format!("{} more {circuits} not closed", rest.len())));
    }
    all
}

fn circuit(row: &CircuitRow, now: DateTime<Utc>) -> String {
    let state = match (row.forced, row.state) {
        (Some(_), _) => "is forced OPEN",
        (None, CircuitState::HalfOpen) => "half open",
        (None, _) => "OPEN",
    };
    let mut text = format!("circuit {} {state}", row.operation);
    if row.forced.is_none() {
        let (worst, all) = row.instances;
        text.push_str(&format!(" on {worst} of {all} {}", counted(i64::from(all), "worker")));
    }
    if row.holds.0 > 0 {
        text.push_str(&format!(", holds {} {}", row.holds, counted(row.holds.0, "onboarding")));
    }
    if let (None, CircuitState::Open, Some(probe)) = (row.forced, row.state, row.probe_at) {
        let left = (probe - now).num_milliseconds();
        text.push_str(&match left {
            ..=0 => ", probe is due".to_owned(),
            ms if ms < 10_000 => format!(", probe in {} s", ms / 1_000),
            ms if ms < 120_000 => format!(", probe in {} s", (ms + 500) / 1_000),
            ms => format!(", probe in {} min", ms / 60_000),
        });
    }
    text
}

fn workers(board: &Board) -> Option<Advice> {
    let counts = &board.counts;
    let waiting = counts.in_progress.0 + counts.parked.0 + counts.rolling_back.0;
    let nobody = !board.workers.iter().any(|worker| worker.alive);
    (nobody && waiting > 0)
        .then(|| say(Matter::NoWorker, "no worker is running: nothing will move until one starts"))
}

fn targets(signals: &Signals) -> Option<Advice> {
    let all = signals.targets.len();
    let silent = signals.targets.iter().filter(|target| target.error.is_some()).count();
    // When none answers the verdict is unknown and says why itself.
    (silent > 0 && silent < all).then(|| {
        let answer = if silent == 1 { "does" } else { "do" };
        say(
            Matter::Targets,
            &format!("{silent} of {all} targets {answer} not answer: the verdict sees only a part"),
        )
    })
}

fn roll_backs(board: &Board) -> Option<Advice> {
    let stuck = board.counts.stuck;
    let text = format!("{stuck} {} stuck", counted_are(stuck.0, "roll-back"));
    let does = Does { key: 'B', what: "tries again, on its row in 2 Onboardings" };
    (stuck.0 > 0).then(|| Advice { does: Some(does), ..say(Matter::StuckRollBacks, &text) })
}

fn letters(board: &Board) -> Option<Advice> {
    let open = board.counts.letters;
    let text = format!("{open} dead {} open", counted_are(open.0, "letter"));
    let does = Does { key: 'R', what: if open.0 == 1 { "replays it" } else { "replays them" } };
    (open.0 > 0).then(|| Advice { does: Some(does), ..say(Matter::Letters, &text) })
}

fn failed(board: &Board) -> Option<Advice> {
    let counts = &board.counts;
    // Beyond the cap nobody knows how many.
    let known = counts.failed.0 < Query::COUNT_CAP;
    let without = Count(counts.failed.0 - counts.letters.0 - counts.replaying.0);
    let text = format!("{without} failed {} no dead letter", counted_have(without.0, "onboarding"));
    let does = Does { key: 'U', what: "resumes what failed" };
    (known && without.0 > 0).then(|| Advice { does: Some(does), ..say(Matter::Failed, &text) })
}

fn counted(count: i64, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

fn counted_are(count: i64, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if count == 1 { "is" } else { "are" })
}

fn counted_have(count: i64, noun: &str) -> String {
    format!("{} {}", counted(count, noun), if count == 1 { "has" } else { "have" })
}
