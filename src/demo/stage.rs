//! The time a scenario lives in: its phases, and how its seconds become real ones. It knows no scenario.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::clock;

/// A part of a scenario, in seconds of its own time since it began.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    /// What goes on in it.
    pub phase: &'static str,
    /// When it began.
    pub from: f64,
    /// When the next one began, or the scenario was over.
    pub until: f64,
}

/// Who acts on what the dashboard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// Whoever sits in front of it.
    Present,
    /// Nobody: the scenario does itself what an operator would.
    Played,
}

/// Where a scenario plays.
pub(super) struct Stage {
    began: Instant,
    factor: f64,
    /// Who acts.
    pub(super) operator: Operator,
    phases: Mutex<Vec<(&'static str, Instant)>>,
}

impl Stage {
    /// From now on, with every time of the scenario multiplied by `factor`.
    pub(super) fn new(factor: f64, operator: Operator) -> Self {
        Self { began: clock::instant(), factor, operator, phases: Mutex::default() }
    }

    /// A phase begins, and lasts for `scenario`, a time of the scenario's.
    pub(super) async fn phase(&self, name: &'static str, lasts: Duration) {
        self.begin(name);
        clock::sleep(self.real(lasts)).await;
    }

    /// A phase begins, and ends with the next one.
    pub(super) fn begin(&self, name: &'static str) {
        tracing::info!(phase = name, "the scenario goes on");
        self.locked().push((name, clock::instant()));
    }

    /// A moment to ask again after, for at most so long of the scenario's time; see [`Patience::again`].
    pub(super) fn patience(&self, at_most: Duration) -> Patience {
        Patience(clock::instant() + self.real(at_most))
    }

    /// `scenario` in real time.
    pub(super) fn real(&self, scenario: Duration) -> Duration {
        scenario.mul_f64(self.factor)
    }

    /// Seconds of the scenario's time from its beginning to `instant`.
    pub(super) fn at(&self, instant: Instant) -> f64 {
        self.scenario(instant.saturating_duration_since(self.began))
    }

    /// `real` in seconds of the scenario's time.
    pub(super) fn scenario(&self, real: Duration) -> f64 {
        rounded(real.as_secs_f64() / self.factor)
    }

    /// Real seconds since it began.
    pub(super) fn real_seconds(&self) -> f64 {
        rounded(clock::instant().saturating_duration_since(self.began).as_secs_f64())
    }

    /// The phases so far; the last one until now.
    pub(super) fn phases(&self) -> Vec<Phase> {
        let phases = self.locked().clone();
        let now = clock::instant();
        let ends = phases.iter().skip(1).map(|(_, began)| *began).chain([now]);
        let phase = |((phase, from), until): (&(&'static str, Instant), Instant)| Phase {
            phase,
            from: self.at(*from),
            until: self.at(until),
        };
        phases.iter().zip(ends).map(phase).collect()
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<(&'static str, Instant)>> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long something is waited for.
pub(super) struct Patience(Instant);

impl Patience {
    /// As [`Patience::again`], for what takes no time.
    pub(super) async fn soon(&self) -> bool {
        clock::sleep(Duration::from_millis(2)).await;
        clock::instant() < self.0
    }

    /// Waits for a moment; `false` when it was waited for long enough.
    pub(super) async fn again(&self) -> bool {
        clock::sleep(Duration::from_millis(100)).await;
        clock::instant() < self.0
    }
}

/// To a tenth: what is told is not measured more exactly.
fn rounded(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}
