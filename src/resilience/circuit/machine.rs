//! One circuit as one thread would keep it. What each state needs lives inside its variant, so no stale field can be
//! read, and the next state is always the one of [`CircuitState::after`].

use std::time::{Duration, Instant};

use super::{
    policy::{CircuitPolicy, Trial},
    window::{Counts, Remembered},
};
use crate::domain::circuit::{CircuitEvent, CircuitState};

/// How often a refused caller may ask again while all probes are out.
const PROBES_OUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
enum Inner {
    Closed { window: Remembered },
    Open { until: Instant },
    HalfOpen { until: Instant, admitted: u32, ended: Counts },
}

/// The states of one circuit.
#[derive(Debug)]
pub(super) struct Machine {
    policy: CircuitPolicy,
    /// Where time windows are counted from.
    origin: Instant,
    inner: Inner,
    /// Moves with every change of state, so that late answers are told from present ones. Never 0.
    era: u32,
    /// How often it opened again since it was closed last.
    reopened: u32,
}

/// The answer to a question about what a circuit would do, which changes nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Standing {
    /// The state.
    pub state: CircuitState,
    /// How long until it probes, while open.
    pub probe_in: Option<Duration>,
    /// The calls it is judged by: those of the window, or the probes that have ended.
    pub counts: Counts,
}

impl Machine {
    pub(super) fn new(policy: CircuitPolicy, origin: Instant) -> Self {
        let window = Remembered::new(policy.window, origin);
        Self { policy, origin, inner: Inner::Closed { window }, era: 1, reopened: 0 }
    }

    /// Asks to make a call at `now`: the era to report it under, or how long to wait.
    pub(super) fn ask(&mut self, now: Instant) -> Result<u32, (CircuitState, Duration)> {
        self.settle(now);
        match &mut self.inner {
            Inner::Closed { .. } => Ok(self.era),
            Inner::Open { until } => Err((CircuitState::Open, until.saturating_duration_since(now))),
            Inner::HalfOpen { admitted, .. } if *admitted < self.policy.probes.max(1) => {
                *admitted += 1;
                Ok(self.era)
            }
            Inner::HalfOpen { .. } => Err((CircuitState::HalfOpen, self.policy.open_for.min(PROBES_OUT))),
        }
    }

    /// Reports one call of `era` that ended at `now`. Of an older era it counts for nothing.
    pub(super) fn report(&mut self, era: u32, call: Counts, now: Instant) {
        // A probe that ends after half open is over is late, even if nobody asked since.
        self.settle(now);
        if era != self.era {
            return;
        }
        let event = match &mut self.inner {
            Inner::Closed { window } => {
                window.add(call, now);
                let counts = window.total();
                let enough = counts.calls >= self.policy.minimum_calls.max(1);
                (enough && too_bad(&self.policy, counts)).then_some(CircuitEvent::Tripped)
            }
            Inner::Open { .. } => None,
            Inner::HalfOpen { ended, .. } => {
                *ended += call;
                let failed = self.policy.trial == Trial::All && ended.failed > 0;
                let all = ended.calls >= self.policy.probes.max(1);
                match (failed, all) {
                    (true, _) => Some(CircuitEvent::ProbesFailed),
                    (false, false) => None,
                    (false, true) if too_bad(&self.policy, *ended) => Some(CircuitEvent::ProbesFailed),
                    (false, true) => Some(CircuitEvent::ProbesPassed),
                }
            }
        };
        if let Some(event) = event {
            self.happens(event, now);
        }
    }

    /// Remembers so many quick successes that ended before what is reported next.
    pub(super) fn report_well(&mut self, calls: u32) {
        if let Inner::Closed { window } = &mut self.inner {
            window.add_well(calls);
        }
    }

    /// A call of `era` was dropped: it says nothing, and its place is free.
    pub(super) fn give_back(&mut self, era: u32) {
        if let (true, Inner::HalfOpen { admitted, .. }) = (era == self.era, &mut self.inner) {
            *admitted = admitted.saturating_sub(1);
        }
    }

