//! How long to wait before the next attempt: exponential with a cap, spread by jitter.

use std::time::Duration;

/// How delays are spread, so that callers that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Jitter {
    /// The exponential delay itself.
    None,
    /// Anywhere between nothing and the exponential delay.
    Full,
}

/// When and how often to try again.
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
    pub fn delay(&self, attempt: u32, unit: f64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        let whole = self.base.saturating_mul(1_u32 << doublings).min(self.cap);
        match self.jitter {
            Jitter::None => whole,
            Jitter::Full => whole.mul_f64(unit.clamp(0.0, 1.0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_delay_is_never_over_its_cap_nor_over_the_exponential(
            base in 0_u64..100_000, cap in 0_u64..100_000, attempt in 0_u32..100, unit in 0.0..1.0_f64,
        ) {
            let bare = Backoff {
                base: Duration::from_millis(base), cap: Duration::from_millis(cap), jitter: Jitter::None,
            };
            let full = Backoff { jitter: Jitter::Full, ..bare };
            prop_assert!(bare.delay(attempt, unit) <= bare.cap);
            prop_assert!(full.delay(attempt, unit) <= bare.delay(attempt, unit));
        }
    }

    #[test]
    fn the_delay_doubles_with_every_attempt_up_to_its_cap() {
        let backoff =
            Backoff { base: Duration::from_secs(2), cap: Duration::from_secs(30), jitter: Jitter::None };
        let seconds: Vec<u64> = (1..=6).map(|n| backoff.delay(n, 0.0).as_secs()).collect();
        assert_eq!(seconds, [2, 4, 8, 16, 30, 30]);
    }
}
