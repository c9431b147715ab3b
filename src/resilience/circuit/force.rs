//! What an operator decided for a circuit, who, why and for how long.

use std::time::{Duration, Instant};

use crate::domain::circuit::Forced;

/// A decision that hides the computed state until it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Force {
    /// What was decided.
    pub to: Forced,
    /// When it is over by itself; `None`: only when it is taken back.
    pub until: Option<Instant>,
    /// Why, in the owner's words.
    pub reason: String,
    /// Who decided it.
    pub owner: String,
}

impl Force {
    /// Whether it still holds at `now`.
    pub fn holds(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// How long it holds from `now`, or `otherwise` when nobody can say.
    pub(super) fn left(&self, now: Instant, otherwise: Duration) -> Duration {
        self.until.map_or(otherwise, |until| until.saturating_duration_since(now))
    }
}
