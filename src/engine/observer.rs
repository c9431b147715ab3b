//! What the engine tells about itself; `metrics` turns it into counters. Every method does nothing by default.

use std::time::Duration;

use super::store::Gauges;
use crate::domain::{
    circuit::{CircuitState, Forced},
    letter::{LetterReason, ReplayOutcome},
    word::words,
};

words!(
    /// How a call, one first try with all its retries, ended.
    CallOutcome, "call outcome", {
        /// It went through.
        Success = "success",
        /// It ended in a failure.
        Failed = "failed",
        /// It was never made: the circuit was open.
        Rejected = "rejected",
    }
);

words!(
    /// Whether an attempt is the first of its call.
    AttemptKind, "attempt kind", {
        /// The first.
        First = "first",
        /// Any later one.
        Retry = "retry",
    }
);

words!(
    /// How one attempt at an operation ended.
    CallAttemptOutcome, "attempt outcome", {
        /// It went through.
        Success = "success",
        /// It may pass.
        Transient = "transient",
        /// It will not pass by itself.
        Permanent = "permanent",
        /// No answer in time.
        Timeout = "timeout",
    }
);

words!(
    /// Why a call was not made.
    Denial, "denial", {
        /// The retry budget is spent.
        Budget = "budget",
        /// The circuit is open.
        Circuit = "circuit",
        /// The deadline would be passed.
        Deadline = "deadline",
        /// As many calls as may be are under way.
        Bulkhead = "bulkhead",
        /// An operator holds the operation back.
        Paused = "paused",
    }
);

words!(
    /// What a key answered.
    KeyOutcome, "key outcome", {
        /// The work runs.
        New = "new",
        /// The stored response was replayed.
        Replayed = "replayed",
        /// Somebody else works under it.
        InProgress = "in_progress",
        /// It was used for another request.
        Mismatch = "mismatch",
        /// A lease was over and the work was taken over.
        Recovered = "recovered",
        /// The store failed, and nothing ran.
        Error = "error",
        /// The store failed, and the work ran without protection.
        Unprotected = "unprotected",
    }
);

/// Hears what happens. Called often and from many tasks: be quick.
pub trait Observer: Send + Sync {
    /// A call ended for good.
    fn call_ended(&self, _operation: &str, _outcome: CallOutcome) {}
    /// One attempt at an operation ended.
    fn attempt_ended(
        &self,
        _operation: &str,
        _kind: AttemptKind,
        _outcome: CallAttemptOutcome,
        _took: Duration,
    ) {
    }
    /// A retry was not made.
    fn retry_denied(&self, _operation: &str, _reason: Denial) {}
    /// A retry was scheduled.
    fn retry_delayed(&self, _operation: &str, _delay: Duration) {}
    /// What is left of an operation's retry budget, in `[0, 1]`.
    fn budget_remaining(&self, _operation: &str, _ratio: f64) {}
    /// A circuit's state, as computed here and as forced.
    fn circuit(&self, _circuit: &str, _state: CircuitState, _forced: Option<Forced>) {}
    /// A key was asked.
    fn key_asked(&self, _operation: &str, _outcome: KeyOutcome) {}
    /// A response could not be stored under the key the client sent.
    fn storage_failed(&self, _client_key: &str) {}
    /// A letter was written.
    fn letter_written(&self, _operation: &str, _reason: LetterReason) {}
    /// A state was run to its end, well or not.
    fn state_ended(&self, _state: &str, _took: Duration) {}
    /// A lease was lost: the work was abandoned.
    fn lease_lost(&self) {}
    /// A replayed letter's outcome is known.
    fn replay_item_ended(&self, _outcome: ReplayOutcome) {}
    /// The earliest due work has waited for so long.
    fn late(&self, _for: Duration) {}
    /// The intake turned a trigger away.
    fn shed(&self) {}
    /// What the tables hold.
    fn gauges(&self, _gauges: &Gauges) {}
}

/// Hears nothing.
impl Observer for () {}
