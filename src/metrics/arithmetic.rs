//! The arithmetic of retries over one window: ρ, α, η, g, β and how sure ρ is. Pure numbers, no names, no time.

use std::{
    iter::Sum,
    ops::{Add, AddAssign},
};

/// What was counted for one operation over one window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Counts {
    /// F: first tries.
    pub first: f64,
    /// R: retries.
    pub retries: f64,
    /// First tries of sources that tell how their calls end.
    pub first_told: f64,
    /// Retries of sources that tell how retries end.
    pub retries_told: f64,
    /// Attempts that succeeded: at most one for each call.
    pub successes: f64,
    /// Retries that succeeded.
    pub retry_successes: f64,
    /// Retries that were denied, for whatever reason.
    pub denied: f64,
    /// Retries that were denied because the budget was spent.
    pub denied_by_budget: f64,
}

impl Counts {
    /// The same per second, counted over `seconds`; more than 0.
    #[must_use]
    pub fn per(self, seconds: f64) -> Self {
        Self {
            first: self.first / seconds,
            retries: self.retries / seconds,
            first_told: self.first_told / seconds,
            retries_told: self.retries_told / seconds,
            successes: self.successes / seconds,
            retry_successes: self.retry_successes / seconds,
            denied: self.denied / seconds,
            denied_by_budget: self.denied_by_budget / seconds,
        }
    }

    /// A: every attempt.
    pub fn attempts(&self) -> f64 {
        self.first + self.retries
    }

    /// ρ = R/A, in `[0, 1]`; `None` when nothing was attempted.
    pub fn retry_ratio(&self) -> Option<f64> {
        ratio(self.retries, self.attempts())
    }

    /// α = A/F, from 1; `None` without first tries.
    pub fn amplification(&self) -> Option<f64> {
        ratio(self.attempts(), self.first)
    }

    /// η: retries that succeeded / retries; `None` without retries, or where nobody tells.
    pub fn efficacy(&self) -> Option<f64> {
        ratio(self.retry_successes, self.retries_told).map(|share| share.min(1.0))
    }

    /// g: calls that finally succeeded / F; `None` without first tries, or where nobody tells.
    pub fn goodput(&self) -> Option<f64> {
        ratio(self.successes, self.first_told).map(|share| share.min(1.0))
    }

    /// The lower end of the Wilson 95 % interval of ρ; 0 when nothing was attempted.
    pub fn surely_retried(&self) -> f64 {
        wilson_lower(self.retries, self.attempts())
    }

    /// The retries beyond what `usual` (a ρ in `[0, 1)`) would make of these first tries.
    pub fn excess_retries(&self, usual: f64) -> f64 {
        (self.retries - self.first * usual / (1.0 - usual)).max(0.0)
    }

    /// β = 1 − R/(b·F + m·W), in `[0, 1]`: what is left of a budget of `share` (b) of the first tries plus `floor`
    /// (m·W) retries over the window; zero whenever retries were denied.
    pub fn budget_left(&self, share: f64, floor: f64) -> f64 {
        if self.denied > 0.0 {
            return 0.0;
        }
        let allowed = share * self.first + floor;
        if allowed > 0.0 { (1.0 - self.retries / allowed).clamp(0.0, 1.0) } else { 0.0 }
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.first += other.first;
        self.retries += other.retries;
        self.first_told += other.first_told;
        self.retries_told += other.retries_told;
        self.successes += other.successes;
        self.retry_successes += other.retry_successes;
        self.denied += other.denied;
        self.denied_by_budget += other.denied_by_budget;
    }
}

impl Add for Counts {
    type Output = Self;
    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// The lower end of the Wilson 95 % interval of `part` among `whole`; 0 of nothing.
pub fn wilson_lower(part: f64, whole: f64) -> f64 {
    if whole <= 0.0 {
        return 0.0;
    }
    const Z: f64 = 1.959_964;
    let (p, n) = ((part / whole).clamp(0.0, 1.0), whole);
    let middle = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((middle - spread) / (1.0 + Z * Z / n)).max(0.0)
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}
