//! One policy per operation: how its calls are made, tried again, and not made.
//!
//! ```text
//!  run(call)
//!    │
//!    ├─ deadline   no attempt begins, and no wait is begun, that would pass it
//!    │   ├─ retry      attempts, backoff, Retry-After: again only what may pass; unknown failures few and slow
//!    │   │   ├─ budget     a first try deposits; a retry withdraws, or the call ends
//!    │   │   │   ├─ circuit    asked before each attempt: what it refuses ends the call and spends nothing
//!    │   │   │   │   ├─ bulkhead   a place, where their number is limited: without one the call ends likewise
//!    │   │   │   │   │   ├─ timeout    of the attempt, cut to what the deadline leaves
//!    │   │   │   │   │   │   └─ call(attempt)
//!    │   │   │   │   └─ its end is reported; dropped, permit and place are given back
//! ```
//! An idempotency key stands between the deadline and the retry: one key for the whole call, so that every attempt
//! carries the same and an attempt whose answer was lost is not repeated in effect ([`crate::engine::idempotency`]).
//! The circuit stands inside the retry, so that every attempt's end feeds it and an open one ends the call at once.
//! The deadline stands outside all: a caller that has gone away is not called for.

mod settings;
mod stopped;
mod time;

#[cfg(test)]
mod tests;

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    budget::{Budget, Cost, Deposit, Roof, Withdrawal},
    bulkhead::Bulkhead,
    circuit::{Circuit, Permit},
    classify::{self, Classify, Health, Tries},
    invalid::Invalid,
};
use crate::{clock::Random, domain::fault::FaultClass};
pub use settings::Settings;
pub use stopped::{Failure, Reason, StopWord, Stopped};
pub use time::{Real, Time};

/// One attempt of a call, as the call sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1. Above 1 an earlier effect may already have happened.
    pub number: u32,
    /// When it is dropped.
    pub until: Instant,
    /// How long that is from its beginning.
    pub limit: Duration,
}

/// How much of its policy one call may use; all of it by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Attempts in all, at most; 0 is 1.
    pub attempts: u32,
    /// When whoever it is made for stops waiting. An attempt that this cuts short says nothing about the callee: else
    /// one caller in a hurry could open the circuit for all.
    pub until: Option<Instant>,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { attempts: u32::MAX, until: None }
    }
}

/// One operation's policy, with its circuit and its budget; shared by all who make its calls.
#[derive(Debug)]
pub struct Policy<T = Real> {
    operation: String,
    settings: Settings,
    circuit: Circuit,
    budget: Budget,
    bulkhead: Option<Bulkhead>,
    random: Mutex<Random>,
    time: T,
}

impl Policy {
    /// The policy of `operation`, in real time.
    ///
    /// # Errors
    /// What in `settings` cannot be meant.
    pub fn new(operation: &str, settings: Settings) -> Result<Self, Invalid> {
        Self::in_time(operation, settings, None, Random::system(), Real)
    }
}

impl<T: Time> Policy<T> {
    /// The policy of `operation` under `roof`, with jitter from `random`, in `time`.
    ///
    /// # Errors
    /// What in `settings` or of the roof cannot be meant.
    pub fn in_time(
        operation: &str,
        settings: Settings,
        roof: Option<&Arc<Roof>>,
        random: Random,
        time: T,
    ) -> Result<Self, Invalid> {
        settings.check()?;
        let now = time.about_now();
        let circuit = Circuit::new(settings.circuit, now);
        let budget = match roof {
            None => Budget::new(settings.budget, now),
            Some(roof) => {
                roof.policy().check().map_err(|invalid| invalid.within("roof"))?;
                Budget::under(roof, settings.budget, settings.weight, now)
            }
        };
        let (operation, random) = (operation.to_owned(), Mutex::new(random));
        let bulkhead = settings.concurrency.map(Bulkhead::new);
        Ok(Self { operation, settings, circuit, budget, bulkhead, random, time })
    }

    /// What it says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its circuit, to look at or to force.
    pub fn circuit(&self) -> &Circuit {
        &self.circuit
    }

    /// Its budget, to look at.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Makes one call of the operation, with as many attempts as it takes and may take.
    ///
    /// # Errors
    /// Why there was no success, after how many attempts, and what the last of them said.
    pub async fn run<A, E, F, C>(&self, call: C) -> Result<A, Stopped<E>>
    where
        C: FnMut(Attempt) -> F,
        F: Future<Output = Result<A, E>>,
        E: Classify,
    {
        self.run_within(Allowance::default(), call).await
    }

