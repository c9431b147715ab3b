//! What processes tell of their idempotency keys: answers by operation over the last five minutes, added up over all
//! processes, because a mean of their own ratios would count a busy one like an idle one. Instants are handed in.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    exposition::Sample,
    process::{MAX_OPERATIONS, OTHERS},
    rates::{Counters, Reading, Round, SeriesKey},
    signals::{KeySignal, KeySignals},
};
use crate::engine::observer::KeyOutcome;

const ASKED: &str = "redrive_idempotency_requests_total";
const NOT_STORED: &str = "idempotency_storage_failure_total";

/// Every metric read here.
pub(super) const METRICS: [&str; 2] = [ASKED, NOT_STORED];

/// Whether `samples` tell of keys.
pub fn tell(samples: &[Sample]) -> bool {
    samples.iter().any(|sample| METRICS.contains(&sample.name.as_str()))
}

/// How far back it reaches: as far as the ratio that a process exports itself.
const OVER: Duration = Duration::from_secs(5 * 60);

/// The answers of one process.
#[derive(Default)]
pub(super) struct Answers {
    counters: Counters,
    steps: VecDeque<(Instant, Answered)>,
    tells: bool,
}

/// Answers of some time.
#[derive(Default)]
struct Answered {
    operations: BTreeMap<String, Asked>,
    not_stored: f64,
}

/// Answers for one operation.
#[derive(Default)]
struct Asked {
    all: f64,
    by_outcome: BTreeMap<KeyOutcome, f64>,
}

impl Answers {
    /// Takes what the process exported at `at`, which it does every `interval`.
    pub(super) fn read(&mut self, at: Instant, interval: Duration, samples: &[Sample]) {
        let told: Vec<&Sample> = samples
            .iter()
            .filter(|sample| METRICS.contains(&sample.name.as_str()) && sample.value.is_finite())
            .collect();
        self.tells |= !told.is_empty();
        let reading = |sample: &&Sample| Reading {
            key: SeriesKey { name: sample.name.clone(), labels: sample.labels.clone() },
            value: sample.value,
            start: None,
        };
        let readings: Vec<Reading> = told.iter().map(reading).collect();
        if let Round::Counted { increases, .. } = self.counters.observe(at, interval, &readings) {
            let mut tally = Answered::default();
            for increase in increases {
                tally.add(told[increase.index], increase.by);
            }
            self.steps.push_back((at, tally));
        }
        while self.steps.front().is_some_and(|(then, _)| at.saturating_duration_since(*then) > OVER) {
            self.steps.pop_front();
        }
    }
}

impl Answered {
    fn add(&mut self, sample: &Sample, by: f64) {
        if sample.name == NOT_STORED {
            self.not_stored += by;
            return;
        }
        let Some(operation) = sample.labels.get("operation") else { return };
        let outcome = sample.labels.get("outcome").and_then(|word| word.parse().ok());
        self.asked(operation).add(outcome, by);
    }

    fn asked(&mut self, operation: &str) -> &mut Asked {
        let full = self.operations.len() >= MAX_OPERATIONS && !self.operations.contains_key(operation);
        self.operations.entry(if full { OTHERS } else { operation }.to_owned()).or_default()
    }
}

impl Asked {
    /// What an outcome of a newer version means is not known here, only that a key was asked.
    fn add(&mut self, outcome: Option<KeyOutcome>, by: f64) {
        self.all += by;
        if let Some(outcome) = outcome {
            *self.by_outcome.entry(outcome).or_default() += by;
        }
    }

    fn of(&self, outcome: KeyOutcome) -> u64 {
        whole(self.by_outcome.get(&outcome).copied().unwrap_or_default())
    }
}

fn whole(count: f64) -> u64 {
    count.round().max(0.0) as u64
}

/// All of them together as of `now`; `None` where no process tells of keys.
pub(super) fn signals<'a>(all: impl Iterator<Item = &'a Answers>, now: Instant) -> Option<KeySignals> {
    let (mut total, mut tells) = (Answered::default(), false);
    for answers in all.filter(|answers| answers.tells) {
        tells = true;
        let fresh = answers.steps.iter().filter(|(at, _)| now.saturating_duration_since(*at) < OVER);
        for (_, tally) in fresh {
            total.not_stored += tally.not_stored;
            for (operation, asked) in &tally.operations {
                let sum = total.asked(operation);
                sum.all += asked.all;
                for (outcome, count) in &asked.by_outcome {
                    *sum.by_outcome.entry(*outcome).or_default() += count;
                }
            }
        }
    }
    let signal = |(operation, asked): (&String, &Asked)| KeySignal {
        operation: operation.as_str().into(),
        asked: whole(asked.all),
        hit_ratio: (asked.all > 0.0)
            .then(|| asked.by_outcome.get(&KeyOutcome::Replayed).copied().unwrap_or_default() / asked.all),
        in_progress: asked.of(KeyOutcome::InProgress),
        mismatch: asked.of(KeyOutcome::Mismatch),
        recovered: asked.of(KeyOutcome::Recovered),
        error: asked.of(KeyOutcome::Error),
        unprotected: asked.of(KeyOutcome::Unprotected),
    };
    tells.then(|| KeySignals {
        operations: total.operations.iter().map(signal).collect(),
        not_stored: whole(total.not_stored),
    })
}
