//! What became of a caller's calls. Pure; times are real ones since the caller began.

use std::{collections::BTreeMap, time::Duration};

/// One call with all its retries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Call {
    /// Which operation of the caller's, by its place in the list.
    pub(crate) operation: usize,
    /// When it was made.
    pub(crate) began: Duration,
    /// When it ended.
    pub(crate) ended: Duration,
    /// How many attempts it took.
    pub(crate) attempts: u32,
    /// It succeeded.
    pub(crate) well: bool,
    /// A retry, or the whole call, was not made for want of budget or behind an open circuit.
    pub(crate) denied: bool,
}

/// All of them, in the order in which they ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tally(pub(crate) Vec<Call>);

impl Tally {
    /// Those of one operation.
    pub(crate) fn of(&self, operation: usize) -> Self {
        Self(self.0.iter().copied().filter(|call| call.operation == operation).collect())
    }

    /// Those that were made at `began` or later.
    pub(crate) fn since(&self, began: Duration) -> Self {
        Self(self.0.iter().copied().filter(|call| call.began >= began).collect())
    }

    /// How many calls.
    pub(crate) fn calls(&self) -> usize {
        self.0.len()
    }

    /// How many attempts, retries among them.
    pub(crate) fn attempts(&self) -> u64 {
        self.0.iter().map(|call| u64::from(call.attempts)).sum()
    }

    /// Attempts beyond the first of each call.
    pub(crate) fn retries(&self) -> u64 {
        self.0.iter().map(|call| u64::from(call.attempts.saturating_sub(1))).sum()
    }

    /// The share of calls that succeeded; 1 of none.
    pub(crate) fn goodput(&self) -> f64 {
        share(self.0.iter().filter(|call| call.well).count(), self.0.len())
    }

    /// The share of calls to which a retry, or all, was denied; 0 of none.
    pub(crate) fn denied(&self) -> f64 {
        1.0 - share(self.0.iter().filter(|call| !call.denied).count(), self.0.len())
    }

    /// How many calls needed more than their first attempt.
    pub(crate) fn needing_more(&self) -> usize {
        self.0.iter().filter(|call| !call.well || call.attempts > 1).count()
    }

    /// How long it was down: all stretches of length `every` in which fewer than half of the calls that were made
    /// succeeded. Nobody's call says nothing.
    pub(crate) fn down(&self, every: Duration) -> Duration {
        let every = every.max(Duration::from_millis(1));
        let mut stretches = BTreeMap::<u128, (u32, u32)>::new();
        for call in &self.0 {
            let (all, well) = stretches.entry(call.began.as_nanos() / every.as_nanos()).or_default();
            *all += 1;
            *well += u32::from(call.well);
        }
        let down = stretches.values().filter(|(all, well)| 2 * well < *all).count();
        every.saturating_mul(u32::try_from(down).unwrap_or(u32::MAX))
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(began: u64, well: bool) -> Call {
        let began = Duration::from_secs(began);
        Call { operation: 0, began, ended: began, attempts: 3, well, denied: false }
    }

    #[test]
    fn it_is_down_while_fewer_than_half_of_its_calls_succeed() {
        let well = [true, true, false, false, true, false, true];
        let calls = well.iter().zip(0..).map(|(well, second)| call(second, *well));
        let tally = Tally(calls.collect());
        assert_eq!(tally.down(Duration::from_secs(1)), Duration::from_secs(3));
        assert_eq!((tally.attempts(), tally.retries()), (21, 14));
        assert_eq!(tally.since(Duration::from_secs(3)).calls(), 4);
        assert_eq!(Tally::default().down(Duration::from_secs(1)), Duration::ZERO);
    }
}
