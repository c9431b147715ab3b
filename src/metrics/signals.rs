//! What the metrics say right now: the part of a Snapshot that comes from targets. Pure shapes.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::{text::SafeText, word::words};

words!(
    /// The verdict's word.
    VerdictKind, "verdict", {
        /// Nothing to do.
        Calm = "calm",
        /// Retries are above their line.
        Elevated = "ELEVATED",
        /// Retries feed on themselves.
        Storm = "STORM",
        /// A storm that will not clear by itself.
        Stuck = "STUCK",
        /// Planned backoff after an outage: retries are high and help.
        Recovering = "RECOVERING",
        /// No fresh data.
        Unknown = "UNKNOWN",
    }
);

/// The verdict over all operations: the worst of them, with its proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The word.
    pub kind: VerdictKind,
    /// The operation it is about; `None` when calm or unknown.
    pub operation: Option<SafeText>,
    /// The proof in one sentence: load factor, ρ, η, budget.
    pub sentence: SafeText,
    /// Callers by their share of the excess retries, largest first, in `[0, 1]`.
    pub callers: Vec<(SafeText, f64)>,
    /// When this kind of verdict was reached.
    pub since: Option<DateTime<Utc>>,
    /// When the trouble began: the first scrape interval of the retries that led here.
    pub began: Option<DateTime<Utc>>,
    /// The deepest callee that fails, where calls fail at all.
    pub root: Option<SafeText>,
    /// What can be done, safest first.
    pub levers: Vec<Lever>,
}

/// One thing that would help.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lever {
    /// An action of ours (*do*), or somebody else's system (*advise*).
    pub ours: bool,
    /// What to do, in words.
    pub text: SafeText,
    /// The key that does it, for an action of ours.
    pub key: Option<char>,
}

/// One operation over the verdict's window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationSignal {
    /// `github.create_hook`.
    pub operation: SafeText,
    /// Who calls: the target's name.
    pub caller: SafeText,
    /// First tries per second; `None` where the source is silent.
    pub first_rate: Option<f64>,
    /// Retries per second; `None` where the source is silent.
    pub retry_rate: Option<f64>,
    /// All attempts per second; `None` where the source is silent.
    pub attempt_rate: Option<f64>,
    /// ρ: retries among all attempts, in `[0, 1]`.
    pub retry_ratio: Option<f64>,
    /// α: attempts per first try, from 1.
    pub amplification: Option<f64>,
    /// η: retries that succeeded among all retries; `None` where the source is silent.
    pub efficacy: Option<f64>,
    /// Retry budget left, in `[0, 1]`; `None` where the source is silent.
    pub budget_remaining: Option<f64>,
    /// This operation's own verdict.
    pub verdict: VerdictKind,
}

/// A circuit as a watched process tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CircuitSignal {
    /// The circuit, or the operation it guards.
    pub circuit: SafeText,
    /// The process.
    pub process: SafeText,
    /// `open`, `at capacity`, `inconsistent`, `last seen open 14:02, unconfirmed`.
    pub state: SafeText,
    /// How bad that is, worst highest; 0: all is well.
    pub severity: u8,
    /// The share of calls that failed, as the circuit sees it, in `[0, 1]`; `None` where it does not tell.
    pub failure_rate: Option<f64>,
    /// Whether the process is a worker of ours, which the board tells more exactly.
    pub ours: bool,
    /// When this was read.
    pub read_at: DateTime<Utc>,
}

/// What was asked of idempotency keys over the last five minutes, all processes together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct KeySignals {
    /// By operation, in the order of their names.
    pub operations: Vec<KeySignal>,
    /// How often an answer could not be stored.
    pub not_stored: u64,
}

/// The keys of one operation; each number counts times asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeySignal {
    /// `payments.charge`.
    pub operation: SafeText,
    /// All of them.
    pub asked: u64,
    /// Answered by a stored response, among all, in `[0, 1]`; `None` where nothing was asked.
    pub hit_ratio: Option<f64>,
    /// Told to wait.
    pub in_progress: u64,
    /// Used for another request.
    pub mismatch: u64,
    /// Run again after a lease that was over or an answer that could not be stored.
    pub recovered: u64,
    /// Refused, because the store did not answer.
    pub error: u64,
    /// Run without protection, because the store did not answer.
    pub unprotected: u64,
}

/// One point of the chart; `None` is a hole and is drawn as one.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When.
    pub at: DateTime<Utc>,
    /// First tries per second, all operations.
    pub first: Option<f64>,
    /// Retries per second, all operations.
    pub retries: Option<f64>,
    /// α: attempts per first try, from 1; `None` also where nothing was tried.
    pub amplification: Option<f64>,
    /// η: retries that succeeded among all retries, in `[0, 1]`; `None` also where nothing was retried, or where no source
    /// tells.
    pub efficacy: Option<f64>,
}

/// How one target is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetStatus {
    /// Its name: `worker-a`, `legacy-crm`, or host and port.
    pub name: SafeText,
    /// Its URL without credentials.
    pub url: SafeText,
    /// When it last answered well.
    pub last_ok: Option<DateTime<Utc>>,
    /// Why the last scrape failed, in words.
    pub error: Option<SafeText>,
    /// Lines that could not be read in the last scrape.
    pub warnings: usize,
    /// Samples in the last scrape.
    pub samples: usize,
    /// The preset that reads it; `None` where none knows its metrics, and of a Prometheus server.
    pub preset: Option<SafeText>,
    /// How long the last scrape took.
    pub took: Duration,
}

/// Everything the metrics say at one instant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signals {
    /// The verdict.
    pub verdict: Verdict,
    /// Every operation and caller.
    pub operations: Vec<OperationSignal>,
    /// The circuits of every process that tells.
    pub circuits: Vec<CircuitSignal>,
    /// What was asked of idempotency keys; `None` where no target tells.
    pub keys: Option<KeySignals>,
    /// The last 15 minutes, oldest first.
    pub chart: Vec<Point>,
    /// Every target.
    pub targets: Vec<TargetStatus>,
}
