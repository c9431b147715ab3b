//! What one source counted for one operation, by role, before it is known what that amounts to: sources count first
//! tries, retries or both together, and what one does not count may follow from the rest. Pure.

use std::ops::AddAssign;

use super::{
    arithmetic::Counts,
    source::{Reading, Role},
};

/// Sums by role; additive over steps of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    sums: [f64; Role::ALL.len()],
    told: u16,
}

impl Tally {
    /// Adds what a counter with `role` rose by.
    pub fn count(&mut self, role: Role, by: f64) {
        self.sums[role as usize] += by;
        self.told |= bit(role);
    }

    /// Takes for told what such a source tells wherever it tells anything: a counter of something that never happened may
    /// not have been born yet. Attempts and first tries of which there is no sample are never taken for 0.
    pub(super) fn expects(&mut self, preset: &Reading) {
        for role in [Role::Success, Role::RetrySuccess, Role::GaveUp, Role::Denied, Role::DeniedByBudget] {
            self.told |= if preset.tells(role) { bit(role) } else { 0 };
        }
        if preset.tells(Role::Retries) && !self.tells(Role::Attempts) {
            self.told |= bit(Role::Retries);
        }
    }

    fn tells(&self, role: Role) -> bool {
        self.told & bit(role) != 0
    }

    /// What was counted with `role`; `None` where it is not told.
    pub fn of(&self, role: Role) -> Option<f64> {
        self.tells(role).then(|| self.sums[role as usize].max(0.0))
    }

    /// F; `None` where it neither is told nor follows.
    pub fn first(&self) -> Option<f64> {
        let follows = || Some((self.of(Role::Attempts)? - self.of(Role::Retries)?).max(0.0));
        self.of(Role::First).or_else(follows)
    }

    /// R; `None` where it neither is told nor follows.
    pub fn retries(&self) -> Option<f64> {
        let follows = || Some((self.of(Role::Attempts)? - self.of(Role::First)?).max(0.0));
        self.of(Role::Retries).or_else(follows)
    }

    /// A; `None` where it neither is told nor follows.
    pub fn attempts(&self) -> Option<f64> {
        match (self.first(), self.retries()) {
            (Some(first), Some(retries)) => Some(first + retries),
            (first, _) => self.of(Role::Attempts).or(first),
        }
    }

    /// What it amounts to: nothing but denials where first tries and retries cannot be told apart.
    pub fn counts(&self) -> Counts {
        let denied = Counts {
            denied: self.of(Role::Denied).unwrap_or_default(),
            denied_by_budget: self.of(Role::DeniedByBudget).unwrap_or_default(),
            ..Counts::default()
        };
        let (Some(first), Some(retries)) = (self.first(), self.retries()) else { return denied };
        let gave_up = self.of(Role::GaveUp).map(|gave_up| (first - gave_up).max(0.0));
        let successes = self.of(Role::Success).or(gave_up);
        let retry_successes = self.of(Role::RetrySuccess);
        Counts {
            first,
            retries,
            first_told: successes.map_or(0.0, |_| first),
            retries_told: retry_successes.map_or(0.0, |_| retries),
            successes: successes.unwrap_or_default(),
            retry_successes: retry_successes.unwrap_or_default(),
            ..denied
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum += more;
        }
        self.told |= other.told;
    }
}

const fn bit(role: Role) -> u16 {
    1 << role as u16
}
