//! A guarded call: a retry asks its budget, every attempt asks its circuit and takes a place, the outcome feeds the
//! circuit, and the observer hears of it.

use std::{
    collections::{BTreeMap, HashMap},
    future::Future,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    observer::{AttemptKind, CallAttemptOutcome, CallOutcome, Denial, Observer},
    policies::{OperationPolicy, Policies},
    store::{CircuitReport, Order, Steering},
};
use crate::{
    clock,
    domain::{
        circuit::CircuitState,
        fault::{Fault, FaultClass},
        text::SafeText,
    },
    resilience::{
        budget::{self, Budget, Cost, Deposit, Roof},
        bulkhead::{Bulkhead, Place},
        circuit::{Circuit, Counts, Force, Permit, Refusal, Refused},
        classify::{self, Health},
    },
};

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

/// What operators decided about one operation.
#[derive(Debug, Clone, Default, PartialEq)]
struct Decided {
    force: Option<Force>,
    pause: Option<Pause>,
}

/// An operation that is held back.
#[derive(Debug, Clone, PartialEq)]
struct Pause {
    until: Option<Instant>,
    owner: String,
    reason: String,
}

/// One operation's circuit, retry budget and places.
struct Guarded {
    policy: OperationPolicy,
    circuit: Circuit,
    budget: Budget,
    bulkhead: Option<Bulkhead>,
    pause: Mutex<Option<Pause>>,
    /// How often a call was not made, by reason.
    denied: Mutex<BTreeMap<Denial, u64>>,
}

/// How long what is held back without a limit waits, unless it is let go before: the store knows when, and tells.
const HELD_FOR: Duration = Duration::from_secs(3_600);
/// How long a retry waits for its budget to fill again, and a call for a place.
const A_MOMENT: Duration = Duration::from_secs(1);

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

impl Guarded {
    fn new(policy: OperationPolicy, roof: &Arc<Roof>, now: Instant) -> Self {
        Self {
            circuit: Circuit::new(policy.circuit, now),
            budget: Budget::under(roof, policy.budget, policy.weight, now),
            bulkhead: policy.concurrency.map(Bulkhead::new),
            pause: Mutex::default(),
            denied: Mutex::default(),
            policy,
        }
    }

    fn decide(&self, decided: Decided) {
        self.circuit.force(decided.force);
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = decided.pause;
    }

