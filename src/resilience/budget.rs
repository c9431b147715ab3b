//! A retry budget: retries may be a share of first tries, above a floor. When the callee is down, first tries go on
//! and retries stop, so that the load it sees is bounded by `1 + share` instead of by the number of attempts.
//!
//! Two verbs: a first try deposits, a retry withdraws. What was deposited counts for one window. Time is handed in.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many retries are affordable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BudgetPolicy {
    /// Retries per first try; any ratio from 0 up is taken exactly.
    pub share: f64,
    /// Retries per second that are always affordable, so that a quiet operation can retry at all.
    pub floor: f64,
    /// How long deposits and withdrawals count.
    pub window: Duration,
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self { share: 0.2, floor: 10.0, window: Duration::from_secs(10) }
    }
}

/// The window is kept in so many slices.
const SLICES: u32 = 10;

#[derive(Debug, Clone, Copy)]
struct Slice {
    begun: Instant,
    first: u32,
    retries: u32,
}

/// One operation's budget.
#[derive(Debug)]
pub struct Budget {
    policy: BudgetPolicy,
    slices: VecDeque<Slice>,
}

impl Budget {
    /// A full budget.
    pub fn new(policy: BudgetPolicy) -> Self {
        Self { policy, slices: VecDeque::with_capacity(SLICES as usize + 1) }
    }

    /// A first try is made at `now`.
    pub fn deposit(&mut self, now: Instant) {
        self.slice(now).first += 1;
    }

    /// Asks to make a retry at `now`. `false`: not affordable, and nothing was withdrawn.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        let (allowed, used) = self.standing(now);
        let affordable = used + 1.0 <= allowed;
        if affordable {
            self.slice(now).retries += 1;
        }
        affordable
    }

    /// What is left at `now`, in `[0, 1]`; looking changes nothing.
    pub fn remaining(&self, now: Instant) -> f64 {
        let (allowed, used) = self.standing(now);
        if allowed <= 0.0 { 0.0 } else { (1.0 - used / allowed).clamp(0.0, 1.0) }
    }

    fn standing(&self, now: Instant) -> (f64, f64) {
        let live = self.slices.iter().filter(|s| now.saturating_duration_since(s.begun) < self.policy.window);
        let (first, retries) = live.fold((0.0, 0.0), |(first, retries), slice| {
            (first + f64::from(slice.first), retries + f64::from(slice.retries))
        });
        (self.policy.share * first + self.policy.floor * self.policy.window.as_secs_f64(), retries)
    }

    fn slice(&mut self, now: Instant) -> &mut Slice {
        while self
            .slices
            .front()
            .is_some_and(|s| now.saturating_duration_since(s.begun) >= self.policy.window)
        {
            self.slices.pop_front();
        }
        let length = self.policy.window / SLICES;
        if self.slices.back().is_none_or(|s| now.saturating_duration_since(s.begun) >= length) {
            self.slices.push_back(Slice { begun: now, first: 0, retries: 0 });
        }
        self.slices.back_mut().expect("a slice was pushed when there was none")
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bare(share: f64) -> BudgetPolicy {
        BudgetPolicy { share, floor: 0.0, window: Duration::from_secs(10) }
    }

    #[test]
    fn the_floor_is_affordable_without_any_first_try() {
        let (mut budget, now) = (Budget::new(BudgetPolicy { floor: 0.5, ..bare(0.0) }), Instant::now());
        let granted = (0..20).filter(|_| budget.withdraw(now)).count();
        assert_eq!(granted, 5, "half a retry a second over ten seconds");
    }

    #[test]
    fn what_was_deposited_and_withdrawn_is_forgotten_after_the_window() {
        let (mut budget, now) = (Budget::new(bare(1.0)), Instant::now());
        budget.deposit(now);
        assert!(budget.withdraw(now) && !budget.withdraw(now));
        let later = now + Duration::from_secs(10);
        assert!(!budget.withdraw(later), "the deposit is forgotten too");
        budget.deposit(later);
        assert!(budget.withdraw(later));
    }

    proptest! {
        #[test]
        fn any_share_is_taken_exactly(share in 0.0..2.0_f64, first in 0_u32..200) {
            let (mut budget, now) = (Budget::new(bare(share)), Instant::now());
            for _ in 0..first {
                budget.deposit(now);
            }
            let granted = (0..1_000).filter(|_| budget.withdraw(now)).count();
            prop_assert_eq!(granted, (share * f64::from(first)).floor() as usize);
            prop_assert!((0.0..=1.0).contains(&budget.remaining(now)));
        }
    }
}
