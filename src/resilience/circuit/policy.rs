//! When a circuit opens and how it closes again: plain values.

use std::time::Duration;

use super::window::Window;
use crate::resilience::invalid::{self, Invalid};

/// Which calls are slow, and how many of them are too many.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slow {
    /// A call that took at least this long is slow.
    pub from: Duration,
    /// Opens at this share of slow calls, in `(0, 1]`.
    pub rate: f64,
}

/// How the probes of half open are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// All must succeed: the first that fails opens the circuit again.
    All,
    /// By the same rates as in closed, once all of them have ended.
    Rates,
}

/// When a circuit opens and how it closes again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CircuitPolicy {
    /// Which calls are remembered.
    pub window: Window,
    /// The rates over the window are not judged before this many calls.
    pub minimum_calls: u32,
    /// Opens at this failure rate, in `(0, 1]`.
    pub failure_rate: f64,
    /// Opens at this share of slow calls.
    pub slow: Option<Slow>,
    /// How long it stays open before it probes.
    pub open_for: Duration,
    /// It stays open so many times longer each time its probes failed; 1 is always as long.
    pub open_growth: f64,
    /// It never stays open for longer.
    pub open_cap: Duration,
    /// How many probes half open admits, and how many must end before it is judged.
    pub probes: u32,
    /// How the probes are judged.
    pub trial: Trial,
    /// Half open opens again after this long, so that probes that never end cannot hold it.
    pub half_open_for: Duration,
}

impl Default for CircuitPolicy {
    fn default() -> Self {
        Self {
            window: Window::Calls(20),
            minimum_calls: 10,
            failure_rate: 0.5,
            slow: None,
            open_for: Duration::from_secs(30),
            open_growth: 1.0,
            open_cap: Duration::from_secs(300),
            probes: 3,
            trial: Trial::All,
            half_open_for: Duration::from_secs(60),
        }
    }
}

impl CircuitPolicy {
    /// The same policy with its times multiplied by `factor`; the window keeps its length.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let scaled =
            |time: Duration| Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(time);
        Self {
            open_for: scaled(self.open_for),
            open_cap: scaled(self.open_cap),
            half_open_for: scaled(self.half_open_for),
            ..self
        }
    }

    /// How long it stays open after `reopened` times in which its probes failed.
    pub(super) fn open_time(&self, reopened: u32) -> Duration {
        let grown = self.open_for.as_secs_f64() * self.open_growth.max(1.0).powi(reopened.min(1_000) as i32);
        let cap = self.open_cap.max(self.open_for).min(invalid::LONGEST);
        Duration::try_from_secs_f64(grown).unwrap_or(cap).min(cap)
    }

    /// Says what cannot be meant. A circuit works with any values: those out of range count as the nearest good ones.
    ///
    /// # Errors
    /// Rates outside `(0, 1]`, times of zero or over a year, counts of zero, and values that contradict each other.
    pub fn check(&self) -> Result<(), Invalid> {
        match self.window {
            Window::Time(window) => {
                invalid::time("window", window)?;
                invalid::count("minimum_calls", self.minimum_calls, 1, u32::MAX)?;
            }
            Window::Calls(calls) => {
                invalid::count("window", calls, 1, 100_000)?;
                // More than the window holds would never be reached, and the circuit never open.
                invalid::count("minimum_calls", self.minimum_calls, 1, calls)?;
            }
        }
        rate("failure_rate", self.failure_rate)?;
        if let Some(slow) = self.slow {
            invalid::time("slow.from", slow.from)?;
            rate("slow.rate", slow.rate)?;
        }
        invalid::time("open_for", self.open_for)?;
        invalid::number("open_growth", self.open_growth, 1.0, 100.0)?;
        invalid::time("open_cap", self.open_cap)?;
        if self.open_for > self.open_cap {
            return Err(Invalid::at_most("open_for", self.open_for, "open_cap", self.open_cap));
        }
        invalid::count("probes", self.probes, 1, 10_000)?;
        invalid::time("half_open_for", self.half_open_for)
    }
}

fn rate(field: &str, found: f64) -> Result<(), Invalid> {
    match found > 0.0 && found <= 1.0 {
        true => Ok(()),
        false => Err(Invalid::new(field, found, "more than 0 and at most 1")),
    }
}
