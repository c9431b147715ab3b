//! What other people's metrics mean: presets that map a source's names and labels to roles. Data, no arithmetic.

use super::exposition::{Kind, Sample};

/// What a sample tells about an operation. One sample may play several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Counter: first tries.
    First,
    /// Counter: retries.
    Retry,
    /// Counter: attempts that succeeded, first or not.
    Success,
    /// Counter: retries that succeeded.
    RetrySuccess,
    /// Counter: retries denied, for whatever reason.
    Denied,
    /// Counter: retries denied because the budget was spent.
    DeniedByBudget,
    /// Gauge in `[0, 1]`: what is left of the retry budget.
    BudgetRemaining,
    /// One-hot gauge: the circuit is in the state its label `state` names.
    CircuitState,
}

impl Role {
    /// Whether it is read as a counter.
    pub const fn counts(self) -> bool {
        !matches!(self, Self::BudgetRemaining | Self::CircuitState)
    }
}

/// One mapping: samples of `metric` with the labels `when` play `role` for the operation in the label `operation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The sample's whole name.
    pub metric: &'static str,
    /// Labels it must have.
    pub when: &'static [(&'static str, &'static str)],
    /// The label that names the operation.
    pub operation: &'static str,
    /// What it tells.
    pub role: Role,
}

/// Whose process exports such metrics: decides whether a lever is ours to pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A worker of ours.
    Ours,
    /// Somebody else's.
    Theirs,
}

/// How to read one kind of source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preset {
    /// `redrive`.
    pub name: &'static str,
    /// Whose it is.
    pub owner: Owner,
    /// A source that exports this metric is of this kind.
    pub mark: &'static str,
    /// What its metrics mean.
    pub rules: &'static [Rule],
}

const fn rule(
    metric: &'static str,
    when: &'static [(&'static str, &'static str)],
    operation: &'static str,
    role: Role,
) -> Rule {
    Rule { metric, when, operation, role }
}

const ATTEMPTS: &str = "redrive_attempts_total";
const DENIED: &str = "redrive_retries_denied_total";
const REQUESTS: &str = "http_client_requests_total";

/// Every preset, the more telling first: a process that exports several is read by the first of them only, so that
/// no attempt counts twice.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "redrive",
        owner: Owner::Ours,
        mark: ATTEMPTS,
        rules: &[
            rule(ATTEMPTS, &[("kind", "first")], "operation", Role::First),
            rule(ATTEMPTS, &[("kind", "retry")], "operation", Role::Retry),
            rule(ATTEMPTS, &[("outcome", "success")], "operation", Role::Success),
            rule(ATTEMPTS, &[("kind", "retry"), ("outcome", "success")], "operation", Role::RetrySuccess),
            rule(DENIED, &[], "operation", Role::Denied),
            rule(DENIED, &[("reason", "budget")], "operation", Role::DeniedByBudget),
            rule("redrive_retry_budget_remaining_ratio", &[], "operation", Role::BudgetRemaining),
            rule("redrive_circuit_state", &[], "circuit", Role::CircuitState),
        ],
    },
    Preset {
        name: "http_client",
        owner: Owner::Theirs,
        mark: REQUESTS,
        rules: &[
            rule(REQUESTS, &[("attempt", "first")], "operation", Role::First),
            rule(REQUESTS, &[("attempt", "retry")], "operation", Role::Retry),
            rule(REQUESTS, &[("outcome", "success")], "operation", Role::Success),
            rule(REQUESTS, &[("attempt", "retry"), ("outcome", "success")], "operation", Role::RetrySuccess),
        ],
    },
];

impl Preset {
    /// The preset that reads `samples`, if any does.
    pub fn of(samples: &[Sample]) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| samples.iter().any(|sample| sample.name == preset.mark))
    }

    /// Whether such a source tells this at all: what it does not tell is unknown, never 0.
    pub fn tells(&self, role: Role) -> bool {
        self.rules.iter().any(|rule| rule.role == role)
    }

    /// The operation a sample is about and what it tells of it; empty where it tells nothing.
    pub fn read<'s>(&self, sample: &'s Sample) -> impl Iterator<Item = (&'s str, Role)> {
        self.rules.iter().filter_map(move |rule| {
            // A gauge in spite of its name is not a counter, and nothing that is not finite is added up.
            let fits = sample.name == rule.metric
                && sample.value.is_finite()
                && !(rule.role.counts() && sample.kind == Kind::Gauge)
                && rule.when.iter().all(|(label, value)| sample.labels.get(label) == Some(value));
            fits.then(|| sample.labels.get(rule.operation)).flatten().map(|operation| (operation, rule.role))
        })
    }
}

/// Every metric that some preset reads: what a Prometheus server is asked for.
pub fn metrics() -> Vec<&'static str> {
    let mut names: Vec<&str> = PRESETS.iter().flat_map(|p| p.rules.iter().map(|rule| rule.metric)).collect();
    names.sort_unstable();
    names.dedup();
    names
}
