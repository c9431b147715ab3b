//! The last quarter of an hour of one process: what it counted, scrape by scrape. Holes stay holes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use super::{arithmetic::Counts, tally::Tally};

/// What was counted between two scrapes.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When the earlier scrape was.
    pub from: Instant,
    /// When the later one was; after `from`.
    pub at: Instant,
    /// By operation; one that is missing counted nothing.
    pub tallies: BTreeMap<String, Tally>,
    /// Operations of which some series was seen for the first time and taken to have begun at 0.
    pub estimated: BTreeSet<String>,
}

impl Step {
    /// How long it covers.
    pub fn length(&self) -> Duration {
        self.at.duration_since(self.from)
    }
}

/// One operation over some of the latest steps.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Window {
    /// What was counted.
    pub tally: Tally,
    /// The time the steps cover, without holes.
    pub covered: Duration,
    /// How many scrapes it stands on.
    pub samples: usize,
    /// Some of it is estimated: shown with "~".
    pub estimated: bool,
}

impl Window {
    /// What it amounts to.
    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// `count` per second; 0 of no time.
    pub fn per_second(&self, count: f64) -> f64 {
        let seconds = self.covered.as_secs_f64();
        if seconds > 0.0 { count / seconds } else { 0.0 }
    }
}

/// The steps of one process, oldest first.
#[derive(Debug, Clone, Default)]
pub struct History {
    steps: VecDeque<Step>,
    operations: BTreeSet<String>,
}

impl History {
    /// How far back it reaches.
    pub const KEPT: Duration = Duration::from_secs(16 * 60);

    /// Adds the latest step and forgets the oldest.
    pub fn push(&mut self, step: Step) {
        let newest = step.at;
        for operation in
            step.tallies.keys().filter(|name| !self.operations.contains(*name)).cloned().collect::<Vec<_>>()
        {
            self.operations.insert(operation);
        }
        self.steps.push_back(step);
        while self.steps.front().is_some_and(|old| newest.duration_since(old.at) > Self::KEPT) {
            self.steps.pop_front();
        }
    }

    /// `operation` over the last `length` before `now`.
    pub fn window(&self, operation: &str, now: Instant, length: Duration) -> Window {
        let past = self.steps.iter().rev().skip_while(|step| step.at > now);
        let inside = past.take_while(|step| now.duration_since(step.at) < length);
        let mut window = Window::default();
        let mut later: Option<Instant> = None;
        for step in inside {
            // Every run of steps without a hole stands on one scrape more than it has steps.
            window.samples += if later == Some(step.at) { 1 } else { 2 };
            later = Some(step.from);
            window.covered += step.length();
            if let Some(tally) = step.tallies.get(operation) {
                window.tally += *tally;
                window.estimated |= step.estimated.contains(operation);
            }
        }
        window
    }

    /// What was counted per second at `instant`, all operations; `None` in a hole or outside.
    pub fn rates_at(&self, instant: Instant) -> Option<Counts> {
        let index = self.steps.partition_point(|step| step.at < instant);
        let step = self.steps.get(index).filter(|step| step.from < instant)?;
        let all: Counts = step.tallies.values().map(Tally::counts).sum();
        let seconds = step.length().as_secs_f64();
        (seconds > 0.0).then(|| all.per(seconds))
    }

    /// Since when, up to its last step, retries were at least `ratio` of the attempts on `operation`. One step below that is
    /// no end, and neither is one without attempts.
    pub fn retried_since(&self, operation: &str, ratio: f64) -> Option<Instant> {
        let (mut since, mut below) = (None, 0);
        for step in self.steps.iter().rev() {
            let counts = step.tallies.get(operation).map(Tally::counts).unwrap_or_default();
            match counts.retry_ratio() {
                Some(seen) if seen >= ratio => (since, below) = (Some(step.from), 0),
                _ if below == 0 => below = 1,
                _ => break,
            }
        }
        since
    }

    /// Every operation it ever counted.
    pub fn operations(&self) -> &BTreeSet<String> {
        &self.operations
    }

    /// When the first step begins and the last one ends.
    pub fn span(&self) -> Option<(Instant, Instant)> {
        Some((self.steps.front()?.from, self.steps.back()?.at))
    }
}
