//! A fault: what went wrong in one attempt, with what a retry needs to know about it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{onboarding::sha256_hex, word::words};

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
#[error("{message}")]
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

    /// What letters are grouped by: 16 hex digits of the operation, the class and the message with its numbers,
    /// ids and quoted parts taken out, so that two failures of one kind share it.
    pub fn fingerprint(&self) -> String {
        let kind =
            format!("{}|{}|{}", self.operation.as_deref().unwrap_or("-"), self.class, shape(&self.message));
        sha256_hex(kind.as_bytes())[..16].to_owned()
    }
}

/// A message with what varies taken out: quoted parts become `'…'`, words with a digit that are long or not plain
/// numbers become `#`; a plain number of three digits (an HTTP status) stays.
pub fn shape(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find(['"', '\'', '`']) {
        let quote = rest.as_bytes()[start] as char;
        let Some(length) = rest[start + 1..].find(quote) else { break };
        push_words(&mut out, &rest[..start]);
        out.push_str(" '…'");
        rest = &rest[start + 1 + length + 1..];
    }
    push_words(&mut out, rest);
    out.trim().to_owned()
}

fn push_words(out: &mut String, text: &str) {
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let is_status = bare.len() == 3 && bare.chars().all(|c| c.is_ascii_digit());
        let varies = word.chars().any(|c| c.is_ascii_digit()) && !is_status || word.contains('/');
        out.push(' ');
        out.push_str(if varies { "#" } else { word });
    }
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
