//! The only reader of time and randomness in the crate.
//!
//! Everything else is handed an instant, a duration or a random number, which is what lets tests bind them.
//! Leases do not use this clock at all: they live by the database's.
#![expect(clippy::disallowed_methods, reason = "this is the one place that may ask")]

#[cfg(target_os = "linux")]
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

/// The wall clock, for showing and for rows that carry no lease.
pub fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}

/// The monotonic clock, for rates, timeouts and circuits.
pub fn instant() -> Instant {
    Instant::now()
}

/// The monotonic clock a few milliseconds late at most, which costs a quarter of asking it exactly: for what is
/// counted by the second.
#[cfg(target_os = "linux")]
pub fn coarse_instant() -> Instant {
    use rustix::time::{ClockId, clock_gettime};
    fn since_boot(clock: ClockId) -> Duration {
        let time = clock_gettime(clock);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
    // The exact clock here: from the coarse one, which is late, every later answer would be early by as much.
    static FIRST: LazyLock<(Duration, Instant)> =
        LazyLock::new(|| (since_boot(ClockId::Monotonic), Instant::now()));
    let (boot, instant) = *FIRST;
    instant + since_boot(ClockId::MonotonicCoarse).saturating_sub(boot)
}

/// The monotonic clock.
#[cfg(not(target_os = "linux"))]
pub fn coarse_instant() -> Instant {
    Instant::now()
}

/// Waits for `duration`. Never used by tests.
pub async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// A source of randomness: seeded by the system, or by a number so that a run can be repeated.
#[derive(Debug)]
pub struct Random(StdRng);

impl Random {
    /// Seeded by the operating system.
    pub fn system() -> Self {
        Self(StdRng::from_rng(&mut rand::rng()))
    }

    /// The same numbers for the same `seed`, on every machine.
    pub fn seeded(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// A number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        self.0.random::<f64>()
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0.next_u64()
    }
}

/// A new identifier that sorts by the time of its making (UUID version 7).
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_is_late_and_never_early() {
        coarse_instant();
        let began = instant();
        while began.elapsed() < Duration::from_millis(50) {
            let coarse = coarse_instant();
            let exact = instant();
            assert!(coarse <= exact, "early by {:?}", coarse - exact);
        }
    }
}
