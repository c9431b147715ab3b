//! A circuit: after too many failures, stop asking for a while, then probe with a few calls before trusting again.
//!
//! ```text
//!             failure rate ≥ threshold                open time over
//!   closed ───────────────────────────▶ open ─────────────────────────▶ half open
//!     ▲                                  ▲                                │   │
//!     │                                  └──────── a probe failed ────────┘   │
//!     └──────────────────── all probes succeeded ─────────────────────────────┘
//! ```
//! Time is handed in. What each state needs lives inside its variant, so no stale field can be read.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::domain::circuit::CircuitState;

/// When a circuit opens and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CircuitPolicy {
    /// How many of the last calls are remembered.
    pub window: usize,
    /// The failure rate over the window is not judged before this many calls.
    pub minimum_calls: usize,
    /// Opens at this failure rate, in `(0, 1]`.
    pub failure_rate: f64,
    /// How long it stays open before it probes.
    pub open_for: Duration,
    /// How many probes may be in flight in half open, and how many must succeed to close.
    pub probes: u32,
    /// A probe that never reported back is forgotten after this long, so that half open always ends.
    pub probe_timeout: Duration,
}

impl Default for CircuitPolicy {
    fn default() -> Self {
        Self {
            window: 20,
            minimum_calls: 10,
            failure_rate: 0.5,
            open_for: Duration::from_secs(30),
            probes: 3,
            probe_timeout: Duration::from_secs(60),
        }
    }
}

impl CircuitPolicy {
    /// The same policy with its times multiplied by `factor`.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            open_for: self.open_for.mul_f64(factor),
            probe_timeout: self.probe_timeout.mul_f64(factor),
            ..self
        }
    }
}

#[derive(Debug)]
enum Inner {
    Closed { recent: VecDeque<bool> },
    Open { until: Instant },
    HalfOpen { since: Instant, admitted: u32, succeeded: u32 },
}

/// The leave to make one call; hand it back with the outcome. Of an older era of the circuit it counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit {
    era: u64,
}

/// One operation's circuit, as computed by one process from its own calls.
#[derive(Debug)]
pub struct Circuit {
    policy: CircuitPolicy,
    inner: Inner,
    era: u64,
}

impl Circuit {
    /// A closed circuit.
    pub fn new(policy: CircuitPolicy) -> Self {
        Self { policy, inner: Inner::Closed { recent: VecDeque::with_capacity(policy.window) }, era: 0 }
    }

    /// Asks to make a call at `now`.
    ///
    /// # Errors
    /// How long to wait before asking again, when the circuit is open or its probes are all out.
    pub fn ask(&mut self, now: Instant) -> Result<Permit, Duration> {
        self.settle(now);
        match &mut self.inner {
            Inner::Closed { .. } => Ok(Permit { era: self.era }),
            Inner::Open { until } => Err(until.saturating_duration_since(now)),
            Inner::HalfOpen { admitted, .. } if *admitted < self.policy.probes => {
                *admitted += 1;
                Ok(Permit { era: self.era })
            }
            Inner::HalfOpen { .. } => Err(self.policy.open_for.min(Duration::from_secs(1))),
        }
    }

    /// Reports how the call under `permit` ended at `now`.
    pub fn report(&mut self, permit: Permit, succeeded: bool, now: Instant) {
        if permit.era != self.era {
            return;
        }
        match &mut self.inner {
            Inner::Closed { recent } => {
                if recent.len() == self.policy.window {
                    recent.pop_front();
                }
                recent.push_back(succeeded);
                let failed = recent.iter().filter(|ok| !**ok).count();
                let enough = recent.len() >= self.policy.minimum_calls;
                if enough && failed as f64 >= self.policy.failure_rate * recent.len() as f64 {
                    self.open(now);
                }
            }
            Inner::HalfOpen { .. } if !succeeded => self.open(now),
            Inner::HalfOpen { succeeded: so_far, .. } => {
                *so_far += 1;
                if *so_far >= self.policy.probes {
                    self.enter(Inner::Closed { recent: VecDeque::with_capacity(self.policy.window) });
                }
            }
            Inner::Open { .. } => {}
        }
    }

    /// Gives `permit` back unused: the call was dropped and says nothing about the callee.
    pub fn give_back(&mut self, permit: Permit) {
        if let (true, Inner::HalfOpen { admitted, .. }) = (permit.era == self.era, &mut self.inner) {
            *admitted = admitted.saturating_sub(1);
        }
    }

