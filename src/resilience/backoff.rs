//! How long to wait before the next attempt: exponential with a cap, spread by jitter.
//!
//! Randomness is handed in as numbers in `[0, 1)`, so that a seed repeats a run and no generator is imposed.

use std::{fmt, time::Duration};

use super::invalid::{self, Invalid};

/// How delays are spread, so that callers that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// The exponential delay itself.
    None,
    /// Anywhere between nothing and the exponential delay.
    Full,
    /// Half the exponential delay, and anywhere up to the other half.
    Equal,
    /// Anywhere between the base and three times the delay before.
    Decorrelated,
    /// The exponential delay give or take this share of it, in `[0, 1]`: `0.25` is ±25 %.
    Proportional(f64),
}

impl fmt::Display for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no jitter"),
            Self::Full => f.write_str("full jitter"),
            Self::Equal => f.write_str("equal jitter"),
            Self::Decorrelated => f.write_str("decorrelated jitter"),
            Self::Proportional(share) => write!(f, "±{:.0} % jitter", share * 100.0),
        }
    }
}

/// How long to wait between attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The delay before the second attempt, before jitter.
    pub base: Duration,
    /// No delay is longer, before or after jitter.
    pub cap: Duration,
    /// How delays are spread.
    pub jitter: Jitter,
}

impl Backoff {
    /// The wait after attempt `attempt` (counted from 1) failed; `unit` is a random number in `[0, 1)`.
    ///
    /// For callers that keep no state between attempts: [`Jitter::Decorrelated`] then takes the exponential delay
    /// for the one before. [`Backoff::delays`] remembers it.
    pub fn delay(&self, attempt: u32, unit: f64) -> Duration {
        self.spread(attempt, self.exponential(attempt.saturating_sub(1)), unit)
    }

    /// The waits after the first attempt, the second, and so on without end; `unit` gives random numbers in `[0, 1)`.
    pub fn delays<F: FnMut() -> f64>(&self, unit: F) -> Delays<F> {
        Delays { backoff: *self, unit, attempt: 0, before: self.base }
    }

    /// Says what cannot be meant.
    ///
    /// # Errors
    /// A base of zero or over the cap, a time that is too long, a share outside `[0, 1]`.
    pub fn check(&self) -> Result<(), Invalid> {
        invalid::time("base", self.base)?;
        invalid::time("cap", self.cap)?;
        if self.base > self.cap {
            return Err(Invalid::at_most("base", self.base, "cap", self.cap));
        }
        match self.jitter {
            Jitter::Proportional(share) => invalid::number("jitter", share, 0.0, 1.0),
            Jitter::None | Jitter::Full | Jitter::Equal | Jitter::Decorrelated => Ok(()),
        }
    }

    fn exponential(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.base.saturating_mul(1_u32 << doublings).min(self.cap)
    }

    fn spread(&self, attempt: u32, before: Duration, unit: f64) -> Duration {
        let (whole, unit) = (self.exponential(attempt), within(unit));
        let spread = match self.jitter {
            Jitter::None => whole,
            Jitter::Full => part(whole, unit),
            Jitter::Equal => whole / 2 + part(whole - whole / 2, unit),
            Jitter::Decorrelated => {
                let longest = before.saturating_mul(3);
                self.base.saturating_add(part(longest.saturating_sub(self.base), unit))
            }
            Jitter::Proportional(share) => {
                let share = within(share);
                whole.saturating_sub(part(whole, share)).saturating_add(part(whole, 2.0 * share * unit))
            }
        };
        spread.min(self.cap)
    }
}

/// The delays of one call; see [`Backoff::delays`].
#[derive(Debug, Clone)]
pub struct Delays<F> {
    backoff: Backoff,
    unit: F,
    attempt: u32,
    before: Duration,
}

impl<F: FnMut() -> f64> Iterator for Delays<F> {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.attempt = self.attempt.saturating_add(1);
        self.before = self.backoff.spread(self.attempt, self.before, (self.unit)());
        Some(self.before)
    }
}

/// Hostile numbers are taken to the nearest good one; NaN to the longest wait, which does least harm.
fn within(unit: f64) -> f64 {
    if unit.is_nan() { 1.0 } else { unit.clamp(0.0, 1.0) }
}

