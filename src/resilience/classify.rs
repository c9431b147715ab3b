//! Which failures are worth another attempt: what an error says of itself, and what an HTTP answer says.

use std::{convert::Infallible, time::Duration};

use super::invalid::{self, Invalid};
use crate::domain::fault::{Fault, FaultClass};

/// An error that knows whether another attempt makes sense. What it says wins over every default.
pub trait Classify {
    /// Its class.
    fn class(&self) -> FaultClass;

    /// How long the other side asked us to wait.
    fn retry_after(&self) -> Option<Duration> {
        None
    }

    /// Whether the other side said that we call too often, for those who steer by it.
    fn throttled(&self) -> bool {
        false
    }

    /// Whether the other side said not to try again, however well it would pass.
    fn pushed_back(&self) -> bool {
        false
    }
}

/// What cannot fail has no class; services that answer everything have this error.
impl Classify for Infallible {
    fn class(&self) -> FaultClass {
        match *self {}
    }
}

impl Classify for Fault {
    fn class(&self) -> FaultClass {
        self.class
    }

    fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    fn throttled(&self) -> bool {
        self.http_status == Some(429) || (self.retry_after.is_some() && self.class == FaultClass::Transient)
    }
}

/// What a call's end says about the health of its callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It answered, if only that the request is wrong.
    Well,
    /// It failed, or did not answer in time.
    Ill,
    /// The call was never made.
    Unknown,
}

/// What a failure of `class` says about the callee.
pub fn health(class: FaultClass) -> Health {
    match class {
        FaultClass::Permanent => Health::Well,
        FaultClass::Transient | FaultClass::Timeout | FaultClass::Unknown => Health::Ill,
        FaultClass::CircuitOpen | FaultClass::BudgetSpent | FaultClass::BulkheadFull | FaultClass::Held => {
            Health::Unknown
        }
    }
}

/// How often failures of one class are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// Not again.
    Once,
    /// At most so many attempts in all, each after the longest delay.
    FewAndSlow(u32),
    /// As often as the policy has attempts.
    All,
}

/// How often each class is tried. A permanent failure is never tried again, a transient one as often as allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes {
    /// No answer in time. [`Tries::Once`] for a call that must not be made twice.
    pub timeout: Tries,
    /// Failures that nobody knows.
    pub unknown: Tries,
}

impl Default for Classes {
    fn default() -> Self {
        Self { timeout: Tries::All, unknown: Tries::FewAndSlow(2) }
    }
}

impl Classes {
    /// How often `class` is tried.
    pub fn tries(&self, class: FaultClass) -> Tries {
        match class {
            FaultClass::Transient => Tries::All,
            FaultClass::Timeout => self.timeout,
            FaultClass::Unknown => self.unknown,
            FaultClass::Permanent
            | FaultClass::CircuitOpen
            | FaultClass::BudgetSpent
            | FaultClass::BulkheadFull
            | FaultClass::Held => Tries::Once,
        }
    }

    /// Says what cannot be meant.
    ///
    /// # Errors
    /// Fewer than 2 attempts under a name that promises a few.
    pub fn check(&self) -> Result<(), Invalid> {
        for (field, tries) in [("tries.timeout", self.timeout), ("tries.unknown", self.unknown)] {
            if let Tries::FewAndSlow(attempts) = tries {
                invalid::count(field, attempts, 2, 100)?;
            }
        }
        Ok(())
    }
}

impl Tries {
    /// How many attempts that makes where the policy has `attempts`.
    pub fn of(self, attempts: u32) -> u32 {
        match self {
            Self::Once => attempts.min(1),
            Self::FewAndSlow(few) => attempts.min(few),
            Self::All => attempts,
        }
    }
}

/// What an HTTP answer tells about trying again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// `Retry-After`, already turned into a wait: see [`super::retry_after`].
    pub retry_after: Option<Duration>,
    /// `x-ratelimit-remaining`, as sent.
    pub ratelimit_remaining: Option<&'a str>,
    /// The beginning of the body.
    pub body: &'a str,
}

/// The class of a failed answer.
///
/// 408, 429 and 5xx but 501 are transient; so is any answer that says "rate limit" or "temporarily unavailable", or
/// carries `Retry-After` or `x-ratelimit-remaining: 0`, even a 403. 400, 401, 403, 404, 409, 422 and 501 otherwise
/// are permanent; what is left is unknown.
pub fn answer(answer: Answer<'_>) -> FaultClass {
    let asks_to_wait = answer.retry_after.is_some()
        || answer.ratelimit_remaining.is_some_and(|left| left.trim() == "0")
        || message(answer.body) == FaultClass::Transient;
    match answer.status {
        _ if asks_to_wait => FaultClass::Transient,
        501 => FaultClass::Permanent,
        408 | 429 | 500..=599 => FaultClass::Transient,
        400 | 401 | 403 | 404 | 409 | 410 | 422 => FaultClass::Permanent,
        _ => FaultClass::Unknown,
    }
}

/// The class of a failure of which only the words are known.
pub fn message(text: &str) -> FaultClass {
    let text = text.to_ascii_lowercase();
    match text.contains("rate limit") || text.contains("temporarily unavailable") {
        true => FaultClass::Transient,
        false => FaultClass::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> FaultClass {
        answer(Answer { status, retry_after: None, ratelimit_remaining: None, body })
    }

    #[test]
    fn server_errors_and_throttling_are_transient_but_not_implemented_is_not() {
        for status in [408, 429, 500, 502, 503, 504] {
            assert_eq!(of(status, ""), FaultClass::Transient, "{status}");
        }
        assert_eq!(of(501, ""), FaultClass::Permanent);
    }

    #[test]
    fn a_forbidden_that_speaks_of_a_rate_limit_is_transient() {
        assert_eq!(of(403, "API rate limit exceeded for installation"), FaultClass::Transient);
        assert_eq!(of(403, "Resource not accessible"), FaultClass::Permanent);
        let emptied = Answer { status: 403, retry_after: None, ratelimit_remaining: Some("0"), body: "" };
        assert_eq!(answer(emptied), FaultClass::Transient);
        let waits =
            Answer { retry_after: Some(Duration::from_secs(1)), ratelimit_remaining: None, ..emptied };
        assert_eq!(answer(waits), FaultClass::Transient);
    }

    #[test]
    fn caller_errors_are_permanent_and_the_rest_is_unknown() {
        for status in [400, 401, 404, 409, 422] {
            assert_eq!(of(status, "no"), FaultClass::Permanent, "{status}");
        }
        assert_eq!(of(418, ""), FaultClass::Unknown);
    }

    #[test]
    fn permanent_failures_are_tried_once_and_unknown_ones_seldom() {
        let attempts = |class| Classes::default().tries(class).of(5);
        let all: Vec<u32> = FaultClass::ALL.iter().map(|class| attempts(*class)).collect();
        assert_eq!(
            all,
            [5, 5, 1, 2, 1, 1, 1, 1],
            "transient, timeout, permanent, unknown, and four that were not made"
        );
    }

    #[test]
    fn a_few_that_is_one_is_refused() {
        let classes = Classes { unknown: Tries::FewAndSlow(1), ..Classes::default() };
        let said = classes.check().unwrap_err().to_string();
        assert_eq!(said, "tries.unknown is 1: between 2 and 100 is expected");
    }
}