    /// How it stands at `now`, with `unread` quick successes on top.
    pub(super) fn standing(&self, unread: u32, now: Instant) -> Standing {
        let (state, until) = match self.due(now) {
            Some((_, until)) if until > now => (CircuitState::Open, Some(until)),
            Some(_) => (CircuitState::HalfOpen, None),
            None => match &self.inner {
                Inner::Closed { .. } => (CircuitState::Closed, None),
                Inner::Open { until } => (CircuitState::Open, Some(*until)),
                Inner::HalfOpen { .. } => (CircuitState::HalfOpen, None),
            },
        };
        let counts = match (&self.inner, state) {
            (Inner::Closed { window }, _) => window.counts(unread, now),
            (Inner::HalfOpen { ended, .. }, CircuitState::HalfOpen) => *ended,
            _ => Counts::default(),
        };
        Standing { state, probe_in: until.map(|until| until.saturating_duration_since(now)), counts }
    }

    pub(super) fn era(&self) -> u32 {
        self.era
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.inner, Inner::Closed { .. })
    }

    /// Until when quick successes cannot change the state and need no time, in nanoseconds from the origin;
    /// `None` when each has to be reported.
    pub(super) fn timeless_until(&self) -> Option<u64> {
        match &self.inner {
            // While all that is remembered went well, one more success brings no rate nearer to its threshold.
            Inner::Closed { window } if window.total().is_clean() => Some(window.timeless_until()),
            _ => None,
        }
    }

    /// What time alone has brought about by `now`: the event, and when open ends, or ended, after it.
    fn due(&self, now: Instant) -> Option<(CircuitEvent, Instant)> {
        match self.inner {
            Inner::Open { until } if now >= until => Some((CircuitEvent::OpenOver, until)),
            // Counted from when it was due: nobody may have asked since.
            Inner::HalfOpen { until, .. } if now >= until => {
                let open = self.policy.open_time(self.reopened.saturating_add(1));
                Some((CircuitEvent::WaitedOut, after(until, open)))
            }
            _ => None,
        }
    }

    fn settle(&mut self, now: Instant) {
        if let Some((CircuitEvent::WaitedOut, until)) = self.due(now) {
            self.reopened = self.reopened.saturating_add(1);
            self.enter(Inner::Open { until });
        }
        if let Some((CircuitEvent::OpenOver, _)) = self.due(now) {
            self.happens(CircuitEvent::OpenOver, now);
        }
    }

    fn happens(&mut self, event: CircuitEvent, now: Instant) {
        let inner = match (self.state().after(event), event) {
            (CircuitState::Closed, _) => {
                self.reopened = 0;
                Inner::Closed { window: Remembered::new(self.policy.window, self.origin) }
            }
            (CircuitState::Open, event) => {
                self.reopened = match event {
                    CircuitEvent::Tripped => 0,
                    _ => self.reopened.saturating_add(1),
                };
                Inner::Open { until: after(now, self.policy.open_time(self.reopened)) }
            }
            (CircuitState::HalfOpen, _) => {
                let until = after(now, self.policy.half_open_for);
                Inner::HalfOpen { until, admitted: 0, ended: Counts::default() }
            }
        };
        self.enter(inner);
    }

    fn state(&self) -> CircuitState {
        match self.inner {
            Inner::Closed { .. } => CircuitState::Closed,
            Inner::Open { .. } => CircuitState::Open,
            Inner::HalfOpen { .. } => CircuitState::HalfOpen,
        }
    }

    fn enter(&mut self, inner: Inner) {
        self.inner = inner;
        self.era = self.era.checked_add(1).unwrap_or(1);
    }
}

fn too_bad(policy: &CircuitPolicy, counts: Counts) -> bool {
    let reached = |bad: u32, rate: f64| bad > 0 && f64::from(bad) >= rate * f64::from(counts.calls);
    reached(counts.failed, policy.failure_rate)
        || policy.slow.is_some_and(|slow| reached(counts.slow, slow.rate))
}

/// As far from `begin` as an instant can be: a policy that was not checked may hold any time.
fn after(begin: Instant, wait: Duration) -> Instant {
    begin.checked_add(wait.min(crate::resilience::invalid::LONGEST)).unwrap_or(begin)
}
