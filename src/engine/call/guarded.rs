//! One operation's guard in this process: what a call asks before it is made, and why it is not.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    clock,
    domain::{
        circuit::CircuitState,
        fault::{Fault, FaultClass},
        text::SafeText,
    },
    engine::{
        observer::{AttemptKind, Denial},
        policies::OperationPolicy,
        store::CircuitReport,
    },
    resilience::{
        budget::{self, Budget, Cost, Deposit, Roof, Withdrawal},
        bulkhead::{Bulkhead, Place},
        circuit::{Circuit, Counts, Force, Permit, Refusal, Refused},
        classify::{self, Classify as _, Health},
    },
};

/// What operators decided about one operation.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Decided {
    pub(super) force: Option<Force>,
    pub(super) pause: Option<Pause>,
}

/// An operation that is held back.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pause {
    pub(super) until: Option<Instant>,
    pub(super) owner: String,
    pub(super) reason: String,
}

/// One operation's circuit, retry budget and places.
pub(super) struct Guarded {
    pub(super) policy: OperationPolicy,
    pub(super) circuit: Circuit,
    pub(super) budget: Budget,
    bulkhead: Option<Bulkhead>,
    pause: Mutex<Option<Pause>>,
    /// How often a call was not made, by reason.
    denied: Mutex<BTreeMap<Denial, u64>>,
}

/// How long what is held back without a limit waits, unless it is let go before: the store knows when, and tells.
pub(super) const HELD_FOR: Duration = Duration::from_secs(3_600);
/// How long a retry waits for its budget to fill again, and a call for a place; and the longest that a call waits for its
/// turn while it holds a worker.
const A_MOMENT: Duration = Duration::from_secs(1);

impl Guarded {
    pub(super) fn new(policy: OperationPolicy, roof: &Arc<Roof>, now: Instant) -> Self {
        Self {
            circuit: Circuit::new(policy.circuit, now),
            budget: Budget::under(roof, policy.budget, policy.weight, now),
            bulkhead: policy.concurrency.map(Bulkhead::new),
            pause: Mutex::default(),
            denied: Mutex::default(),
            policy,
        }
    }

    pub(super) fn decide(&self, decided: Decided) {
        self.circuit.force(decided.force);
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = decided.pause;
    }

    /// Waits for a turn to send, where sending is paced.
    pub(super) async fn turn(&self) -> Result<(), Denied> {
        let wait = self.budget.pace(clock::instant());
        if wait > A_MOMENT {
            self.budget.unpace();
            return Err(Denied::Paced(wait, self.budget.rate().unwrap_or_default()));
        }
        if !wait.is_zero() {
            clock::sleep(wait).await;
        }
        Ok(())
    }

    /// Asks to make one attempt, whose turn it is; a retry costs `cost`.
    pub(super) fn ask(&self, kind: AttemptKind, cost: Cost) -> Result<Admitted<'_>, Denied> {
        let admitted = self.judge(kind, cost, clock::instant());
        if admitted.is_err() {
            self.budget.unpace();
        }
        admitted
    }

    fn judge(&self, kind: AttemptKind, cost: Cost, now: Instant) -> Result<Admitted<'_>, Denied> {
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
        let withdrawal = match kind {
            AttemptKind::First => {
                self.budget.deposit(Deposit::FirstTry, now);
                None
            }
            AttemptKind::Retry => Some(self.budget.withdraw(cost, now).map_err(Denied::Budget)?),
        };
        Ok(Admitted { budget: &self.budget, permit, withdrawal, _place: place })
    }

    pub(super) fn count(&self, denial: Denial) {
        *self.denied.lock().unwrap_or_else(PoisonError::into_inner).entry(denial).or_default() += 1;
    }

    pub(super) fn report(&self, operation: &str, now: Instant) -> CircuitReport {
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

/// The leave to make one attempt. Dropped with the call, at a step's timeout or a shutdown, permit and place are given
/// back.
pub(super) struct Admitted<'a> {
    budget: &'a Budget,
    permit: Permit<'a>,
    withdrawal: Option<Withdrawal>,
    _place: Option<Place<'a>>,
}

impl Admitted<'_> {
    /// The attempt ended at `now`, after `took`: circuit and budget hear of it.
    pub(super) fn ended<T>(self, answer: &Result<T, Fault>, took: Duration, now: Instant) {
        let health = match answer {
            Ok(_) => Health::Well,
            Err(fault) => classify::health(fault.class),
        };
        match health {
            Health::Well | Health::Ill => self.permit.report(health == Health::Well, took, now),
            Health::Unknown => drop(self.permit),
        }
        if answer.is_ok() {
            self.budget.deposit(Deposit::Success(self.withdrawal), now);
        }
        self.budget.heard(answer.as_ref().is_err_and(Fault::throttled), now);
    }
}

/// Why a call is not made.
pub(super) enum Denied {
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
    /// Its turn to send comes only after so long, at so many calls a second.
    Paced(Duration, f64),
}

impl Denied {
    pub(super) fn reason(&self) -> Denial {
        match self {
            Self::Paused(..) => Denial::Paused,
            Self::Forced(..) | Self::Circuit(_) => Denial::Circuit,
            Self::Bulkhead(_) => Denial::Bulkhead,
            Self::Budget(_) | Self::Paced(..) => Denial::Budget,
        }
    }

    pub(super) fn fault(&self, operation: &str) -> Fault {
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
            Self::Paced(wait, rate) => (
                FaultClass::BudgetSpent,
                format!("calls of {operation} are held to {rate:.1} a second, because it throttled us"),
                *wait,
            ),
        };
        Fault { retry_after: Some(wait), ..Fault::new(class, text).of(operation) }
    }
}
