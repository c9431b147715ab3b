//! How many retries are affordable: plain values.

use std::time::Duration;

use crate::resilience::invalid::{self, Invalid};

/// Retries as a share of first tries over a window, above a floor: when the callee is down, first tries go on and
/// retries stop, so that the load it sees is bounded by `1 + share` instead of by the number of attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RatioPolicy {
    /// Retries per first try; any ratio from 0 up is taken exactly.
    pub share: f64,
    /// Retries per second that are always affordable, so that a quiet operation can retry at all.
    pub floor: f64,
    /// How long first tries and retries count.
    pub window: Duration,
}

impl Default for RatioPolicy {
    fn default() -> Self {
        Self { share: 0.2, floor: 10.0, window: Duration::from_secs(10) }
    }
}

/// A bucket of tokens that retries take from and successes fill: the AWS SDKs' "standard" mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenPolicy {
    /// How many it holds, and begins with.
    pub capacity: u32,
    /// What a retry costs.
    pub retry: u32,
    /// What a retry after a timeout costs.
    pub after_timeout: u32,
    /// What a success gives back that was no retry; one that was gives back what it cost.
    pub success: u32,
}

impl Default for TokenPolicy {
    fn default() -> Self {
        Self { capacity: 500, retry: 5, after_timeout: 10, success: 1 }
    }
}

/// How many retries are affordable.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BudgetPolicy {
    /// A share of first tries.
    Ratio(RatioPolicy),
    /// A bucket of tokens.
    Tokens(TokenPolicy),
    /// A bucket of tokens, and a rate of sending that follows the callee's throttling: the AWS SDKs' "adaptive" mode.
    Adaptive(TokenPolicy),
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self::Ratio(RatioPolicy::default())
    }
}

/// How many retries a whole service may make, over all its operations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RoofPolicy {
    /// Retries per first try, over all operations.
    pub share: f64,
    /// Retries per second that are always affordable, over all operations.
    pub floor: f64,
    /// How long first tries and retries count; under a roof, those of each operation too.
    pub window: Duration,
    /// The part of what the roof allows, in `[0, 1]`, that is kept for the operations by their weight; the rest is
    /// whoever's comes first.
    pub kept: f64,
}

impl Default for RoofPolicy {
    fn default() -> Self {
        Self { share: 0.1, floor: 10.0, window: Duration::from_secs(10), kept: 0.5 }
    }
}

/// More retries than this per first try, or per second, are a mistake.
const MOST: f64 = 1_000_000.0;

impl BudgetPolicy {
    /// Says what cannot be meant.
    ///
    /// # Errors
    /// Numbers that are negative, too large or none; a bucket that can never pay for a retry; a retry for nothing.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::Ratio(ratio) => {
                invalid::number("share", ratio.share, 0.0, MOST)?;
                invalid::number("floor", ratio.floor, 0.0, MOST)?;
                invalid::time("window", ratio.window)
            }
            Self::Tokens(tokens) | Self::Adaptive(tokens) => {
                invalid::count("capacity", tokens.capacity, 1, 1_000_000_000)?;
                invalid::count("retry", tokens.retry, 1, tokens.capacity)?;
                invalid::count("after_timeout", tokens.after_timeout, 1, tokens.capacity)?;
                invalid::count("success", tokens.success, 0, tokens.capacity)
            }
        }
    }
}

impl RoofPolicy {
    /// Says what cannot be meant.
    ///
    /// # Errors
    /// Numbers that are negative, too large or none.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::number("share", self.share, 0.0, MOST)?;
        invalid::number("floor", self.floor, 0.0, MOST)?;
        invalid::time("window", self.window)?;
        invalid::number("kept", self.kept, 0.0, 1.0)
    }
}
