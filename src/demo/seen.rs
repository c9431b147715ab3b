//! What the dashboard would have shown while a scenario ran: every snapshot's verdict, rows and board, boiled down. It
//! draws no conclusions; each scenario asks it for what it expects.

use std::collections::BTreeMap;

use serde::Serialize;

use super::stage::Stage;
use crate::{
    clock,
    domain::circuit::CircuitState,
    engine::reader::Board,
    metrics::signals::{OperationSignal, Signals, VerdictKind},
    poll::Snapshot,
};

/// A verdict, from when it appeared until another took its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Said {
    /// When it appeared, in seconds of the scenario's time since its beginning.
    pub at: f64,
    /// What it is about; `None` when calm or unknown.
    pub operation: Option<String>,
    /// The word.
    pub verdict: VerdictKind,
    /// The proof, as it read when it appeared.
    pub sentence: String,
    /// Callers by their share of the excess retries, largest first, as they stood last.
    pub callers: Vec<(String, f64)>,
    /// The deepest callee that fails, as it stood last.
    pub root: Option<String>,
}

/// One operation's own verdict, from when it appeared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Turn {
    /// When, in seconds of the scenario's time since its beginning.
    pub at: f64,
    /// The operation.
    pub operation: String,
    /// The word.
    pub verdict: VerdictKind,
}

/// What one row, an operation and a caller, came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Extremes {
    /// The highest α.
    pub(super) amplification: f64,
    /// The budget left, added up over so many looks.
    budget: (f64, u32),
}

impl Extremes {
    /// The budget left on average, where it is told.
    pub(super) fn usual_budget(&self) -> Option<f64> {
        let (all, looks) = self.budget;
        (looks > 0).then(|| all / f64::from(looks))
    }
}

/// The extremes of the board, and its last word.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Boarded {
    pub(super) parked: i64,
    pub(super) letters: i64,
    pub(super) keys_stuck: i64,
    pub(super) keys_failed_storage: i64,
    /// By how much a key was over its lease, in real seconds.
    pub(super) overdue: i64,
}

/// Everything that was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) verdicts: Vec<Said>,
    pub(super) turns: Vec<Turn>,
    /// By operation and caller.
    pub(super) rows: BTreeMap<(String, String), Extremes>,
    /// When a circuit of ours was in which state.
    pub(super) circuits: Vec<(f64, String, CircuitState)>,
    pub(super) most: Boarded,
    pub(super) last: Boarded,
    /// Times a stored answer was replayed over the last five minutes, at most, by operation.
    pub(super) replayed: BTreeMap<String, f64>,
    /// Answers that could not be stored.
    pub(super) not_stored: u64,
    /// The bad item last named.
    pub(super) poison: Option<String>,
    /// Keys run again after their lease or a failed storage, by operation.
    pub(super) recovered: BTreeMap<String, u64>,
}

impl Seen {
    /// Takes one picture.
    pub(super) fn look(&mut self, snapshot: &Snapshot, stage: &Stage) {
        let at = stage.at(clock::instant());
        if let Some(signals) = &snapshot.signals {
            self.verdict(signals, at);
            signals.operations.iter().for_each(|row| self.row(row, at));
            for key in signals.keys.iter().flat_map(|keys| &keys.operations) {
                let name = key.operation.to_string();
                let hits = key.hit_ratio.unwrap_or(0.0) * key.asked as f64;
                let most = self.replayed.entry(name.clone()).or_default();
                *most = most.max(hits.round());
                let most = self.recovered.entry(name).or_default();
                *most = (*most).max(key.recovered);
            }
            self.not_stored = self.not_stored.max(signals.keys.as_ref().map_or(0, |keys| keys.not_stored));
        }
        if let Some(board) = &snapshot.board {
            self.board(board, at);
        }
    }

