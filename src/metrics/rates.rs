//! Counters to increases, series by series. Pure: instants are handed in, and nothing is known of what is counted.
//!
//! - A fall, or another start time even without a fall, is a reset: the counter then counts from 0.
//! - A gap over 2.5 intervals is a hole: what happened in it is neither counted nor guessed.
//! - The first sight of a target counts nothing. A series that appears on a target already known counts from 0.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::exposition::Labels;

/// A counter's identity within its target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeriesKey {
    /// The metric.
    pub name: String,
    /// Every label it has.
    pub labels: Labels,
}

/// A counter as read once.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which counter.
    pub key: SeriesKey,
    /// Its value; finite.
    pub value: f64,
    /// When it began to count, in seconds of Unix time, where the source says so.
    pub start: Option<f64>,
}

/// By how much one counter rose.
#[derive(Debug, Clone, PartialEq)]
pub struct Increase {
    /// The place of its reading among those handed in.
    pub index: usize,
    /// Never negative.
    pub by: f64,
    /// It was seen for the first time, so it was taken to have begun at 0.
    pub estimated: bool,
}

/// What a round of readings amounts to.
#[derive(Debug, Clone, PartialEq)]
pub enum Round {
    /// The first one: nothing to compare with.
    First,
    /// Too long after the one before.
    Hole,
    /// Not later than the one before: left out.
    Repeated,
    /// The increases since `from`.
    Counted {
        /// When the round before was read.
        from: Instant,
        /// One for each reading that can be compared.
        increases: Vec<Increase>,
    },
}

struct Last {
    at: Instant,
    value: f64,
    start: Option<f64>,
}

/// Every counter of one target.
#[derive(Default)]
pub struct Counters {
    last: HashMap<SeriesKey, Last>,
    round: Option<Instant>,
    /// Rounds of the last [`Counters::WATCHED`] in which a counter fell although its start time stayed.
    falls: VecDeque<Instant>,
}

impl Counters {
    /// How many intervals may pass between two rounds before the time between them is a hole.
    pub const GAP: f64 = 2.5;

    /// For how long falls are remembered.
    const WATCHED: Duration = Duration::from_secs(120);
    /// More falls than one a minute: one process does not restart like that and keep its start time.
    const FALLS: usize = 3;

    /// Whether several processes seem to answer in turns, as behind a load balancer.
    pub fn are_several(&self) -> bool {
        self.falls.len() >= Self::FALLS
    }

    /// Whether a round read at `at` would be no later than one it has taken.
    pub fn has_seen(&self, at: Instant) -> bool {
        self.round.is_some_and(|before| at <= before)
    }

    /// Takes the round read at `at` from a target that is read every `interval`.
    pub fn observe(&mut self, at: Instant, interval: Duration, readings: &[Reading]) -> Round {
        let longest = interval.mul_f64(Self::GAP);
        let round = match self.round {
            None => Round::First,
            Some(before) if at <= before => return Round::Repeated,
            Some(before) if at.duration_since(before) > longest => Round::Hole,
            Some(before) => Round::Counted { from: before, increases: self.increases(at, longest, readings) },
        };
        self.round = Some(at);
        if readings.iter().any(|reading| self.last.get(&reading.key).is_some_and(|last| last.fell(reading))) {
            self.falls.push_back(at);
        }
        while self.falls.front().is_some_and(|fall| at.duration_since(*fall) > Self::WATCHED) {
            self.falls.pop_front();
        }
        for reading in readings {
            let last = Last { at, value: reading.value, start: reading.start };
            self.last.insert(reading.key.clone(), last);
        }
        // Series come and go (one per pod, one per tenant): those long gone are forgotten.
        if self.last.len() > 2 * readings.len() + 64 {
            self.last.retain(|_, last| at.duration_since(last.at) <= longest);
        }
        round
    }

    fn increases(&self, at: Instant, longest: Duration, readings: &[Reading]) -> Vec<Increase> {
        let counted =
            readings.iter().enumerate().filter_map(|(index, reading)| match self.last.get(&reading.key) {
                None => Some(Increase { index, by: reading.value.max(0.0), estimated: true }),
                Some(last) if at.duration_since(last.at) > longest => None,
                Some(last) => Some(Increase { index, by: increase(last, reading), estimated: false }),
            });
        counted.collect()
    }
}

impl Last {
    /// Whether its process began anew. Some clients compute the start time afresh for each scrape, a trifle differently.
    fn restarted(&self, now: &Reading) -> bool {
        matches!((self.start, now.start), (Some(before), Some(after)) if (before - after).abs() >= 1.0)
    }

    fn fell(&self, now: &Reading) -> bool {
        now.value < self.value && !self.restarted(now)
    }
}

fn increase(last: &Last, now: &Reading) -> f64 {
    let reset = last.restarted(now) || now.value < last.value;
    let by = if reset { now.value } else { now.value - last.value };
    by.max(0.0)
}
