//! A budget: what keeps retries from becoming a storm. Two verbs: what goes well, and first tries, deposit; a retry
//! withdraws. A withdrawal that is denied says why.
//!
//! Attempts bound one call; a budget bounds all calls together. With 5 attempts each, a callee that is down gets five
//! times its load just when it can bear least; with a budget of 20 % it gets 1.2 times.
//!
//! Time is handed in; reading changes nothing; every handle is shared by as many threads as like.

mod ledger;
mod pace;
mod policy;
mod roof;
mod tally;
mod tokens;

#[cfg(test)]
mod loomed;
#[cfg(test)]
mod sequences;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{slices, stripe, sync};
use crate::domain::word::words;
use ledger::Ledger;
use pace::Pace;
pub use policy::{BudgetPolicy, RatioPolicy, RoofPolicy, TokenPolicy};
use roof::Member;
pub use roof::Roof;
pub use tally::Tally;
use tokens::Tokens;

words!(
    /// Why a retry is not affordable.
    Denied, "budget denial", {
        /// The operation's share of retries is used.
        Ratio = "ratio",
        /// The operation's bucket holds too few tokens.
        Tokens = "tokens",
        /// All operations together have used what the service allows.
        Roof = "roof",
    }
);

/// What a retry withdraws for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// The attempt before it failed.
    Retry,
    /// The attempt before it gave no answer in time.
    AfterTimeout,
}

/// A retry that was afforded; deposit it again when it succeeded, or was not made.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Withdrawal {
    tokens: u32,
}

/// What is deposited.
#[derive(Debug, PartialEq, Eq)]
pub enum Deposit {
    /// A first try is made.
    FirstTry,
    /// A call succeeded, after the retry of the withdrawal if it took one.
    Success(Option<Withdrawal>),
    /// A retry was afforded and not made.
    Unused(Withdrawal),
}

#[derive(Debug)]
enum Rule {
    Ratio(RatioPolicy),
    Tokens(Tokens),
    Adaptive(Tokens, Mutex<Pace>),
}

/// One operation's budget.
#[derive(Debug)]
pub struct Budget {
    member: Arc<Member>,
    window: Duration,
    rule: Rule,
    roof: Option<Arc<Roof>>,
}

impl Budget {
    /// A full budget of its own; no `now` handed in later may be earlier than this one.
    pub fn new(policy: BudgetPolicy, now: Instant) -> Self {
        Self::build(policy, 1.0, None, now)
    }

    /// A full budget under `roof`, which keeps a part for it by `weight`, against the weights of the others.
    pub fn under(roof: &Arc<Roof>, policy: BudgetPolicy, weight: f64, now: Instant) -> Self {
        let weight = if weight.is_finite() { weight.max(f64::MIN_POSITIVE) } else { 1.0 };
        let budget = Self::build(policy, weight, Some(Arc::clone(roof)), now);
        roof.add(&budget.member);
        budget
    }

    fn build(policy: BudgetPolicy, weight: f64, roof: Option<Arc<Roof>>, now: Instant) -> Self {
        let own = match policy {
            BudgetPolicy::Ratio(ratio) => ratio.window,
            BudgetPolicy::Tokens(_) | BudgetPolicy::Adaptive(_) => RatioPolicy::default().window,
        };
        let window = roof.as_ref().map_or(own, |roof| roof.policy().window);
        let rule = match policy {
            BudgetPolicy::Ratio(ratio) => Rule::Ratio(ratio),
            BudgetPolicy::Tokens(tokens) => Rule::Tokens(Tokens::new(tokens)),
            BudgetPolicy::Adaptive(tokens) => Rule::Adaptive(Tokens::new(tokens), Mutex::new(Pace::new(now))),
        };
        Self { member: Arc::new(Member { ledger: Ledger::new(window, now), weight }), window, rule, roof }
    }

    /// Deposits at `now`.
    #[inline]
    pub fn deposit(&self, what: Deposit, now: Instant) {
        match (what, &self.rule) {
            (Deposit::FirstTry, _) => self.member.ledger.first_try(now),
            (Deposit::Success(_), Rule::Ratio(_)) => {}
            (Deposit::Success(withdrawn), Rule::Tokens(tokens) | Rule::Adaptive(tokens, _)) => {
                tokens.put(withdrawn.map_or(tokens.policy().success, |withdrawal| withdrawal.tokens));
            }
            (Deposit::Unused(withdrawal), _) => self.undo(&withdrawal, now),
        }
    }

