//! How late the process's own timers are. Scenarios play in real time: on a machine that is too busy their callers and
//! services are held up, and what comes out says more of the machine than of the incident. So it is measured and told.

use std::time::Duration;

use crate::clock;

/// Timers are looked at this often.
const EVERY: Duration = Duration::from_millis(10);

/// How late timers were, one by one.
#[derive(Debug, Default)]
pub(super) struct Lateness(Vec<Duration>);

impl Lateness {
    /// Looks, for ever.
    pub(super) async fn watch(&mut self) {
        loop {
            let before = clock::instant();
            clock::sleep(EVERY).await;
            self.0.push(clock::instant().saturating_duration_since(before).saturating_sub(EVERY));
        }
    }

    /// Nineteen of twenty were at most so late, in milliseconds.
    pub(super) fn millis(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let most = sorted.get(sorted.len() * 19 / 20).copied().unwrap_or_default();
        (most.as_secs_f64() * 10_000.0).round() / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_late_timer_in_forty_is_not_held_against_the_machine_and_three_are() {
        let late = |count| {
            let late = (0..40).map(|n| Duration::from_millis(if n < count { 90 } else { 1 }));
            Lateness(late.collect()).millis()
        };
        assert_eq!((late(1), late(3)), (1.0, 90.0));
        assert_eq!(Lateness::default().millis(), 0.0);
    }
}
