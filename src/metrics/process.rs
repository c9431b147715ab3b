//! One watched process, whether it was scraped here or through a Prometheus server: samples in, history out.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::{
    exposition::Sample,
    history::{History, Step},
    keys::Answers,
    rates::{Counters, Reading, Round, SeriesKey},
    source::{
        self, Circuit, Level, Meaning, Owner, PROCESS_START, Presets, Role, Seen,
        circuit::{Told, Word},
    },
    starts::Starts,
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
    /// Its circuits, by name.
    pub(super) circuits: BTreeMap<String, Seen>,
    /// The share of calls that failed, as its circuits see it.
    pub(super) failure_rates: BTreeMap<String, f64>,
    /// The preset that reads it.
    pub(super) preset: Option<String>,
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
            failure_rates: BTreeMap::new(),
            preset: None,
            keys: Answers::default(),
            counters: Counters::default(),
        }
    }

    /// Whether what it exported at `at`, or later, is already taken.
    pub(super) fn has_read(&self, at: Instant) -> bool {
        self.counters.has_seen(at)
    }

    /// Whether its counters fall again and again while its start time stays: several processes answer in its name.
    pub(super) fn is_several(&self) -> bool {
        self.counters.are_several()
    }

    /// Takes what it exported at `at` (`wall` on the wall clock); tells whether that said anything new.
    pub(super) fn read(
        &mut self,
        at: Instant,
        wall: DateTime<Utc>,
        samples: &[Sample],
        presets: &Presets,
    ) -> bool {
        if self.has_read(at) {
            return false;
        }
        let preset = presets.of(samples);
        let told = preset.map(|preset| told(preset, samples)).unwrap_or_default();
        let round = self.counters.observe(at, self.interval, &told.readings);
        if self.is_several() {
            // What several processes counted cannot be told apart, nor what was taken for one process before.
            self.history = History::default();
            self.circuits.clear();
            return false;
        }
        self.keys.read(at, self.interval, samples);
        self.read_at = at;
        self.owner = preset.map(source::Reading::owner).or(self.owner);
        self.preset = preset.map(|preset| preset.name().to_owned()).or(self.preset.take());
        self.budgets = told.budgets;
        self.failure_rates = told.failure_rates;
        self.circuits.retain(|name, seen| matches!(seen, Seen::Last(..)) && told.circuits.contains_key(name));
        for (name, seen) in told.circuits {
            // The last change that was seen stays known until the next.
            let known = self.circuits.entry(name).or_insert(Seen::Unknown);
            if seen != Seen::Unknown {
                *known = seen;
            }
        }
        if let (Round::Counted { from, increases }, Some(preset)) = (round, preset) {
            let mut step = Step { from, at, tallies: BTreeMap::new(), estimated: BTreeSet::new() };
            let mut changed: BTreeMap<&str, Word> = BTreeMap::new();
            for increase in increases {
                for (operation, meaning) in &told.meanings[increase.index] {
                    match meaning {
                        Counted::Role(role, times) => {
                            let known = self.history.operations();
                            let full = known.len() >= MAX_OPERATIONS && !known.contains(operation);
                            let full = full || step.tallies.len() > MAX_OPERATIONS;
                            let name = if full { OTHERS } else { operation.as_str() };
                            if increase.estimated && increase.by > 0.0 && !step.estimated.contains(name) {
                                step.estimated.insert(name.to_owned());
                            }
                            step.tallies
                                .entry(name.to_owned())
                                .or_default()
                                .count(*role, increase.by * times);
                        }
                        // Of several changes between two scrapes the most open one is told.
                        Counted::Change(word) if increase.by > 0.0 => {
                            let known = changed.entry(operation).or_insert(*word);
                            let open = |word: Word| Seen::Is(word).severity();
                            *known = if open(*word) > open(*known) { *word } else { *known };
                        }
                        Counted::Change(_) => {}
                    }
                }
            }
            for tally in step.tallies.values_mut() {
                tally.expects(preset);
            }
            for (circuit, word) in changed {
                self.circuits.insert(circuit.to_owned(), Seen::Last(word, wall));
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

/// What one exposition tells, sample by sample.
#[derive(Default)]
struct ToldAtOnce {
    readings: Vec<Reading>,
    /// For each reading, what it counts of which operation.
    meanings: Vec<Vec<(String, Counted)>>,
    budgets: BTreeMap<String, f64>,
    failure_rates: BTreeMap<String, f64>,
    circuits: BTreeMap<String, Seen>,
}

/// What a counter counts.
enum Counted {
    Role(Role, f64),
    /// Changes of a circuit to this.
    Change(Word),
}

fn told(preset: &source::Reading, samples: &[Sample]) -> ToldAtOnce {
    let mut all = ToldAtOnce::default();
    let mut circuits: BTreeMap<String, (&Circuit, Option<Told>)> = BTreeMap::new();
    let process = samples.iter().find(|sample| sample.name == PROCESS_START).map(|sample| sample.value);
    let starts = Starts::of(samples);
    for sample in samples {
        let mut counted = Vec::new();
        for (operation, meaning) in preset.read(sample) {
            match meaning {
                Meaning::Counts(role, times) => counted.push((operation, Counted::Role(role, times))),
                Meaning::Is(Level::Budget, times) => {
                    all.budgets.insert(operation, (sample.value * times).clamp(0.0, 1.0));
                }
                // Below nothing means that too little was seen to tell.
                Meaning::Is(Level::FailureRate, times) => {
                    if sample.value >= 0.0 {
                        all.failure_rates.insert(operation, (sample.value * times).min(1.0));
                    }
                }
                Meaning::Circuit(circuit) => {
                    let label = |name: &str| sample.labels.get(name);
                    if let Some(word) = circuit.event(label) {
                        all.circuits.insert(operation.clone(), Seen::Unknown);
                        counted.push((operation, Counted::Change(word)));
                    } else {
                        let known = circuits.entry(operation).or_insert((circuit, None));
                        known.1 = circuit.gather(known.1.take(), sample.value, label);
                    }
                }
            }
        }
        if !counted.is_empty() {
            let key = SeriesKey { name: sample.name.clone(), labels: sample.labels.clone() };
            all.readings.push(Reading { key, value: sample.value, start: starts.get(sample).or(process) });
            all.meanings.push(counted);
        }
    }
    let seen = circuits.into_iter().filter_map(|(name, (circuit, told))| Some((name, circuit.seen(&told?))));
    all.circuits.extend(seen);
    all
}