    /// Asks to make a retry at `now`.
    ///
    /// # Errors
    /// Why it is not affordable; then nothing was withdrawn.
    pub fn withdraw(&self, cost: Cost, now: Instant) -> Result<Withdrawal, Denied> {
        let withdrawal = Withdrawal {
            tokens: match (&self.rule, cost) {
                (Rule::Ratio(_), _) => 0,
                (Rule::Tokens(tokens) | Rule::Adaptive(tokens, _), Cost::Retry) => tokens.policy().retry,
                (Rule::Tokens(tokens) | Rule::Adaptive(tokens, _), Cost::AfterTimeout) => {
                    tokens.policy().after_timeout
                }
            },
        };
        let take = || self.take(&withdrawal, now);
        let roomy = match &self.roof {
            None => take().map(|()| true),
            Some(roof) => roof.withdraw(&self.member, now, take),
        };
        match roomy {
            Ok(true) => Ok(withdrawal),
            Ok(false) => {
                self.undo(&withdrawal, now);
                Err(Denied::Roof)
            }
            Err(denied) => Err(denied),
        }
    }

    /// How long to wait from `now` before sending, a first try too; never any but in adaptive mode.
    #[inline]
    pub fn pace(&self, now: Instant) -> Duration {
        match &self.rule {
            Rule::Ratio(_) | Rule::Tokens(_) => Duration::ZERO,
            Rule::Adaptive(_, pace) => pace.lock().unwrap_or_else(PoisonError::into_inner).turn(now),
        }
    }

    /// The turn that [`Budget::pace`] gave is not used.
    pub fn unpace(&self) {
        if let Rule::Adaptive(_, pace) = &self.rule {
            pace.lock().unwrap_or_else(PoisonError::into_inner).give_back();
        }
    }

    /// Hears at `now` of an answer, and whether it said that we call too often; for adaptive mode.
    #[inline]
    pub fn heard(&self, throttled: bool, now: Instant) {
        if let Rule::Adaptive(_, pace) = &self.rule {
            pace.lock().unwrap_or_else(PoisonError::into_inner).heard(throttled, now);
        }
    }

    /// Whether [`Budget::heard`] wants to hear, and so needs the time.
    pub fn is_paced(&self) -> bool {
        matches!(self.rule, Rule::Adaptive(..))
    }

    /// The calls a second it is held to; `None` while nothing is held back.
    pub fn rate(&self) -> Option<f64> {
        match &self.rule {
            Rule::Ratio(_) | Rule::Tokens(_) => None,
            Rule::Adaptive(_, pace) => pace.lock().unwrap_or_else(PoisonError::into_inner).rate(),
        }
    }

    /// What was done in the window before `now`. Looking changes nothing.
    pub fn tally(&self, now: Instant) -> Tally {
        self.member.ledger.total(now)
    }

    /// What is left at `now`, in `[0, 1]`, by the operation's own rule. Looking changes nothing.
    pub fn remaining(&self, now: Instant) -> f64 {
        let (left, whole) = match &self.rule {
            Rule::Tokens(tokens) | Rule::Adaptive(tokens, _) => {
                (f64::from(tokens.left()), f64::from(tokens.policy().capacity))
            }
            Rule::Ratio(ratio) => {
                let tally = self.tally(now);
                let allowed = allowed(ratio, self.window, tally);
                (allowed - tally.retries as f64, allowed)
            }
        };
        if whole > 0.0 { (left / whole).clamp(0.0, 1.0) } else { 0.0 }
    }

    fn take(&self, withdrawal: &Withdrawal, now: Instant) -> Result<(), Denied> {
        let ledger = &self.member.ledger;
        match &self.rule {
            Rule::Ratio(ratio) => {
                let affordable = |t: Tally| t.retries as f64 + 1.0 <= allowed(ratio, self.window, t);
                ledger.retry(now, affordable).then_some(()).ok_or(Denied::Ratio)
            }
            Rule::Tokens(tokens) | Rule::Adaptive(tokens, _) => {
                tokens.take(withdrawal.tokens).then_some(()).ok_or(Denied::Tokens)?;
                ledger.retry(now, |_| true);
                Ok(())
            }
        }
    }

    fn undo(&self, withdrawal: &Withdrawal, now: Instant) {
        self.member.ledger.unretry(now);
        if let Rule::Tokens(tokens) | Rule::Adaptive(tokens, _) = &self.rule {
            tokens.put(withdrawal.tokens);
        }
    }
}

fn allowed(ratio: &RatioPolicy, window: Duration, tally: Tally) -> f64 {
    ratio.share * tally.first as f64 + ratio.floor * window.as_secs_f64()
}