    fn verdict(&mut self, signals: &Signals, at: f64) {
        let verdict = &signals.verdict;
        let operation = verdict.operation.as_ref().map(ToString::to_string);
        let root = verdict.root.as_ref().map(ToString::to_string);
        let callers: Vec<_> =
            verdict.callers.iter().map(|(name, share)| (name.to_string(), *share)).collect();
        match self.verdicts.last_mut() {
            Some(last) if last.verdict == verdict.kind && last.operation == operation => {
                // A storm that is over has none: who made it is still worth telling.
                if !callers.is_empty() {
                    last.callers = callers;
                }
                last.root = root.or(last.root.take());
            }
            _ => self.verdicts.push(Said {
                at,
                operation,
                verdict: verdict.kind,
                sentence: verdict.sentence.to_string(),
                callers,
                root,
            }),
        }
    }

    fn row(&mut self, row: &OperationSignal, at: f64) {
        let operation = row.operation.to_string();
        let before = self.turns.iter().rev().find(|turn| turn.operation == operation);
        if before.map_or(row.verdict != VerdictKind::Unknown, |turn| turn.verdict != row.verdict) {
            self.turns.push(Turn { at, operation: operation.clone(), verdict: row.verdict });
        }
        let known = self.rows.entry((operation, row.caller.to_string())).or_default();
        known.amplification = known.amplification.max(row.amplification.unwrap_or(0.0));
        if let Some(left) = row.budget_remaining {
            known.budget.0 += left;
            known.budget.1 += 1;
        }
    }

    fn board(&mut self, board: &Board, at: f64) {
        for circuit in &board.circuits {
            let name = circuit.operation.to_string();
            let before = self.circuits.iter().rev().find(|(_, of, _)| *of == name).map(|(.., state)| *state);
            if before.unwrap_or(CircuitState::Closed) != circuit.state {
                self.circuits.push((at, name, circuit.state));
            }
        }
        let first = board.poison.as_ref().and_then(|poison| poison.items.first());
        self.poison = first.map(|item| item.id.to_string()).or(self.poison.take());
        let overdue = board.counts.oldest_stuck_key.map_or(0, |since| (board.at - since).num_seconds());
        self.last = Boarded {
            parked: board.counts.parked.0,
            letters: board.counts.letters.0,
            keys_stuck: board.counts.keys_stuck.0,
            keys_failed_storage: board.counts.keys_failed_storage.0,
            overdue,
        };
        self.most = Boarded {
            parked: self.most.parked.max(self.last.parked),
            letters: self.most.letters.max(self.last.letters),
            keys_stuck: self.most.keys_stuck.max(self.last.keys_stuck),
            keys_failed_storage: self.most.keys_failed_storage.max(self.last.keys_failed_storage),
            overdue: self.most.overdue.max(self.last.overdue),
        };
    }

    /// The first headline of one of these kinds about `operation`.
    pub(super) fn headline(&self, operation: &str, kinds: &[VerdictKind]) -> Option<&Said> {
        let about = |said: &&Said| said.operation.as_deref() == Some(operation);
        self.verdicts.iter().filter(about).find(|said| kinds.contains(&said.verdict))
    }

    /// Whether the operation itself was ever judged to be one of these.
    pub(super) fn was(&self, operation: &str, kinds: &[VerdictKind]) -> bool {
        self.turns.iter().any(|turn| turn.operation == operation && kinds.contains(&turn.verdict))
    }

    /// The words that were headlines, each once, in the order they came.
    pub(super) fn words(&self) -> Vec<VerdictKind> {
        let mut words: Vec<VerdictKind> = Vec::new();
        for said in &self.verdicts {
            if !words.contains(&said.verdict) {
                words.push(said.verdict);
            }
        }
        words
    }

    /// The states one circuit went through, from closed.
    pub(super) fn circuit(&self, operation: &str) -> Vec<CircuitState> {
        self.circuits.iter().filter(|(_, of, _)| of == operation).map(|(.., state)| *state).collect()
    }

    /// The extremes of one row.
    pub(super) fn extremes(&self, operation: &str, caller: &str) -> Extremes {
        self.rows.get(&(operation.to_owned(), caller.to_owned())).copied().unwrap_or_default()
    }
}
