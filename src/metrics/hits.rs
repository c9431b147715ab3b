//! How many keys were answered by a stored response over the last five minutes. Instants are handed in.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// Answers by operation, in slices of ten seconds.
#[derive(Default)]
pub(super) struct Hits(BTreeMap<String, VecDeque<Slice>>);

struct Slice {
    begun: Instant,
    all: u64,
    replayed: u64,
}

const OVER: Duration = Duration::from_secs(5 * 60);
const SLICE: Duration = Duration::from_secs(10);

impl Hits {
    pub(super) fn count(&mut self, operation: &str, replayed: bool, now: Instant) {
        let slices = match self.0.get_mut(operation) {
            Some(slices) => slices,
            None => self.0.entry(operation.to_owned()).or_default(),
        };
        forget(slices, now);
        match slices.back_mut() {
            Some(last) if now.saturating_duration_since(last.begun) < SLICE => {
                last.all += 1;
                last.replayed += u64::from(replayed);
            }
            _ => slices.push_back(Slice { begun: now, all: 1, replayed: u64::from(replayed) }),
        }
    }

    /// Replayed among all, by operation; NaN where nothing was asked, which is how Prometheus writes "not known".
    pub(super) fn ratios(&mut self, now: Instant) -> Vec<(String, f64)> {
        let ratio = |slices: &mut VecDeque<Slice>| {
            forget(slices, now);
            let all: u64 = slices.iter().map(|slice| slice.all).sum();
            let replayed: u64 = slices.iter().map(|slice| slice.replayed).sum();
            if all == 0 { f64::NAN } else { replayed as f64 / all as f64 }
        };
        self.0.iter_mut().map(|(operation, slices)| (operation.clone(), ratio(slices))).collect()
    }
}

fn forget(slices: &mut VecDeque<Slice>, now: Instant) {
    while slices.front().is_some_and(|slice| now.saturating_duration_since(slice.begun) >= OVER) {
        slices.pop_front();
    }
}