    /// Asks to make one attempt.
    fn ask(&self, kind: AttemptKind) -> Result<Admitted<'_>, Denied> {
        let now = clock::instant();
        let pause = self.pause.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(pause) = pause.filter(|pause| pause.until.is_none_or(|until| now < until)) {
            return Err(Denied::Paused(pause, now));
        }
        let permit = self.circuit.ask(now).map_err(|refused| match self.circuit.forced(now) {
            Some(force) if refused.why == Refusal::Forced => Denied::Forced(force, now),
            _ => Denied::Circuit(refused),
        })?;
        let place = match &self.bulkhead {
            None => None,
            Some(bulkhead) => Some(bulkhead.enter().ok_or(Denied::Bulkhead(bulkhead.places()))?),
        };
        match kind {
            AttemptKind::First => self.budget.deposit(Deposit::FirstTry, now),
            // What became of the retry makes a difference only to buckets of tokens, which its success fills again.
            AttemptKind::Retry => drop(self.budget.withdraw(Cost::Retry, now).map_err(Denied::Budget)?),
        }
        Ok(Admitted { permit, _place: place })
    }

    fn count(&self, denial: Denial) {
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner).entry(denial).or_default() += 1;
    }

    fn report(&self, operation: &str, now: Instant) -> CircuitReport {
        let standing = self.circuit.standing(now);
        let closed = standing.state == CircuitState::Closed;
        let counts = if closed { standing.counts } else { Counts::default() };
        let tally = self.budget.tally(now);
        let slow = self.policy.circuit.slow;
        CircuitReport {
            operation: operation.to_owned(),
            state: standing.state,
            failure_rate: counts.failure_rate(),
            opens_at: self.policy.circuit.failure_rate,
            slow_rate: slow.and_then(|_| counts.slow_rate()),
            slow_opens_at: slow.map(|slow| slow.rate),
            calls: i32::try_from(counts.calls).unwrap_or(i32::MAX),
            probe_in: standing.probe_in,
            budget_left: self.budget.remaining(now),
            first_tries: i64::try_from(tally.first).unwrap_or(i64::MAX),
            retries: i64::try_from(tally.retries).unwrap_or(i64::MAX),
            in_flight: self.bulkhead.as_ref().map(|bulkhead| (bulkhead.taken(), bulkhead.places())),
            denied: self.denied.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// The leave to make one attempt.
struct Admitted<'a> {
    permit: Permit<'a>,
    _place: Option<Place<'a>>,
}

/// Why a call is not made.
enum Denied {
    /// An operator holds it back.
    Paused(Pause, Instant),
    /// An operator forced its circuit open.
    Forced(Force, Instant),
    /// The circuit admits none.
    Circuit(Refused),
    /// As many as may be are under way.
    Bulkhead(u32),
    /// The retry budget is spent.
    Budget(budget::Denied),
}

impl Denied {
    fn reason(&self) -> Denial {
        match self {
            Self::Paused(..) => Denial::Paused,
            Self::Forced(..) | Self::Circuit(_) => Denial::Circuit,
            Self::Bulkhead(_) => Denial::Bulkhead,
            Self::Budget(_) => Denial::Budget,
        }
    }

    fn fault(&self, operation: &str) -> Fault {
        let left = |until: Option<Instant>, now| {
            until.map_or(HELD_FOR, |until| until.saturating_duration_since(now))
        };
        let by =
            |owner: &str, reason: &str| format!("by {}: {}", SafeText::new(owner), SafeText::new(reason));
        let (class, text, wait) = match self {
            Self::Paused(pause, now) => (
                FaultClass::Held,
                format!("{operation} is paused {}", by(&pause.owner, &pause.reason)),
                left(pause.until, *now),
            ),
            Self::Forced(force, now) => (
                FaultClass::Held,
                format!("circuit {operation} is forced open {}", by(&force.owner, &force.reason)),
                left(force.until, *now),
            ),
            Self::Circuit(refused) => {
                let why = match refused.why {
                    Refusal::ProbesOut => "half open, and all its probes are out",
                    Refusal::Open | Refusal::Forced => "open",
                };
                (FaultClass::CircuitOpen, format!("circuit {operation} is {why}"), refused.wait)
            }
            Self::Bulkhead(places) => {
                let calls = if *places == 1 { "call is" } else { "calls are" };
                let text = format!("{places} {calls} under way at {operation}, as many as may be");
                (FaultClass::BulkheadFull, text, A_MOMENT)
            }
            Self::Budget(budget::Denied::Roof) => (
                FaultClass::BudgetSpent,
                format!("the retry budget over all operations is spent, that of {operation} is not"),
                A_MOMENT,
            ),
            Self::Budget(budget::Denied::Ratio | budget::Denied::Tokens) => {
                (FaultClass::BudgetSpent, format!("the retry budget of {operation} is spent"), A_MOMENT)
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
    /// The call's fault; one of a class that [was not made](FaultClass::was_made) with the time to wait when it was
    /// not; a timeout after the longest time a call may take.
    pub async fn call<T, F>(&self, operation: &str, call: F) -> Result<T, Fault>
    where
        F: Future<Output = Result<T, Fault>>,
    {
        let observer = &self.calls.observer;
        let kind = self.kind(operation);
        let guarded = self.calls.of(operation);
        // Dropped with the call, at a step's timeout or a shutdown, permit and place are given back.
        let Admitted { permit, _place } = guarded.ask(kind).map_err(|denied| {
            guarded.count(denied.reason());
            match kind {
                AttemptKind::First => observer.call_ended(operation, CallOutcome::Rejected),
                AttemptKind::Retry => observer.retry_denied(operation, denied.reason()),
            }
            denied.fault(operation)
        })?;
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
    use super::*;
    use crate::{
        domain::circuit::Forced,
        resilience::{
            budget::{BudgetPolicy, RatioPolicy},
            circuit::{CircuitPolicy, Window},
        },
    };

    const HOOK: &str = "github.create_hook";

    #[derive(Default)]
    struct Heard {
        attempts: Mutex<Vec<AttemptKind>>,
        denied: Mutex<Vec<Denial>>,
        rejected: Mutex<u32>,
    }

    impl Observer for Heard {
        fn attempt_ended(&self, _: &str, kind: AttemptKind, _: CallAttemptOutcome, _: Duration) {
            self.attempts.lock().unwrap().push(kind);
        }

        fn retry_denied(&self, _: &str, reason: Denial) {
            self.denied.lock().unwrap().push(reason);
        }

        fn call_ended(&self, _: &str, outcome: CallOutcome) {
            *self.rejected.lock().unwrap() += u32::from(outcome == CallOutcome::Rejected);
        }
    }

    fn all(policy: OperationPolicy) -> Policies {
        Policies { otherwise: policy, ..Policies::default() }
    }

    fn step(calls: &Arc<Calls>, attempt: u32) -> StepCalls {
        StepCalls::new(calls.clone(), attempt, false, Duration::from_secs(60))
    }

    async fn well(calls: &Arc<Calls>, attempt: u32) -> Result<(), Fault> {
        step(calls, attempt).call(HOOK, async { Ok(()) }).await
    }

    fn order(order: Order, left: Option<Duration>) -> Steering {
        let (owner, reason) = ("ana".to_owned(), "GitHub asked us to".to_owned());
        Steering { operation: HOOK.to_owned(), order, left, owner, reason }
    }

    #[tokio::test]
    async fn what_an_earlier_attempt_never_reached_is_a_first_try() {
        let heard = Arc::new(Heard::default());
        let calls = Calls::new(Policies::default(), heard.clone());
        let step = StepCalls::new(calls, 2, false, Duration::from_secs(1))
            .after_failure_at(Some("github.list_hooks".to_owned()));
        for operation in ["tfc.list_notifications", "github.list_hooks", "github.list_hooks", HOOK] {
            step.call(operation, async { Ok(()) }).await.unwrap();
        }
        use AttemptKind::{First, Retry};
        let kinds = heard.attempts.lock().unwrap().clone();
        assert_eq!(kinds, [Retry, Retry, First, First], "the second page is new as well");
    }

    #[tokio::test]
    async fn a_dropped_call_says_nothing_about_its_callee_and_its_place_is_free() {
        let circuit =
            CircuitPolicy { window: Window::Calls(1), minimum_calls: 1, ..CircuitPolicy::default() };
        let policy = OperationPolicy { circuit, concurrency: Some(1), ..OperationPolicy::default() };
        let calls = Calls::new(all(policy), Arc::new(()));
        let step = step(&calls, 1);
        let hanging = step.call(HOOK, std::future::pending::<Result<(), Fault>>());
        assert!(tokio::time::timeout(Duration::from_millis(1), hanging).await.is_err());
        let report = calls.reports().remove(0);
        assert_eq!((report.calls, report.in_flight), (0, Some((0, 1))));
    }

    #[tokio::test]
    async fn beyond_its_places_a_call_is_not_made_and_says_so() {
        let policy = OperationPolicy { concurrency: Some(1), ..OperationPolicy::default() };
        let heard = Arc::new(Heard::default());
        let calls = Calls::new(all(policy), heard.clone());
        let first = step(&calls, 1);
        let held = first.call(HOOK, async {
            let fault = well(&calls, 2).await.expect_err("there is one place");
            assert_eq!(fault.class, FaultClass::BulkheadFull);
            assert_eq!(fault.message, "1 call is under way at github.create_hook, as many as may be");
            Ok(())
        });
        held.await.expect("the first has the place");
        assert_eq!(*heard.denied.lock().unwrap(), [Denial::Bulkhead]);
        assert_eq!(calls.reports()[0].denied, BTreeMap::from([(Denial::Bulkhead, 1)]));
        well(&calls, 1).await.expect("the place is free again");
    }

    #[tokio::test]
    async fn what_is_paused_waits_for_its_limit_and_what_else_there_is_goes_on() {
        let heard = Arc::new(Heard::default());
        let calls = Calls::new(Policies::default(), heard.clone());
        calls.steer(&[order(Order::Pause, Some(Duration::from_secs(600)))]);
        let fault = well(&calls, 1).await.expect_err("it is paused");
        assert_eq!(fault.class, FaultClass::Held);
        assert_eq!(fault.message, "github.create_hook is paused by ana: GitHub asked us to");
        let wait = fault.retry_after.expect("it knows for how long").as_secs();
        assert!((598..=600).contains(&wait), "{wait} s");
        assert_eq!((*heard.rejected.lock().unwrap(), heard.attempts.lock().unwrap().len()), (1, 0));
        step(&calls, 1).call("github.tree", async { Ok(()) }).await.expect("nobody paused that");
        calls.steer(&[]);
        well(&calls, 1).await.expect("it goes on");
    }

    #[tokio::test]
    async fn a_pause_and_a_forced_circuit_are_over_by_themselves_at_their_limit() {
        for order_ in [Order::Pause, Order::Force(Forced::Open)] {
            let calls = Calls::new(Policies::default(), Arc::new(()));
            calls.steer(&[order(order_, Some(Duration::ZERO))]);
            well(&calls, 1).await.expect("it was over at once");
        }
    }

    #[tokio::test]
    async fn what_operators_decided_holds_for_operations_not_called_yet_and_names_them() {
        let calls = Calls::new(Policies::default(), Arc::new(()));
        calls.steer(&[order(Order::Force(Forced::Open), None)]);
        let fault = well(&calls, 3).await.expect_err("it is forced open");
        assert_eq!(fault.class, FaultClass::Held);
        assert_eq!(fault.message, "circuit github.create_hook is forced open by ana: GitHub asked us to");
        assert_eq!(fault.retry_after, Some(HELD_FOR), "the store tells when it is let go");
        assert_eq!(calls.reports()[0].state, CircuitState::Closed, "what it computed stands apart");
    }

    #[tokio::test]
    async fn an_operation_that_spent_its_own_budget_is_told_from_one_that_meets_the_roof() {
        let none = RatioPolicy { share: 0.0, floor: 0.0, ..RatioPolicy::default() };
        let own = OperationPolicy { budget: BudgetPolicy::Ratio(none), ..OperationPolicy::default() };
        let calls = Calls::new(all(own), Arc::new(()));
        let fault = well(&calls, 2).await.expect_err("no retry is affordable");
        assert_eq!(fault.message, "the retry budget of github.create_hook is spent");
        let mut policies = Policies::default();
        (policies.roof.share, policies.roof.floor) = (0.0, 0.0);
        let fault = well(&Calls::new(policies, Arc::new(())), 2).await.expect_err("nor under this roof");
        assert!(
            fault.message.starts_with("the retry budget over all operations is spent"),
            "{}",
            fault.message
        );
        assert_eq!(fault.class, FaultClass::BudgetSpent);
    }

    #[tokio::test]
    async fn an_operations_own_timeout_is_kept_whatever_its_state_allows() {
        let policy = OperationPolicy { timeout: Duration::from_millis(5), ..OperationPolicy::default() };
        let calls = Calls::new(all(policy), Arc::new(()));
        let hanging = step(&calls, 1);
        let hanging = hanging.call(HOOK, std::future::pending::<Result<(), Fault>>());
        let fault = hanging.await.expect_err("it hangs");
        assert_eq!(
            (fault.class, fault.message.as_str()),
            (
                FaultClass::Timeout,
                "github.create_hook gave no answer within 5 ms: whether it was done is not known"
            )
        );
    }
}
