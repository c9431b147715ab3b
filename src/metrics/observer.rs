//! The engine tells, [`Metrics`] counts.

use std::time::Duration;

use super::export::Metrics;
use crate::{
    domain::{
        circuit::{CircuitState, Forced},
        letter::{LetterReason, ReplayOutcome},
    },
    engine::{
        observer::{AttemptKind, CallAttemptOutcome, CallOutcome, Denial, KeyOutcome, Observer},
        store::Gauges,
    },
};

impl Observer for Metrics {
    fn call_ended(&self, operation: &str, outcome: CallOutcome) {
        self.count_call(operation, outcome);
    }

    fn attempt_ended(&self, operation: &str, kind: AttemptKind, outcome: CallAttemptOutcome, took: Duration) {
        self.count_attempt(operation, kind, outcome, took);
    }

    fn retry_denied(&self, operation: &str, reason: Denial) {
        self.count_denied(operation, reason);
    }

    fn retry_delayed(&self, operation: &str, delay: Duration) {
        self.observe_delay(operation, delay);
    }

    fn budget_remaining(&self, operation: &str, ratio: f64) {
        self.set_budget(operation, ratio);
    }

    fn circuit(&self, circuit: &str, state: CircuitState, forced: Option<Forced>) {
        self.set_circuit(circuit, state, forced);
    }

    fn key_asked(&self, operation: &str, outcome: KeyOutcome) {
        self.count_key(operation, outcome);
    }

    fn storage_failed(&self, client_key: &str) {
        self.count_storage_failure(client_key);
    }

    fn letter_written(&self, operation: &str, reason: LetterReason) {
        self.count_letter(operation, reason);
    }

    fn state_ended(&self, state: &str, took: Duration) {
        self.observe_state(state, took);
    }

    fn lease_lost(&self) {
        self.count_lease_lost();
    }

    fn replay_item_ended(&self, outcome: ReplayOutcome) {
        self.count_replay_item(outcome);
    }

    fn late(&self, late: Duration) {
        self.set_late(late);
    }

    fn shed(&self) {
        self.count_shed();
    }

    fn gauges(&self, gauges: &Gauges) {
        self.set_onboardings(&gauges.onboardings);
        self.set_letters(&gauges.letters);
    }
}
