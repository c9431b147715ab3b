//! What a run counts while it goes on, and the report that is made of it. Plain values, serialised as they are.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::scenario::{Arrivals, Incident, Scenario};

/// Calls made in a bucket are well when this share of them succeeds in time.
const WELL: f64 = 0.9;
/// So many buckets in a row must be well: one that is lucky is no recovery, and one that is unlucky later no relapse.
const IN_A_ROW: usize = 5;

/// Policies side by side on one incident.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Which incident.
    pub scenario: Incident,
    /// What happens in it.
    pub says: &'static str,
    /// The seed that repeats it.
    pub seed: u64,
    /// The length of a bucket of [`Outcome::load`] and [`Outcome::goodput_over_time`].
    pub bucket_seconds: f64,
    /// What became of it under each policy.
    pub policies: Vec<Outcome>,
}

/// What became of an incident under one policy.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The policy.
    pub policy: &'static str,
    /// What it does.
    pub says: &'static str,
    /// Calls made, by the outermost layer.
    pub calls: u64,
    /// Of these, how many succeeded within the scenario's patience.
    pub good: u64,
    /// How many succeeded, too late.
    pub late: u64,
    /// How many were given up.
    pub failed: u64,
    /// How many were still being tried when the run ended.
    pub unfinished: u64,
    /// `good / calls`.
    pub goodput: f64,
    /// Requests that reached the server.
    pub requests: u64,
    /// `requests / calls`; below 1 where a circuit kept more calls from being sent than were retried.
    pub amplification: f64,
    /// The most requests that one call made of itself.
    pub most_for_one_call: u64,
    /// How long after the first fault began calls were well again: until the first of five buckets in a row of which
    /// nine tenths succeeded in time; 0 if they always were. Where all calls come together: until the last one succeeded.
    /// `None`: not within the run.
    pub recovered_after_seconds: Option<f64>,
    /// Attempts that were not made, by reason.
    pub denied: BTreeMap<&'static str, u64>,
    /// By operation.
    pub groups: Vec<GroupCount>,
    /// By layer, from outside in.
    pub layers: Vec<LayerCount>,
    /// Requests that reached the server, by bucket.
    pub load: Vec<u64>,
    /// The share of the calls made in each bucket that succeeded in time; `None` where none was made.
    pub goodput_over_time: Vec<Option<f64>>,
}

/// What became of one operation's calls.
#[derive(Debug, Clone, Serialize)]
pub struct GroupCount {
    /// The operation.
    pub operation: &'static str,
    /// Calls made.
    pub calls: u64,
    /// How many succeeded in time.
    pub good: u64,
    /// Retries made.
    pub retries: u64,
    /// Attempts that were not made.
    pub denied: u64,
}

/// What one layer added.
#[derive(Debug, Clone, Serialize)]
pub struct LayerCount {
    /// The layer.
    pub layer: &'static str,
    /// Calls it was asked to make.
    pub calls: u64,
    /// Attempts it made of them.
    pub attempts: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    calls: u64,
    good: u64,
    requests: u64,
}

/// What is counted.
#[derive(Debug)]
pub(super) struct Record {
    bucket: Duration,
    patience: Duration,
    buckets: Vec<Bucket>,
    groups: Vec<GroupCount>,
    layers: Vec<LayerCount>,
    denied: BTreeMap<&'static str, u64>,
    late: u64,
    failed: u64,
    unfinished: u64,
    last_success: Duration,
    /// Of one call.
    most_requests: u64,
}

