//! A guarded call: a retry asks its budget, every attempt asks its circuit and takes a place, the outcome feeds the
//! circuit, and the observer hears of it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{
    observer::{AttemptKind, CallAttemptOutcome, CallOutcome, Observer},
    policies::Policies,
    store::{CircuitReport, FailedAt, Order, Steering},
};
use crate::{
    clock,
    domain::fault::{Fault, FaultClass},
    resilience::{
        budget::{Cost, Roof},
        circuit::Force,
    },
};
use guarded::{Decided, Denied, Guarded, Pause};

mod guarded;
#[cfg(test)]
mod tests;

/// Every operation's circuit, retry budget and places in this process.
pub struct Calls {
    policies: Policies,
    roof: Arc<Roof>,
    operations: RwLock<Operations>,
    observer: Arc<dyn Observer>,
}

#[derive(Default)]
struct Operations {
    guarded: HashMap<String, Arc<Guarded>>,
    /// What operators decided, by operation; also for those not called yet.
    decided: HashMap<String, Decided>,
}

impl Calls {
    /// Calls that follow `policies` and report to `observer`.
    pub fn new(policies: Policies, observer: Arc<dyn Observer>) -> Arc<Self> {
        let roof = Roof::new(policies.roof);
        Arc::new(Self { policies, roof, operations: RwLock::default(), observer })
    }

    /// The observer.
    pub fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    /// Makes circuit, budget and places of these operations now, so that they can be seen and steered before their first
    /// call.
    pub fn expect(&self, operations: &[&str]) {
        for operation in operations {
            self.of(operation);
        }
    }

    /// What they follow.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// What operators decided, as the store says; replaces what they decided before.
    pub fn steer(&self, steering: &[Steering]) {
        let now = clock::instant();
        let mut decided: HashMap<String, Decided> = HashMap::new();
        for Steering { operation, order, left, owner, reason } in steering {
            let until = left.and_then(|left| now.checked_add(left));
            let (owner, reason) = (owner.clone(), reason.clone());
            let decided = decided.entry(operation.clone()).or_default();
            match order {
                Order::Force(to) => decided.force = Some(Force { to: *to, until, reason, owner }),
                Order::Pause => decided.pause = Some(Pause { until, owner, reason }),
            }
        }
        let mut operations = self.operations.write().unwrap_or_else(PoisonError::into_inner);
        for (operation, guarded) in &operations.guarded {
            guarded.decide(decided.get(operation).cloned().unwrap_or_default());
        }
        operations.decided = decided;
    }

    /// Every circuit as computed here, with what stands beside it.
    pub fn reports(&self) -> Vec<CircuitReport> {
        let now = clock::instant();
        self.read()
            .guarded
            .iter()
            .map(|(operation, guarded)| {
                let report = guarded.report(operation, now);
                let forced = guarded.circuit.forced(now).map(|force| force.to);
                self.observer.circuit(operation, report.state, forced);
                self.observer.budget_remaining(operation, report.budget_left);
                report
            })
            .collect()
    }

    fn of(&self, operation: &str) -> Arc<Guarded> {
        if let Some(guarded) = self.read().guarded.get(operation) {
            return Arc::clone(guarded);
        }
        let mut operations = self.operations.write().unwrap_or_else(PoisonError::into_inner);
        let Operations { guarded, decided } = &mut *operations;
        let new = || {
            let guarded = Guarded::new(self.policies.of(operation).clone(), &self.roof, clock::instant());
            guarded.decide(decided.get(operation).cloned().unwrap_or_default());
            Arc::new(guarded)
        };
        Arc::clone(guarded.entry(operation.to_owned()).or_insert_with(new))
    }

    // A panic under this lock leaves a list of operations behind, which is still good.
    fn read(&self) -> RwLockReadGuard<'_, Operations> {
        self.operations.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The calls of one step: the same circuits, with the attempt's number.
pub struct StepCalls {
    calls: Arc<Calls>,
    attempt: u32,
    last_attempt: bool,
    longest: Duration,
    /// Where the last attempt failed: calls up to it were made before, those after it never were.
    failed_at: Option<FailedAt>,
    beyond: AtomicBool,
}

impl StepCalls {
    /// Calls of attempt `attempt`, from 1; `last_attempt`: no other will follow a failure; no call takes longer than
    /// `longest`.
    pub fn new(calls: Arc<Calls>, attempt: u32, last_attempt: bool, longest: Duration) -> Self {
        let beyond = AtomicBool::new(false);
        Self { calls, attempt, last_attempt, longest, failed_at: None, beyond }
    }

    /// The same, after an attempt that failed there.
    #[must_use]
    pub fn after(mut self, failed_at: Option<FailedAt>) -> Self {
        self.failed_at = failed_at;
        self
    }

    /// What trying it again costs.
    fn cost(&self, operation: &str) -> Cost {
        match &self.failed_at {
            Some(failed) if failed.timed_out && failed.operation == operation => Cost::AfterTimeout,
            _ => Cost::Retry,
        }
    }

    /// A call is a retry when an earlier attempt made it: a later attempt's calls up to the one that failed.
    fn kind(&self, operation: &str) -> AttemptKind {
        if self.attempt <= 1 || self.beyond.load(Ordering::Relaxed) {
            return AttemptKind::First;
        }
        if self.failed_at.as_ref().is_some_and(|failed| failed.operation == operation) {
            self.beyond.store(true, Ordering::Relaxed);
        }
        AttemptKind::Retry
    }

    /// Makes one call of `operation`.
    ///
    /// # Errors
    /// The call's fault; one of a class that [was not made](FaultClass::was_made) with the time to wait when it was
    /// not; a timeout after the longest time a call may take.
    pub async fn call<T, F>(&self, operation: &str, call: F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let observer = &self.calls.observer;
        // Before the kind is known: once known, the operation that failed last is no retry any more.
        let cost = self.cost(operation);
        let kind = self.kind(operation);
        let guarded = self.calls.of(operation);
        let refused = |denied: Denied| {
            guarded.count(denied.reason());
            match kind {
                AttemptKind::First => observer.call_ended(operation, CallOutcome::Rejected),
                AttemptKind::Retry => observer.retry_denied(operation, denied.reason()),
            }
            denied.fault(operation)
        };
        guarded.turn().await.map_err(refused)?;
        let admitted = guarded.ask(kind, cost).map_err(refused)?;
        let longest = self.longest.min(guarded.policy.timeout);
        let began = clock::instant();
        let answer = match tokio::time::timeout(longest, call).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::new(
                FaultClass::Timeout,
                format!(
                    "{operation} gave no answer within {} ms: whether it was done is not known",
                    longest.as_millis()
                ),
            )),
        };
        let answer = answer.map_err(|fault| fault.of(operation));
        let outcome = match answer.as_ref().map_err(|fault| fault.class) {
            Ok(_) => CallAttemptOutcome::Success,
            Err(FaultClass::Timeout) => CallAttemptOutcome::Timeout,
            Err(FaultClass::Permanent) => CallAttemptOutcome::Permanent,
            Err(_) => CallAttemptOutcome::Transient,
        };
        let now = clock::instant();
        let took = now.saturating_duration_since(began);
        admitted.ended(&answer, took, now);
        observer.attempt_ended(operation, kind, outcome, took);
        match &answer {
            Ok(_) => observer.call_ended(operation, CallOutcome::Success),
            Err(fault) if self.last_attempt || fault.class == FaultClass::Permanent => {
                observer.call_ended(operation, CallOutcome::Failed);
            }
            Err(_) => {}
        }
        answer
    }
}
