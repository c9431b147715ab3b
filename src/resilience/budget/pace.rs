//! How fast to send, steered by the callee's throttling: the client-side rate control of the AWS SDKs' "adaptive"
//! mode. A throttled answer cuts the rate to 0.7 of what was sent; from there it grows again along a cubic curve that
//! is flat where it was cut.

use std::time::{Duration, Instant};

/// A rate never falls below this, in calls a second.
const LOWEST_RATE: f64 = 0.5;
/// A bucket never holds fewer.
const LOWEST_CAPACITY: f64 = 1.0;
/// How much the latest half second weighs in the measured rate.
const SMOOTH: f64 = 0.8;
/// What a throttled answer leaves of the rate.
const BETA: f64 = 0.7;
/// How steep the curve is.
const STEEPNESS: f64 = 0.4;
/// Sending is measured in buckets of this many seconds.
const BUCKET: f64 = 0.5;

/// The rate of one operation's sending. Before the first throttled answer nothing is held back.
#[derive(Debug)]
pub(super) struct Pace {
    origin: Instant,
    throttled_before: bool,
    /// Calls a second.
    rate: f64,
    capacity: f64,
    /// Below 0: so many calls are waiting for their turn.
    left: f64,
    filled_at: Option<f64>,
    measured: f64,
    bucket: f64,
    sent: f64,
    rate_when_cut: f64,
    cut_at: f64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            throttled_before: false,
            rate: 0.0,
            capacity: 0.0,
            left: 0.0,
            filled_at: None,
            measured: 0.0,
            bucket: 0.0,
            sent: 0.0,
            rate_when_cut: 0.0,
            cut_at: 0.0,
        }
    }

    /// Takes a turn: how long to wait from `now` before sending.
    pub(super) fn turn(&mut self, now: Instant) -> Duration {
        if !self.throttled_before {
            return Duration::ZERO;
        }
        self.fill(self.seconds(now));
        self.left -= 1.0;
        Duration::try_from_secs_f64((-self.left).max(0.0) / self.rate.max(LOWEST_RATE)).unwrap_or_default()
    }

    /// The turn that was taken is not used.
    pub(super) fn give_back(&mut self) {
        if self.throttled_before {
            self.left = (self.left + 1.0).min(self.capacity);
        }
    }

    /// Hears of an answer at `now`.
    pub(super) fn heard(&mut self, throttled: bool, now: Instant) {
        let now = self.seconds(now);
        self.measure(now);
        let wanted = if throttled {
            let rate = match self.throttled_before {
                false => self.measured,
                true => self.measured.min(self.rate),
            };
            (self.rate_when_cut, self.cut_at, self.throttled_before) = (rate, now, true);
            rate * BETA
        } else {
            self.grown(now)
        };
        if self.throttled_before {
            self.steer(wanted.min(2.0 * self.measured), now);
        }
    }

    /// Calls a second; `None` while nothing is held back.
    pub(super) fn rate(&self) -> Option<f64> {
        self.throttled_before.then_some(self.rate)
    }

    /// The rate the curve has reached.
    fn grown(&self, now: f64) -> f64 {
        let flat_after = (self.rate_when_cut * (1.0 - BETA) / STEEPNESS).cbrt();
        STEEPNESS * (now - self.cut_at - flat_after).powi(3) + self.rate_when_cut
    }

    fn steer(&mut self, wanted: f64, now: f64) {
        self.fill(now);
        self.rate = wanted.max(LOWEST_RATE);
        self.capacity = wanted.max(LOWEST_CAPACITY);
        self.left = self.left.min(self.capacity);
    }

    fn fill(&mut self, now: f64) {
        if let Some(filled_at) = self.filled_at {
            self.left = (self.left + (now - filled_at).max(0.0) * self.rate).min(self.capacity);
        }
        self.filled_at = Some(self.filled_at.map_or(now, |before| before.max(now)));
    }

    fn measure(&mut self, now: f64) {
        self.sent += 1.0;
        let bucket = (now / BUCKET).floor() * BUCKET;
        if bucket > self.bucket {
            let rate = self.sent / (bucket - self.bucket);
            self.measured = rate * SMOOTH + self.measured * (1.0 - SMOOTH);
            (self.sent, self.bucket) = (0.0, bucket);
        }
    }

    fn seconds(&self, now: Instant) -> f64 {
        now.saturating_duration_since(self.origin).as_secs_f64()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests need some instant to begin from")]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn after_a_cut_the_rate_follows_the_published_cubic() {
        let pace = Pace { rate_when_cut: 10.0, cut_at: 5.0, ..Pace::new(Instant::now()) };
        let published =
            [(5.0, 7.0), (6.0, 9.648_936), (7.0, 10.000_030_8), (8.0, 10.453_284_5), (9.0, 13.408_697)];
        for (at, rate) in published {
            near(pace.grown(at), rate);
        }
    }

    #[test]
    fn a_throttled_answer_cuts_what_was_sent_to_seven_tenths() {
        let begin = Instant::now();
        let at = |ms: u64| begin + Duration::from_millis(ms);
        let mut pace = Pace::new(begin);
        assert_eq!(pace.turn(at(0)), Duration::ZERO, "nothing is held back before the first");
        for n in 0..20 {
            pace.heard(false, at(n * 50));
        }
        assert_eq!(pace.rate(), None);
        let measured = pace.measured;
        pace.heard(true, at(960));
        near(pace.rate().unwrap(), (measured * BETA).max(LOWEST_RATE));
    }

    #[test]
    fn turns_are_handed_out_at_the_rate_and_never_two_for_one() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        pace.heard(true, begin);
        near(pace.rate().unwrap(), LOWEST_RATE);
        let waits: Vec<u64> = (0..3).map(|_| pace.turn(begin).as_secs()).collect();
        assert_eq!(waits, [2, 4, 6], "half a call a second");
        pace.give_back();
        assert_eq!(pace.turn(begin).as_secs(), 6);
    }

    #[test]
    fn the_rate_is_never_more_than_twice_what_was_sent_nor_under_the_lowest() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        pace.heard(true, begin);
        for second in 1..600 {
            pace.heard(false, begin + Duration::from_secs(second));
            let rate = pace.rate().unwrap();
            assert!(rate >= LOWEST_RATE && rate <= (2.0 * pace.measured).max(LOWEST_RATE), "{rate}");
        }
    }
}
