//! What our own processes export, under the names of the product's table. It counts what it is told and decides nothing.
//!
//! `prometheus-client` speaks OpenMetrics, where a counter's family lacks the `_total` its samples carry; there our
//! gauge `redrive_letters` and our counter `redrive_letters_total` would be two families of one name. So the text is
//! turned into the older format, in which every name is written as it is.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError, atomic::AtomicU64},
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

use super::hits::Hits;
use crate::{
    clock,
    domain::{
        circuit::{CircuitState, Forced},
        letter::{LetterReason, LetterStatus, ReplayOutcome},
        onboarding::Status,
    },
    engine::observer::{AttemptKind, CallAttemptOutcome, CallOutcome, Denial, KeyOutcome},
};

/// The content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How many different keys `idempotency_storage_failure_total` names before the rest becomes `other`.
pub const MAX_KEYS: usize = 100;

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Shares = Family<Labels, Gauge<f64, AtomicU64>>;
type Amounts = Family<Labels, Gauge>;
type Durations = Family<Labels, Histogram, fn() -> Histogram>;

/// Every metric of one process.
pub struct Metrics {
    registry: Registry,
    calls: Counters,
    attempts: Counters,
    denied: Counters,
    delays: Durations,
    attempt_seconds: Durations,
    budgets: Shares,
    circuits: Amounts,
    keys: Counters,
    storage_failures: Counters,
    hit_ratios: Shares,
    letters: Amounts,
    letters_written: Counters,
    onboardings: Amounts,
    state_seconds: Durations,
    leases_lost: Counter,
    late: Gauge<f64, AtomicU64>,
    shed: Counter,
    replay_items: Counters,
    keys_named: Mutex<HashSet<String>>,
    hits: Mutex<Hits>,
}

/// From 5 ms to 82 s: an attempt lives between a loopback answer and a minute's timeout.
fn attempt_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.005, 2.0, 15))
}