impl Record {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let group = |name| GroupCount { operation: name, calls: 0, good: 0, retries: 0, denied: 0 };
        let layer = |layer: &&'static str| LayerCount { layer, calls: 0, attempts: 0 };
        Self {
            bucket: scenario.bucket,
            patience: scenario.patience,
            buckets: Vec::new(),
            groups: scenario.groups.iter().map(|of| group(of.name)).collect(),
            layers: scenario.layers.iter().map(layer).collect(),
            denied: BTreeMap::new(),
            late: 0,
            failed: 0,
            unfinished: 0,
            last_success: Duration::ZERO,
            most_requests: 0,
        }
    }

    pub(super) fn call(&mut self, group: usize, now: Duration) {
        self.groups[group].calls += 1;
        self.unfinished += 1;
        self.bucket(now).calls += 1;
    }

    pub(super) fn attempt(&mut self, group: usize, layer: usize, number: u32) {
        self.layers[layer].attempts += 1;
        match number {
            1 => self.layers[layer].calls += 1,
            _ => self.groups[group].retries += 1,
        }
    }

    /// A request reaches the server, as number `of_its_call` of those that one call made.
    pub(super) fn request(&mut self, of_its_call: u64, now: Duration) {
        self.most_requests = self.most_requests.max(of_its_call);
        self.bucket(now).requests += 1;
    }

    pub(super) fn denied(&mut self, group: usize, why: &'static str) {
        self.groups[group].denied += 1;
        *self.denied.entry(why).or_default() += 1;
    }

    pub(super) fn ended(&mut self, group: usize, began: Duration, now: Duration, well: bool) {
        self.unfinished -= 1;
        if !well {
            self.failed += 1;
            return;
        }
        self.last_success = now;
        if now - began > self.patience {
            self.late += 1;
        } else {
            self.groups[group].good += 1;
            self.bucket(began).good += 1;
        }
    }

    /// The report of a run of `scenario` under the policy of this name.
    pub(super) fn outcome(self, scenario: &Scenario, policy: &'static str, says: &'static str) -> Outcome {
        let sum = |count: fn(&GroupCount) -> u64| self.groups.iter().map(count).sum::<u64>();
        let (calls, good) = (sum(|group| group.calls), sum(|group| group.good));
        let requests: u64 = self.buckets.iter().map(|bucket| bucket.requests).sum();
        let share = |bucket: &Bucket| (bucket.calls > 0).then(|| bucket.good as f64 / bucket.calls as f64);
        Outcome {
            policy,
            says,
            calls,
            good,
            late: self.late,
            failed: self.failed,
            unfinished: self.unfinished,
            goodput: good as f64 / calls.max(1) as f64,
            requests,
            amplification: requests as f64 / calls.max(1) as f64,
            most_for_one_call: self.most_requests,
            recovered_after_seconds: self.recovered(scenario, calls).map(|after| after.as_secs_f64()),
            load: self.buckets.iter().map(|bucket| bucket.requests).collect(),
            goodput_over_time: self.buckets.iter().map(share).collect(),
            denied: self.denied,
            groups: self.groups,
            layers: self.layers,
        }
    }

    fn recovered(&self, scenario: &Scenario, calls: u64) -> Option<Duration> {
        let trouble = scenario.faults.iter().map(|fault| fault.from).min().unwrap_or_default();
        if scenario.groups.iter().all(|group| matches!(group.arrivals, Arrivals::Together(..))) {
            let succeeded = self.late + self.groups.iter().map(|group| group.good).sum::<u64>();
            return (succeeded == calls).then(|| self.last_success.saturating_sub(trouble));
        }
        let at = |index: usize| self.bucket * u32::try_from(index).unwrap_or(u32::MAX);
        let well = |bucket: &Bucket| bucket.good as f64 >= WELL * bucket.calls as f64;
        let arriving = self.buckets.iter().take_while(|bucket| bucket.calls > 0).count();
        let judged = &self.buckets[..arriving];
        let Some(bad) =
            judged.iter().enumerate().position(|(index, bucket)| at(index + 1) > trouble && !well(bucket))
        else {
            return Some(Duration::ZERO);
        };
        let row = judged[bad..].windows(IN_A_ROW).position(|row| row.iter().all(well))?;
        Some(at(bad + row).saturating_sub(trouble))
    }

    fn bucket(&mut self, at: Duration) -> &mut Bucket {
        let index = (at.as_nanos() / self.bucket.as_nanos().max(1)) as usize;
        if self.buckets.len() <= index {
            self.buckets.resize_with(index + 1, Bucket::default);
        }
        &mut self.buckets[index]
    }
}
