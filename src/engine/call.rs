//! A guarded call: a retry asks its budget, every attempt asks its circuit, the outcome feeds it, and the observer hears
//! of it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
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
        circuit::Forced,
        fault::{Fault, FaultClass},
    },
    resilience::{
        budget::{Budget, BudgetPolicy},
        circuit::{Circuit, CircuitPolicy, Permit},
    },
};

/// Every operation's circuit and retry budget in this process.
pub struct Calls {
    policy: CircuitPolicy,
    circuits: Mutex<Circuits>,
    observer: Arc<dyn Observer>,
}

#[derive(Default)]
struct Circuits {
    computed: HashMap<String, Circuit>,
    budgets: HashMap<String, Budget>,
    forced: HashMap<String, Forced>,
}

impl Calls {
    /// Circuits that follow `policy` and report to `observer`.
    pub fn new(policy: CircuitPolicy, observer: Arc<dyn Observer>) -> Arc<Self> {
        Arc::new(Self { policy, circuits: Mutex::default(), observer })
    }

    /// The observer.
    pub fn observer(&self) -> &Arc<dyn Observer> {
        &self.observer
    }

    /// What operators forced, as the store says; replaces what was forced before.
    pub fn force(&self, forced: &[ForcedCircuit]) {
        self.locked(|circuits| {
            circuits.forced = forced.iter().map(|f| (f.operation.clone(), f.forced)).collect();
        });
    }

    /// Every circuit as computed here.
    pub fn reports(&self) -> Vec<CircuitReport> {
        let now = clock::instant();
        let reports = self.locked(|circuits| {
            let report = |(operation, circuit): (&String, &Circuit)| {
                let rate = circuit.failure_rate();
                let forced = circuits.forced.get(operation).copied();
                let report = CircuitReport {
                    operation: operation.clone(),
                    state: circuit.state(now),
                    failure_rate: rate.map(|(rate, _)| rate),
                    calls: rate.map_or(0, |(_, calls)| i32::try_from(calls).unwrap_or(i32::MAX)),
                    probe_in: circuit.probe_in(now),
                };
                let budget = circuits.budgets.get(operation).map(|budget| budget.remaining(now));
                (report, forced, budget)
            };
            circuits.computed.iter().map(report).collect::<Vec<_>>()
        });
        for (report, forced, budget) in &reports {
            self.observer.circuit(&report.operation, report.state, *forced);
            if let Some(budget) = budget {
                self.observer.budget_remaining(&report.operation, *budget);
            }
        }
        reports.into_iter().map(|(report, ..)| report).collect()
    }

    fn ask(&self, operation: &str, kind: AttemptKind) -> Result<Permitted, Denied> {
        let now = clock::instant();
        self.locked(|circuits| {
            let permitted = match circuits.forced.get(operation) {
                Some(Forced::Open) => return Err(Denied::Circuit(self.policy.open_for)),
                Some(Forced::Closed) => Permitted::Forced,
                None => match circuits.of(operation, self.policy).ask(now) {
                    Ok(permit) => Permitted::Computed(permit),
                    Err(wait) => return Err(Denied::Circuit(wait)),
                },
            };
            let budget = circuits.budget(operation);
            if kind == AttemptKind::First {
                budget.deposit(now);
            } else if !budget.withdraw(now) {
                if let Permitted::Computed(permit) = permitted {
                    circuits.of(operation, self.policy).give_back(permit);
                }
                return Err(Denied::Budget);
            }
            Ok(permitted)
        })
    }

    fn report(&self, operation: &str, permitted: Permitted, verdict: Verdict) {
        let (Permitted::Computed(permit), now) = (permitted, clock::instant()) else { return };
        self.locked(|circuits| {
            let circuit = circuits.of(operation, self.policy);
            match verdict {
                Verdict::Worked => circuit.report(permit, true, now),
                Verdict::Failed => circuit.report(permit, false, now),
                Verdict::SaysNothing => circuit.give_back(permit),
            }
        });
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Circuits) -> T) -> T {
        // A panic under this lock leaves plain counters behind, which are still good.
        act(&mut self.circuits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Circuits {
    fn of(&mut self, operation: &str, policy: CircuitPolicy) -> &mut Circuit {
        if !self.computed.contains_key(operation) {
            self.computed.insert(operation.to_owned(), Circuit::new(policy));
        }
        self.computed.get_mut(operation).expect("it was inserted above")
    }

    fn budget(&mut self, operation: &str) -> &mut Budget {
        self.budgets.entry(operation.to_owned()).or_insert_with(|| Budget::new(BudgetPolicy::default()))
    }
}

#[derive(Clone, Copy)]
enum Permitted {
    Forced,
    Computed(Permit),
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

/// What a call's outcome says about its callee.
enum Verdict {
    Worked,
    Failed,
    SaysNothing,
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
        let permitted = self.calls.ask(operation, kind).map_err(|denied| {
            match (kind, &denied) {
                (AttemptKind::First, _) => observer.call_ended(operation, CallOutcome::Rejected),
                (AttemptKind::Retry, Denied::Circuit(_)) => observer.retry_denied(operation, Denial::Circuit),
                (AttemptKind::Retry, Denied::Budget) => observer.retry_denied(operation, Denial::Budget),
            }
            denied.fault(operation)
        })?;
        let guard = Guard { calls: &self.calls, operation, permitted: Some(permitted) };
        let began = clock::instant();
        let answer = match tokio::time::timeout(self.longest, call).await {
            Ok(answer) => answer,
            Err(_) => Err(Fault::new(
                FaultClass::Timeout,
                format!("{operation} gave no answer within {} ms", self.longest.as_millis()),
            )),
        };
        let answer = answer.map_err(|fault| fault.of(operation));
        let (outcome, verdict) = match &answer {
            Ok(_) => (CallAttemptOutcome::Success, Verdict::Worked),
            Err(fault) => match fault.class {
                FaultClass::Timeout => (CallAttemptOutcome::Timeout, Verdict::Failed),
                FaultClass::Transient | FaultClass::Unknown => {
                    (CallAttemptOutcome::Transient, Verdict::Failed)
                }
                // The callee answered, and its answer is about the request, not about its health.
                FaultClass::Permanent => (CallAttemptOutcome::Permanent, Verdict::Worked),
                FaultClass::CircuitOpen | FaultClass::BudgetSpent => {
                    (CallAttemptOutcome::Transient, Verdict::SaysNothing)
                }
            },
        };
        guard.done(verdict);
        observer.attempt_ended(operation, kind, outcome, clock::instant().saturating_duration_since(began));
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

/// Gives the permit back when the call is dropped, at a step's timeout or a shutdown.
struct Guard<'a> {
    calls: &'a Calls,
    operation: &'a str,
    permitted: Option<Permitted>,
}

impl Guard<'_> {
    fn done(mut self, verdict: Verdict) {
        if let Some(permitted) = self.permitted.take() {
            self.calls.report(self.operation, permitted, verdict);
        }
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(permitted) = self.permitted.take() {
            self.calls.report(self.operation, permitted, Verdict::SaysNothing);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

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
            CircuitPolicy { window: 1, minimum_calls: 1, ..CircuitPolicy::default() },
            Arc::new(()),
        );
        let step = StepCalls::new(calls.clone(), 1, false, Duration::from_secs(60));
        let hanging = step.call("github.tree", std::future::pending::<Result<(), Fault>>());
        assert!(tokio::time::timeout(Duration::from_millis(1), hanging).await.is_err());
        assert_eq!(calls.reports()[0].calls, 0);
    }
}