/// Never more than `whole`, or than twice that for a share over 1, however the numbers round.
fn part(whole: Duration, share: f64) -> Duration {
    let most = if share <= 1.0 { whole } else { whole.saturating_mul(2) };
    Duration::try_from_secs_f64(whole.as_secs_f64() * share).unwrap_or(most).min(most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Random;

    fn backoff(jitter: Jitter) -> Backoff {
        Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(30), jitter }
    }

    fn any_jitter() -> impl Strategy<Value = Jitter> {
        prop_oneof![
            Just(Jitter::None),
            Just(Jitter::Full),
            Just(Jitter::Equal),
            Just(Jitter::Decorrelated),
            prop_oneof![0.0..=1.0_f64, Just(f64::NAN), Just(f64::INFINITY), Just(-1.0)]
                .prop_map(Jitter::Proportional),
        ]
    }

    /// The shortest and longest delay that `jitter` may make of the exponential delay `whole`.
    fn bounds(backoff: Backoff, whole: Duration) -> (Duration, Duration) {
        let slack = Duration::from_nanos(1 + whole.as_nanos() as u64 / 1_000_000);
        let (low, high) = match backoff.jitter {
            Jitter::None => (whole, whole),
            Jitter::Full => (Duration::ZERO, whole),
            Jitter::Equal => (whole / 2, whole),
            Jitter::Decorrelated => (backoff.base.min(backoff.cap), backoff.cap),
            Jitter::Proportional(share) => {
                let share = within(share);
                (whole.saturating_sub(part(whole, share)), whole + part(whole, share) + slack)
            }
        };
        (low.saturating_sub(slack), high.min(backoff.cap))
    }

    proptest! {
        #[test]
        fn a_delay_is_within_its_bounds_whatever_the_numbers(
            base in prop_oneof![0_u64..100_000, Just(u64::MAX / 1_000)],
            cap in prop_oneof![0_u64..100_000, Just(u64::MAX / 1_000)],
            jitter in any_jitter(),
            units in prop::collection::vec(prop_oneof![0.0..1.0_f64, Just(f64::NAN), Just(-3.0), Just(9.0)], 40),
        ) {
            let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap), jitter };
            let mut numbers = units.iter().copied();
            for (n, delay) in (1..).zip(backoff.delays(|| numbers.next().unwrap_or(0.5)).take(units.len())) {
                let (low, high) = bounds(backoff, backoff.exponential(n));
                prop_assert!(low <= delay && delay <= high, "{n}: {low:?} {delay:?} {high:?}");
                let alone = backoff.delay(n, units[n as usize - 1]);
                prop_assert!(low <= alone && alone <= high, "{n}: {low:?} {alone:?} {high:?}");
            }
        }
    }

    #[test]
    fn the_delay_doubles_with_every_attempt_up_to_its_cap() {
        let seconds: Vec<u64> = backoff(Jitter::None).delays(|| 0.0).take(6).map(|d| d.as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 30, 30]);
    }

    #[test]
    fn each_jitter_spreads_as_it_says() {
        let seconds = |jitter, unit| {
            let delays = backoff(jitter).delays(move || unit).take(3);
            delays.map(|d| (d.as_secs_f64() * 1_000.0).round() / 1_000.0).collect::<Vec<_>>()
        };
        assert_eq!(seconds(Jitter::Full, 0.25), [0.5, 1.0, 2.0]);
        assert_eq!(seconds(Jitter::Equal, 0.5), [1.5, 3.0, 6.0]);
        assert_eq!(
            seconds(Jitter::Decorrelated, 0.5),
            [4.0, 7.0, 11.5],
            "between 2 s and 3 × the one before"
        );
        assert_eq!(seconds(Jitter::Proportional(0.25), 0.0), [1.5, 3.0, 6.0]);
        assert_eq!(seconds(Jitter::Proportional(0.25), 1.0), [2.5, 5.0, 10.0]);
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let run = |seed| {
            let mut random = Random::seeded(seed);
            backoff(Jitter::Full).delays(move || random.unit()).take(8).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn what_cannot_be_meant_is_said_exactly() {
        let said = |backoff: Backoff| backoff.check().unwrap_err().to_string();
        let none = backoff(Jitter::None);
        assert_eq!(
            said(Backoff { base: Duration::ZERO, ..none }),
            "base is 0s: more than 0 and at most 365 days is expected"
        );
        assert_eq!(
            said(Backoff { cap: Duration::from_secs(1), ..none }),
            "base is 2s, which is over cap (1s): at most that is expected"
        );
        assert_eq!(
            said(backoff(Jitter::Proportional(f64::NAN))),
            "jitter is NaN: between 0 and 1 is expected"
        );
        assert!(said(Backoff { cap: Duration::MAX, ..none }).starts_with("cap is "));
    }
}
