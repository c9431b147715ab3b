//! A guarded call: a retry asks its budget, every attempt asks its circuit, the outcome feeds it, and the observer hears
//! of it.

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
    observer::{AttemptKind, CallAttemptOutcome, CallOutcome, Denial, Observer},
    store::{CircuitReport, ForcedCircuit},
};
use crate::{
    clock,
    domain::{
        circuit::{CircuitState, Forced},
        fault::{Fault, FaultClass},
    },
    resilience::{
        budget::{Budget, BudgetPolicy, Cost, Deposit},
        circuit::{Circuit, CircuitPolicy, Counts, Force, Permit},
        classify::{self, Health},
    },
};

/// Every operation's circuit and retry budget in this process.
pub struct Calls {
    policy: CircuitPolicy,
    operations: RwLock<Operations>,
    observer: Arc<dyn Observer>,
}

#[derive(Default)]
struct Operations {
    guarded: HashMap<String, Arc<Guarded>>,
    forced: HashMap<String, Forced>,
}

/// One operation's circuit and retry budget.
struct Guarded {
    circuit: Circuit,
    budget: Budget,
}

impl Calls {
    /// Circuits that follow `policy` and report to `observer`.
    pub fn new(policy: CircuitPolicy, observer: Arc<dyn Observer>) -> Arc<Self> {
        Arc::new(Self { policy, operations: RwLock::default(), observer })
    }

    /// The observer.
    pub fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    /// What operators forced, as the store says; replaces what was forced before.
    pub fn force(&self, forced: &[ForcedCircuit]) {
        let forced = forced.iter().map(|f| (f.operation.clone(), f.forced)).collect();
        let mut operations = self.operations.write().unwrap_or_else(PoisonError::into_inner);
        if operations.forced == forced {
            return;
        }
        for (operation, guarded) in &operations.guarded {
            guarded.circuit.force(forced.get(operation).map(by_operator));
        }
        operations.forced = forced;
    }

    /// Every circuit as computed here.
    pub fn reports(&self) -> Vec<CircuitReport> {
        let now = clock::instant();
        let report = |(operation, guarded): (&String, &Arc<Guarded>)| {
            let standing = guarded.circuit.standing(now);
            let closed = standing.state == CircuitState::Closed;
            let counts = if closed { standing.counts } else { Counts::default() };
            let forced = guarded.circuit.forced(now).map(|force| force.to);
            self.observer.circuit(operation, standing.state, forced);
            self.observer.budget_remaining(operation, guarded.budget.remaining(now));
            CircuitReport {
                operation: operation.clone(),
                state: standing.state,
                failure_rate: counts.failure_rate(),
                calls: i32::try_from(counts.calls).unwrap_or(i32::MAX),
                probe_in: standing.probe_in,
            }
        };
        self.read().guarded.iter().map(report).collect()
    }

    fn of(&self, operation: &str) -> Arc<Guarded> {
        if let Some(guarded) = self.read().guarded.get(operation) {
            return Arc::clone(guarded);
        }
        let mut operations = self.operations.write().unwrap_or_else(PoisonError::into_inner);
        let Operations { guarded, forced } = &mut *operations;
        let new = || {
            let now = clock::instant();
            let circuit = Circuit::new(self.policy, now);
            circuit.force(forced.get(operation).map(by_operator));
            Arc::new(Guarded { circuit, budget: Budget::new(BudgetPolicy::default(), now) })
        };
        Arc::clone(guarded.entry(operation.to_owned()).or_insert_with(new))
    }

    // A panic under this lock leaves a list of operations behind, which is still good.
    fn read(&self) -> RwLockReadGuard<'_, Operations> {
        self.operations.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The store does not say more about it yet.
fn by_operator(to: &Forced) -> Force {
    Force { to: *to, until: None, reason: String::new(), owner: String::new() }
}

impl Guarded {
    /// Asks to make one attempt.
    fn ask(&self, kind: AttemptKind) -> Result<Permit<'_>, Denied> {
        let now = clock::instant();
        let permit = self.circuit.ask(now).map_err(|refused| Denied::Circuit(refused.wait))?;
        match kind {
            AttemptKind::First => self.budget.deposit(Deposit::FirstTry, now),
            // The engine's budgets are ratios: what became of the retry makes no difference to them.
            AttemptKind::Retry => drop(self.budget.withdraw(Cost::Retry, now).map_err(|_| Denied::Budget)?),
        }
        Ok(permit)
    }
}

/// Why a call is not made.
enum Denied {
    /// The circuit is open for so long.
    Circuit(Duration),
    /// The retry budget is spent.
    Budget,
}

/// How long a retry waits for its budget to fill again.
const BUDGET_WAIT: Duration = Duration::from_secs(1);

impl Denied {
    fn fault(&self, operation: &str) -> Fault {
        let (class, text, wait) = match self {
            Self::Circuit(wait) => (FaultClass::CircuitOpen, format!("circuit {operation} is open"), *wait),
            Self::Budget => {
                (FaultClass::BudgetSpent, format!("the retry budget of {operation} is spent"), BUDGET_WAIT)
            }
        };
        Fault { retry_after: Some(wait), ..Fault::new(class, text).of(operation) }
    }
}