/// From 50 ms to 102 s: delays are capped at a minute.
fn delay_buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.05, 2.0, 12))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at nothing.
    pub fn new() -> Self {
        let mut all = Self {
            registry: Registry::default(),
            calls: Family::default(),
            attempts: Family::default(),
            denied: Family::default(),
            delays: Family::new_with_constructor(delay_buckets),
            attempt_seconds: Family::new_with_constructor(attempt_buckets),
            budgets: Family::default(),
            circuits: Family::default(),
            keys: Family::default(),
            storage_failures: Family::default(),
            hit_ratios: Family::default(),
            letters: Family::default(),
            letters_written: Family::default(),
            onboardings: Family::default(),
            state_seconds: Family::new_with_constructor(attempt_buckets),
            leases_lost: Counter::default(),
            late: Gauge::default(),
            shed: Counter::default(),
            replay_items: Family::default(),
            keys_named: Mutex::default(),
            hits: Mutex::default(),
        };
        all.register();
        all
    }

    /// The names are those of the samples, without the `_total` that counters get.
    fn register(&mut self) {
        let to = &mut self.registry;
        to.register("redrive_calls", "Calls: a first try with all its retries", self.calls.clone());
        to.register("redrive_attempts", "Attempts, first tries and retries", self.attempts.clone());
        to.register("redrive_retries_denied", "Retries that were not made", self.denied.clone());
        to.register("redrive_retry_delay_seconds", "Waits before retries", self.delays.clone());
        to.register("redrive_attempt_seconds", "How long attempts took", self.attempt_seconds.clone());
        to.register(
            "redrive_retry_budget_remaining_ratio",
            "Retry budget left, 0 to 1",
            self.budgets.clone(),
        );
        to.register("redrive_circuit_state", "1 for the state a circuit is in", self.circuits.clone());
        to.register("redrive_idempotency_requests", "What idempotency keys answered", self.keys.clone());
        to.register(
            "idempotency_storage_failure",
            "Responses that could not be stored, by the beginning of their key",
            self.storage_failures.clone(),
        );
        to.register(
            "redrive_idempotency_hit_ratio",
            "Replayed responses among all answers of the last 5 minutes",
            self.hit_ratios.clone(),
        );
        to.register("redrive_letters", "Dead letters in the table", self.letters.clone());
        to.register("redrive_letters", "Dead letters written", self.letters_written.clone());
        to.register("redrive_onboardings", "Onboardings in the table", self.onboardings.clone());
        to.register("redrive_state_seconds", "How long states took", self.state_seconds.clone());
        to.register("redrive_lease_lost", "Leases lost to other workers", self.leases_lost.clone());
        to.register(
            "redrive_work_late_seconds",
            "How long the earliest due work has waited",
            self.late.clone(),
        );
        to.register("redrive_intake_shed", "Triggers turned away", self.shed.clone());
        to.register("redrive_replay_items", "Replayed letters", self.replay_items.clone());
    }

    /// A call ended for good.
    pub fn count_call(&self, operation: &str, outcome: CallOutcome) {
        self.calls.get_or_create(&labels([("operation", operation), ("outcome", outcome.as_str())])).inc();
    }

    /// One attempt ended.
    pub fn count_attempt(
        &self,
        operation: &str,
        kind: AttemptKind,
        outcome: CallAttemptOutcome,
        took: Duration,
    ) {
        let all = [("operation", operation), ("kind", kind.as_str()), ("outcome", outcome.as_str())];
        self.attempts.get_or_create(&labels(all)).inc();
        self.attempt_seconds.get_or_create(&labels([("operation", operation)])).observe(took.as_secs_f64());
    }

    /// A retry was not made.
    pub fn count_denied(&self, operation: &str, reason: Denial) {
        self.denied.get_or_create(&labels([("operation", operation), ("reason", reason.as_str())])).inc();
    }

    /// A retry was scheduled.
    pub fn observe_delay(&self, operation: &str, delay: Duration) {
        self.delays.get_or_create(&labels([("operation", operation)])).observe(delay.as_secs_f64());
    }

    /// What is left of a retry budget, in `[0, 1]`.
    pub fn set_budget(&self, operation: &str, left: f64) {
        self.budgets.get_or_create(&labels([("operation", operation)])).set(left);
    }

    /// The state a circuit is in; a forced state wins over the computed one.
    pub fn set_circuit(&self, circuit: &str, state: CircuitState, forced: Option<Forced>) {
        let now = forced.map_or(state.as_str(), Forced::as_str);
        let computed = CircuitState::ALL.iter().map(|state| state.as_str());
        for word in computed.chain(Forced::ALL.iter().map(|forced| forced.as_str())) {
            let gauge = self.circuits.get_or_create(&labels([("circuit", circuit), ("state", word)]));
            gauge.set(i64::from(word == now));
        }
    }

    /// A key was asked.
    pub fn count_key(&self, operation: &str, outcome: KeyOutcome) {
        self.count_key_at(operation, outcome, clock::instant());
    }

    pub(super) fn count_key_at(&self, operation: &str, outcome: KeyOutcome, now: Instant) {
        self.keys.get_or_create(&labels([("operation", operation), ("outcome", outcome.as_str())])).inc();
        locked(&self.hits).count(operation, outcome == KeyOutcome::Replayed, now);
    }

    /// A response could not be stored under `key`: the client's own key, without its operation.
    pub fn count_storage_failure(&self, key: &str) {
        let short: String = key.chars().take(8).collect();
        let named = {
            let mut named = locked(&self.keys_named);
            let known = named.contains(&short) || named.len() < MAX_KEYS && named.insert(short.clone());
            if known { short } else { "other".to_owned() }
        };
        self.storage_failures.get_or_create(&labels([("key", &named)])).inc();
    }

    /// A letter was written.
    pub fn count_letter(&self, operation: &str, reason: LetterReason) {
        let all = [("operation", operation), ("reason", reason.as_str())];
        self.letters_written.get_or_create(&labels(all)).inc();
    }

    /// A state was run to its end, well or not.
    pub fn observe_state(&self, state: &str, took: Duration) {
        self.state_seconds.get_or_create(&labels([("state", state)])).observe(took.as_secs_f64());
    }

    /// A lease was lost.
    pub fn count_lease_lost(&self) {
        self.leases_lost.inc();
    }

    /// The earliest due work has waited for so long.
    pub fn set_late(&self, late: Duration) {
        self.late.set(late.as_secs_f64());
    }

    /// A trigger was turned away.
    pub fn count_shed(&self) {
        self.shed.inc();
    }

    /// A replayed letter's outcome is known.
    pub fn count_replay_item(&self, outcome: ReplayOutcome) {
        self.replay_items.get_or_create(&labels([("outcome", outcome.as_str())])).inc();
    }

    /// How many onboardings the table holds; a status that is not named has none.
    pub fn set_onboardings(&self, counts: &[(Status, i64)]) {
        for status in Status::ALL {
            let count = counts.iter().find(|(of, _)| of == status).map_or(0, |(_, count)| *count);
            self.onboardings.get_or_create(&labels([("status", status.as_str())])).set(count);
        }
    }

    /// How many letters the table holds; a status that is not named has none.
    pub fn set_letters(&self, counts: &[(LetterStatus, i64)]) {
        for status in LetterStatus::ALL {
            let count = counts.iter().find(|(of, _)| of == status).map_or(0, |(_, count)| *count);
            self.letters.get_or_create(&labels([("status", status.as_str())])).set(count);
        }
    }

    /// Everything, as [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        self.encode_at(clock::instant())
    }

    pub(super) fn encode_at(&self, now: Instant) -> String {
        for (operation, ratio) in locked(&self.hits).ratios(now) {
            self.hit_ratios.get_or_create(&labels([("operation", &operation)])).set(ratio);
        }
        let mut open_metrics = String::new();
        text::encode_registry(&mut open_metrics, &self.registry)
            .expect("writing to a String fails only when memory does");
        older_format(&open_metrics)
    }
}

fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
    pairs.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

/// What was counted before a panic in some other thread is still right.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives the `# HELP` and `# TYPE` lines of counters the `_total` that their samples have.
fn older_format(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len() + 512);
    let mut help: Option<(&str, &str)> = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
            continue;
        }
        match line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            Some((name, kind)) => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some((_, words)) = help.take() {
                    out.push_str(&format!("# HELP {name}{suffix} {words}\n"));
                }
                out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
    out
}