    /// The state as it stands at `now`; looking changes nothing.
    pub fn state(&self, now: Instant) -> CircuitState {
        match &self.inner {
            Inner::Closed { .. } => CircuitState::Closed,
            Inner::Open { until } if now < *until => CircuitState::Open,
            Inner::Open { .. } | Inner::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    /// How long until it probes, while open.
    pub fn probe_in(&self, now: Instant) -> Option<Duration> {
        match &self.inner {
            Inner::Open { until } if now < *until => Some(until.saturating_duration_since(now)),
            _ => None,
        }
    }

    /// The failure rate over the remembered calls and how many they are; `None` before the first.
    pub fn failure_rate(&self) -> Option<(f64, usize)> {
        match &self.inner {
            Inner::Closed { recent } if !recent.is_empty() => {
                let failed = recent.iter().filter(|ok| !**ok).count();
                Some((failed as f64 / recent.len() as f64, recent.len()))
            }
            _ => None,
        }
    }

    fn settle(&mut self, now: Instant) {
        let half_open = Inner::HalfOpen { since: now, admitted: 0, succeeded: 0 };
        match self.inner {
            Inner::Open { until } if now >= until => self.enter(half_open),
            Inner::HalfOpen { since, admitted, .. }
                if admitted > 0 && now.saturating_duration_since(since) >= self.policy.probe_timeout =>
            {
                self.enter(half_open);
            }
            _ => {}
        }
    }

    fn open(&mut self, now: Instant) {
        self.enter(Inner::Open { until: now + self.policy.open_for });
    }

    fn enter(&mut self, inner: Inner) {
        self.inner = inner;
        self.era += 1;
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]
mod tests {
    use super::*;

    fn opened(policy: CircuitPolicy, now: Instant) -> Circuit {
        let mut circuit = Circuit::new(policy);
        for _ in 0..policy.minimum_calls {
            let permit = circuit.ask(now).expect("a closed circuit admits");
            circuit.report(permit, false, now);
        }
        circuit
    }

    #[test]
    fn it_opens_at_its_failure_rate_but_not_before_enough_calls() {
        let (policy, now) = (CircuitPolicy::default(), Instant::now());
        let mut circuit = Circuit::new(policy);
        for _ in 1..policy.minimum_calls {
            let permit = circuit.ask(now).unwrap();
            circuit.report(permit, false, now);
        }
        assert_eq!(circuit.state(now), CircuitState::Closed);
        let permit = circuit.ask(now).unwrap();
        circuit.report(permit, false, now);
        assert_eq!(circuit.state(now), CircuitState::Open);
    }

    #[test]
    fn an_open_circuit_refuses_with_the_time_to_wait_and_always_ends() {
        let (policy, now) = (CircuitPolicy::default(), Instant::now());
        let mut circuit = opened(policy, now);
        assert_eq!(circuit.ask(now), Err(policy.open_for));
        assert!(circuit.ask(now + policy.open_for).is_ok());
    }

    #[test]
    fn half_open_admits_exactly_its_probes_and_closes_when_all_succeed() {
        let (policy, now) = (CircuitPolicy::default(), Instant::now());
        let mut circuit = opened(policy, now);
        let later = now + policy.open_for;
        let permits: Vec<Permit> = std::iter::from_fn(|| circuit.ask(later).ok()).take(10).collect();
        assert_eq!(permits.len(), policy.probes as usize);
        for permit in permits {
            circuit.report(permit, true, later);
        }
        assert_eq!(circuit.state(later), CircuitState::Closed);
    }

    #[test]
    fn one_failed_probe_opens_it_again() {
        let (policy, now) = (CircuitPolicy::default(), Instant::now());
        let mut circuit = opened(policy, now);
        let later = now + policy.open_for;
        let permit = circuit.ask(later).unwrap();
        circuit.report(permit, false, later);
        assert_eq!(circuit.state(later), CircuitState::Open);
    }

    #[test]
    fn a_dropped_probe_gives_its_place_back_and_a_lost_one_is_forgotten() {
        let (policy, now) = (CircuitPolicy { probes: 1, ..CircuitPolicy::default() }, Instant::now());
        let mut circuit = opened(policy, now);
        let later = now + policy.open_for;
        let dropped = circuit.ask(later).unwrap();
        circuit.give_back(dropped);
        let _lost = circuit.ask(later).expect("the place was given back");
        assert!(circuit.ask(later).is_err());
        assert!(circuit.ask(later + policy.probe_timeout).is_ok());
    }

    #[test]
    fn an_answer_from_before_the_circuit_opened_counts_for_nothing() {
        let (policy, now) = (CircuitPolicy::default(), Instant::now());
        let mut circuit = Circuit::new(policy);
        let old = circuit.ask(now).unwrap();
        for _ in 0..policy.minimum_calls {
            let permit = circuit.ask(now).unwrap();
            circuit.report(permit, false, now);
        }
        circuit.report(old, true, now);
        assert_eq!(circuit.state(now), CircuitState::Open);
    }
}