/// The calls of one step: the same circuits, with the attempt's number.
pub struct StepCalls {
    calls: Arc<Calls>,
    attempt: u32,
    last_attempt: bool,
    longest: Duration,
    /// Where the last attempt failed: calls up to it were made before, those after it never were.
    failed_operation: Option<String>,
    beyond: AtomicBool,
}

impl StepCalls {
    /// Calls of attempt `attempt`, from 1; `last_attempt`: no other will follow a failure; no call takes longer than
    /// `longest`.
    pub fn new(calls: Arc<Calls>, attempt: u32, last_attempt: bool, longest: Duration) -> Self {
        let beyond = AtomicBool::new(false);
        Self { calls, attempt, last_attempt, longest, failed_operation: None, beyond }
    }

    /// The same, after an attempt that failed at `operation`.
    #[must_use]
    pub fn after_failure_at(mut self, operation: Option<String>) -> Self {
        self.failed_operation = operation;
        self
    }

    /// A call is a retry when an earlier attempt made it: a later attempt's calls up to the one that failed.
    fn kind(&self, operation: &str) -> AttemptKind {
        if self.attempt <= 1 || self.beyond.load(Ordering::Relaxed) {
            return AttemptKind::First;
        }
        if self.failed_operation.as_deref() == Some(operation) {
            self.beyond.store(true, Ordering::Relaxed);
        }
        AttemptKind::Retry
    }

    /// Makes one call of `operation`.
    ///
    /// # Errors
    /// The call's fault; [`FaultClass::CircuitOpen`] or [`FaultClass::BudgetSpent`] with the time to wait when it was
    /// not made; a timeout after the longest time a call may take.
    pub async fn call<T, F>(&self, operation: &str, call: F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let observer = &self.calls.observer;
        let kind = self.kind(operation);
        let guarded = self.calls.of(operation);
        // Dropped with the call, at a step's timeout or a shutdown, the permit gives its place back.
        let permit = guarded.ask(kind).map_err(|denied| {
            match (kind, &denied) {
                (AttemptKind::First, _) => observer.call_ended(operation, CallOutcome::Rejected),
                (AttemptKind::Retry, Denied::Circuit(_)) => observer.retry_denied(operation, Denial::Circuit),
                (AttemptKind::Retry, Denied::Budget) => observer.retry_denied(operation, Denial::Budget),
            }
            denied.fault(operation)
        })?;
        let began = clock::instant();
        let answer = match tokio::time::timeout(self.longest, call).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::new(
                FaultClass::Timeout,
                format!("{operation} gave no answer within {} ms", self.longest.as_millis()),
            )),
        };
        let answer = answer.map_err(|fault| fault.of(operation));
        let (outcome, health) = match &answer {
            Ok(_) => (CallAttemptOutcome::Success, Health::Well),
            Err(fault) => {
                let outcome = match fault.class {
                    FaultClass::Timeout => CallAttemptOutcome::Timeout,
                    FaultClass::Permanent => CallAttemptOutcome::Permanent,
                    _ => CallAttemptOutcome::Transient,
                };
                (outcome, classify::health(fault.class))
            }
        };
        let now = clock::instant();
        let took = now.saturating_duration_since(began);
        match health {
            Health::Well | Health::Ill => permit.report(health == Health::Well, took, now),
            Health::Unknown => drop(permit),
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::resilience::circuit::Window;

    #[derive(Default)]
    struct Heard(Mutex<Vec<(String, AttemptKind)>>);

    impl Observer for Heard {
        fn attempt_ended(&self, operation: &str, kind: AttemptKind, _: CallAttemptOutcome, _: Duration) {
            self.0.lock().unwrap().push((operation.to_owned(), kind));
        }
    }

    #[tokio::test]
    async fn what_an_earlier_attempt_never_reached_is_a_first_try() {
        let heard = Arc::new(Heard::default());
        let calls = Calls::new(CircuitPolicy::default(), heard.clone());
        let step = StepCalls::new(calls, 2, false, Duration::from_secs(1))
            .after_failure_at(Some("github.list_hooks".to_owned()));
        for operation in
            ["tfc.list_notifications", "github.list_hooks", "github.list_hooks", "github.create_hook"]
        {
            step.call(operation, async { Ok(()) }).await.unwrap();
        }
        use AttemptKind::{First, Retry};
        let kinds: Vec<_> = heard.0.lock().unwrap().iter().map(|(_, kind)| *kind).collect();
        assert_eq!(kinds, [Retry, Retry, First, First], "the second page is new as well");
    }

    #[tokio::test]
    async fn a_dropped_call_says_nothing_about_its_callee() {
        let calls = Calls::new(
            CircuitPolicy { window: Window::Calls(1), minimum_calls: 1, ..CircuitPolicy::default() },
            Arc::new(()),
        );
        let step = StepCalls::new(calls.clone(), 1, false, Duration::from_secs(60));
        let hanging = step.call("github.tree", std::future::pending::<Result<(), Fault>>());
        assert!(tokio::time::timeout(Duration::from_millis(1), hanging).await.is_err());
        assert_eq!(calls.reports()[0].calls, 0);
    }
}