    /// [`run`](Self::run) with what `allowance` leaves of the policy.
    ///
    /// # Errors
    /// As `run`.
    pub async fn run_within<A, E, F, C>(&self, allowance: Allowance, mut call: C) -> Result<A, Stopped<E>>
    where
        C: FnMut(Attempt) -> F,
        F: Future<Output = Result<A, E>>,
        E: Classify,
    {
        // What is left of somebody else's time is told on, so it is not counted from a clock that is late.
        let mut now = if allowance.until.is_some() { self.time.now() } else { self.time.about_now() };
        let own = self.settings.deadline.and_then(|deadline| now.checked_add(deadline));
        let deadline = own.into_iter().chain(allowance.until).min();
        let attempts = self.settings.attempts.min(allowance.attempts);
        let mut delays = self.settings.backoff.delays(|| self.unit());
        let mut spent = Held { policy: self, withdrawal: None };
        let (mut number, mut last) = (1, None);
        loop {
            now = match self.turn(now, deadline).await {
                Ok(now) => now,
                Err(reason) => return Err(self.stopped(reason, number - 1, last)),
            };
            let permit = match self.circuit.ask(now) {
                Ok(permit) => permit,
                Err(refused) => {
                    self.budget.unpace();
                    return Err(self.stopped(Reason::Circuit(refused), number - 1, last));
                }
            };
            let place = self.bulkhead.as_ref().map(|bulkhead| bulkhead.enter());
            if place.as_ref().is_some_and(Option::is_none) {
                self.budget.unpace();
                return Err(self.stopped(Reason::Bulkhead, number - 1, last));
            }
            // The attempt is made from here on: what the retry cost is no longer given back when it is dropped.
            let withdrawn = spent.withdrawal.take();
            if number == 1 {
                self.budget.deposit(Deposit::FirstTry, now);
            }
            let timeout = self.settings.timeout;
            let limit = deadline.map_or(timeout, |at| timeout.min(at.saturating_duration_since(now)));
            let attempt = Attempt { number, until: now + limit, limit };
            let answer = time::within(&self.time, limit, call(attempt)).await;
            drop(place);
            let failure = match answer {
                Some(Ok(answer)) => {
                    self.succeeded(permit, withdrawn, now);
                    return Ok(answer);
                }
                Some(Err(error)) => Failure::Error(error),
                None => Failure::TimedOut(limit),
            };
            let health = match failure {
                Failure::TimedOut(_) if limit < timeout && deadline == allowance.until => Health::Unknown,
                _ => classify::health(failure.class()),
            };
            now = self.failed(permit, health, failure.throttled(), now);
            let left = deadline.map(|at| at.saturating_duration_since(now));
            let tried = Tried { number, of: attempts };
            let delay = match self.next(tried, &failure, &mut delays, left) {
                Ok((delay, withdrawal)) => {
                    spent.withdrawal = Some(withdrawal);
                    delay
                }
                Err(reason) => return Err(self.stopped(reason, number, Some(failure))),
            };
            self.time.sleep(delay).await;
            (now, number, last) = (self.time.now(), number + 1, Some(failure));
        }
    }

    /// Waits for a turn to send, where sending is paced: when it came.
    async fn turn(&self, now: Instant, deadline: Option<Instant>) -> Result<Instant, Reason> {
        let wait = self.budget.pace(now);
        if deadline.is_some_and(|deadline| now + wait >= deadline) {
            self.budget.unpace();
            return Err(Reason::Deadline);
        }
        if wait.is_zero() {
            return Ok(now);
        }
        self.time.sleep(wait).await;
        Ok(self.time.now())
    }

    fn succeeded(&self, permit: Permit<'_>, withdrawn: Option<Withdrawal>, began: Instant) {
        // Telling the time costs more than all the rest: not when nobody wants to know.
        let timed = self.circuit.is_timed() || self.budget.is_paced();
        let now = if timed { self.time.now() } else { began };
        permit.report(true, now.saturating_duration_since(began), now);
        self.budget.deposit(Deposit::Success(withdrawn), now);
        self.budget.heard(false, now);
    }

    fn failed(&self, permit: Permit<'_>, health: Health, throttled: bool, began: Instant) -> Instant {
        let now = self.time.now();
        match health {
            Health::Unknown => drop(permit),
            health => permit.report(health == Health::Well, now.saturating_duration_since(began), now),
        }
        self.budget.heard(throttled, now);
        now
    }

    /// Whether, and after how long, another attempt follows the one `tried`; `left` is what the deadline leaves.
    fn next<E: Classify>(
        &self,
        tried: Tried,
        failure: &Failure<E>,
        delays: &mut impl Iterator<Item = Duration>,
        left: Option<Duration>,
    ) -> Result<(Duration, Withdrawal), Reason> {
        let class = failure.class();
        let tries = self.settings.classes.tries(class);
        if class == FaultClass::Permanent {
            return Err(Reason::Permanent);
        }
        if failure.pushed_back() {
            return Err(Reason::PushedBack);
        }
        if tried.number >= tries.of(tried.of) {
            return Err(Reason::Exhausted);
        }
        let own = match (delays.next(), tries) {
            (Some(delay), Tries::Once | Tries::All) => delay,
            (None, _) | (_, Tries::FewAndSlow(_)) => self.settings.backoff.cap,
        };
        let asked = failure.retry_after().unwrap_or_default().min(self.settings.longest_asked);
        let delay = own.max(asked);
        if left.is_some_and(|left| delay >= left) {
            return Err(Reason::Deadline);
        }
        let cost = if class == FaultClass::Timeout { Cost::AfterTimeout } else { Cost::Retry };
        let withdrawal = self.budget.withdraw(cost, self.time.now()).map_err(Reason::Budget)?;
        Ok((delay, withdrawal))
    }

    fn stopped<E>(&self, reason: Reason, attempts: u32, last: Option<Failure<E>>) -> Stopped<E> {
        Stopped { operation: self.operation.clone(), reason, attempts, last }
    }

    fn unit(&self) -> f64 {
        // A panic under this lock leaves a generator behind, which is still good.
        self.random.lock().unwrap_or_else(PoisonError::into_inner).unit()
    }
}

/// An attempt that was made, and how many there may be.
struct Tried {
    number: u32,
    of: u32,
}

/// What a retry withdrew, until it is made; dropped before, as with the whole call, it is given back.
struct Held<'a, T: Time> {
    policy: &'a Policy<T>,
    withdrawal: Option<Withdrawal>,
}

impl<T: Time> Drop for Held<'_, T> {
    fn drop(&mut self) {
        if let Some(withdrawal) = self.withdrawal.take() {
            self.policy.budget.deposit(Deposit::Unused(withdrawal), self.policy.time.now());
        }
    }
}
