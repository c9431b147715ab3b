//! A fault: what went wrong in one attempt, with what a retry needs to know about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{onboarding::sha256_hex, shape, text::SafeText, word::words};

words!(
    /// What kind of failure it was, which decides whether another attempt makes sense.
    FaultClass, "fault class", {
        /// Likely to pass: network errors, 408, 429, most 5xx, rate limits whatever their status.
        Transient = "transient",
        /// No answer in time; the effect may have happened.
        Timeout = "timeout",
        /// Will not pass by itself: most 4xx.
        Permanent = "permanent",
        /// Not known: few and slow retries.
        Unknown = "unknown",
        /// The circuit was open: the call was not made.
        CircuitOpen = "circuit_open",
        /// The retry budget was spent: the call was not made.
        BudgetSpent = "budget_spent",
        /// As many calls as may be were under way: the call was not made.
        BulkheadFull = "bulkhead_full",
        /// An operator paused the operation or forced its circuit open: the call was not made.
        Held = "held",
    }
);

impl FaultClass {
    /// Whether a call was made that could fail: else it says nothing about the callee and costs no attempt.
    pub const fn was_made(self) -> bool {
        match self {
            Self::Transient | Self::Timeout | Self::Permanent | Self::Unknown => true,
            Self::CircuitOpen | Self::BudgetSpent | Self::BulkheadFull | Self::Held => false,
        }
    }
}

/// One failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{}", SafeText::new(.message))]
pub struct Fault {
    /// Whether it may pass.
    pub class: FaultClass,
    /// What was being done, to what, and what went wrong, in one sentence. From outside: hostile.
    pub message: String,
    /// The operation that failed, `github.create_hook`, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// How long the other side asked us to wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault of `class` that says `message`.
    pub fn new(class: FaultClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into(), operation: None, http_status: None, retry_after: None }
    }

    /// A fault that no retry will mend.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Permanent, message)
    }

    /// A fault that may pass.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FaultClass::Transient, message)
    }

    /// The same fault, of `operation`.
    #[must_use]
    pub fn of(mut self, operation: &str) -> Self {
        self.operation = Some(operation.to_owned());
        self
    }

    /// What letters are grouped by: see [`fingerprint`].
    pub fn fingerprint(&self) -> String {
        fingerprint(self.operation.as_deref(), self.class.as_str(), &self.message)
    }
}

/// The rule by which [`fingerprint`] judges; letters of an older one are grouped again.
pub const FINGERPRINT_VERSION: i32 = shape::VERSION;

/// 16 hex digits of the operation, the class and the message's [`shape`](shape::shape), so that two failures of one kind
/// share them.
pub fn fingerprint(operation: Option<&str>, class: &str, message: &str) -> String {
    let kind = format!("{}|{class}|{}", operation.unwrap_or("-"), shape::shape(message));
    sha256_hex(kind.as_bytes())[..16].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_of_one_kind_share_a_fingerprint() {
        let a =
            Fault::transient("503 from api.github for acme/payments after 12 ms").of("github.create_hook");
        let b =
            Fault::transient("503 from api.github for acme/ledger after 9801 ms").of("github.create_hook");
        assert_eq!(a.fingerprint(), b.fingerprint());
    }

    #[test]
    fn another_status_or_operation_is_another_kind() {
        let a = Fault::transient("503 from api.github").of("github.create_hook");
        assert_ne!(
            a.fingerprint(),
            Fault::transient("502 from api.github").of("github.create_hook").fingerprint()
        );
        assert_ne!(a.fingerprint(), Fault::transient("503 from api.github").of("github.tree").fingerprint());
    }
}
