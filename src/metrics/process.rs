//! One watched process, whether it was scraped here or through a Prometheus server: samples in, history out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    arithmetic::Counts,
    exposition::Sample,
    history::{History, Step},
    keys::Answers,
    rates::{Counters, Reading, Round, SeriesKey},
    source::{Owner, Preset, Role},
};

/// How many operations of one process are told apart: a label with an id in it must not eat the memory.
pub(super) const MAX_OPERATIONS: usize = 300;

/// The rest of them together.
pub(super) const OTHERS: &str = "other";

/// What is known of one process.
pub(super) struct Process {
    /// How it is called on the screen.
    pub(super) name: String,
    /// Whose it is; nobody's until its metrics are recognised.
    pub(super) owner: Option<Owner>,
    /// How often it is read.
    pub(super) interval: Duration,
    /// When it was last read.
    pub(super) read_at: Instant,
    /// What it counted.
    pub(super) history: History,
    /// What is left of its retry budgets, by operation.
    pub(super) budgets: BTreeMap<String, f64>,
    /// The state of its circuits, by circuit.
    pub(super) circuits: BTreeMap<String, String>,
    /// What was asked of its keys.
    pub(super) keys: Answers,
    counters: Counters,
}

impl Process {
    pub(super) fn new(name: &str, interval: Duration, read_at: Instant) -> Self {
        Self {
            name: name.to_owned(),
            owner: None,
            interval,
            read_at,
            history: History::default(),
            budgets: BTreeMap::new(),
            circuits: BTreeMap::new(),
            keys: Answers::default(),
            counters: Counters::default(),
        }
    }

    /// Whether what it exported at `at`, or later, is already taken.
    pub(super) fn has_read(&self, at: Instant) -> bool {
        self.counters.has_seen(at)
    }

    /// Takes what it exported at `at`; tells whether that said anything new.
    pub(super) fn read(&mut self, at: Instant, samples: &[Sample]) -> bool {
        if self.has_read(at) {
            return false;
        }
        self.keys.read(at, self.interval, samples);
        let preset = Preset::of(samples);
        let mut roles: Vec<Vec<(&str, Role)>> = Vec::new();
        let mut readings = Vec::new();
        let mut budgets = BTreeMap::new();
        let mut circuits = BTreeMap::new();
        for (sample, meanings) in preset.into_iter().flat_map(|p| samples.iter().map(move |s| (s, p.read(s))))
        {
            let mut counted = Vec::new();
            for (operation, role) in meanings {
                match role {
                    Role::BudgetRemaining => {
                        budgets.insert(operation.to_owned(), sample.value.clamp(0.0, 1.0));
                    }
                    Role::CircuitState => {
                        if let (true, Some(state)) = (sample.value > 0.0, sample.labels.get("state")) {
                            circuits.insert(operation.to_owned(), state.to_owned());
                        }
                    }
                    counter => counted.push((operation, counter)),
                }
            }
            if !counted.is_empty() {
                let key = SeriesKey { name: sample.name.clone(), labels: sample.labels.clone() };
                readings.push(Reading { key, value: sample.value, start: None });
                roles.push(counted);
            }
        }
        let round = self.counters.observe(at, self.interval, &readings);
        self.read_at = at;
        self.owner = preset.map(|preset| preset.owner).or(self.owner);
        self.budgets = budgets;
        self.circuits = circuits;
        if let Round::Counted { from, increases } = round {
            let mut step = Step { from, at, counts: BTreeMap::new(), estimated: BTreeSet::new() };
            for increase in increases {
                for (operation, role) in &roles[increase.index] {
                    let known = self.history.operations();
                    let full = known.len() >= MAX_OPERATIONS && !known.contains(*operation);
                    let name = if full || step.counts.len() > MAX_OPERATIONS { OTHERS } else { operation };
                    if increase.estimated && increase.by > 0.0 && !step.estimated.contains(name) {
                        step.estimated.insert(name.to_owned());
                    }
                    add(step.counts.entry(name.to_owned()).or_default(), *role, increase.by, preset);
                }
            }
            self.history.push(step);
        }
        true
    }

    /// Whether its last word is too old to judge by, `now`.
    pub(super) fn is_stale(&self, now: Instant, least: Duration) -> bool {
        now.saturating_duration_since(self.read_at) > (self.interval * 2).max(least)
    }
}

fn add(counts: &mut Counts, role: Role, by: f64, preset: Option<&Preset>) {
    let tells = |role| preset.is_some_and(|preset| preset.tells(role));
    match role {
        Role::First => {
            counts.first += by;
            counts.first_told += if tells(Role::Success) { by } else { 0.0 };
        }
        Role::Retry => {
            counts.retries += by;
            counts.retries_told += if tells(Role::RetrySuccess) { by } else { 0.0 };
        }
        Role::Success => counts.successes += by,
        Role::RetrySuccess => counts.retry_successes += by,
        Role::Denied => counts.denied += by,
        Role::DeniedByBudget => counts.denied_by_budget += by,
        Role::BudgetRemaining | Role::CircuitState => {}
    }
}
