//! How a replay goes: one letter first, then ten, then at its rate; and it stops by itself when too many fail again. Pure:
//! what has happened in, what happens next out. The store keeps the numbers, and any worker may be the one that asks.

use std::time::Duration;

use super::command::Pace;

/// The first letter shows whether the cause is mended.
const CANARY: u64 = 1;
/// The next ones whether it is for all.
const FIRST: u64 = CANARY + 10;
/// From so many outcomes on a share says something.
const ENOUGH: u64 = 10;

/// How far a replay is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Letters in all.
    pub total: u64,
    /// Begun.
    pub dispatched: u64,
    /// Went through.
    pub succeeded: u64,
    /// Failed again.
    pub failed_again: u64,
    /// Left out when their turn came.
    pub skipped: u64,
    /// Since a letter was begun last; `None` before the first.
    pub since_last: Option<Duration>,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// So many letters begin now; `spare` of the time since the last ones is not used up by them.
    Dispatch {
        /// How many.
        count: u64,
        /// What is left of the time since the last ones.
        spare: Duration,
    },
    /// Nothing yet: the pace, or an outcome, is waited for.
    Wait,
    /// Too many fail again.
    Stop(String),
}

impl Progress {
    /// Begun and not left out: on its way, or known.
    fn tried(self) -> u64 {
        self.dispatched.saturating_sub(self.skipped)
    }

    /// Known: it went through, or failed again.
    fn known(self) -> u64 {
        self.succeeded + self.failed_again
    }
}

/// What happens next to a replay at `pace`.
pub fn next(pace: Pace, progress: Progress) -> Next {
    if let Some(why) = stops(pace, progress) {
        return Next::Stop(why);
    }
    let stage = match progress.known() {
        0 => CANARY,
        known if known < FIRST => FIRST,
        _ => u64::MAX,
    };
    let left = progress.total.saturating_sub(progress.dispatched);
    let room = stage.saturating_sub(progress.tried()).min(left);
    if room == 0 {
        return Next::Wait;
    }
    let Some(since) = progress.since_last else { return Next::Dispatch { count: 1, spare: Duration::ZERO } };
    // A worker that was away does not make up for it all at once: a second's worth at most.
    let due = (since.as_secs_f64() * pace.per_second).min(pace.per_second.max(1.0));
    let count = (due.floor() as u64).min(room);
    if count == 0 {
        return Next::Wait;
    }
    let spare = ((due - count as f64) / pace.per_second).clamp(0.0, 1.0);
    Next::Dispatch { count, spare: Duration::from_secs_f64(spare) }
}

fn stops(pace: Pace, progress: Progress) -> Option<String> {
    let Progress { succeeded, failed_again, .. } = progress;
    if progress.dispatched >= progress.total {
        return None;
    }
    // Who lets all fail wants to see all of them fail.
    if pace.refail_limit < 1.0 && succeeded == 0 && failed_again > 0 && progress.tried() <= CANARY {
        return Some("the first letter failed again".to_owned());
    }
    let known = progress.known();
    let share = failed_again as f64 / known.max(1) as f64;
    let limit = pace.refail_limit;
    (known >= ENOUGH && share > limit)
        .then(|| format!("{failed_again} of {known} failed again, more than {:.0} %", limit * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace { per_second: 5.0, refail_limit: 0.2 };

    fn seconds(seconds: f64) -> Option<Duration> {
        Some(Duration::from_secs_f64(seconds))
    }

    fn count(progress: Progress) -> u64 {
        match next(PACE, progress) {
            Next::Dispatch { count, .. } => count,
            Next::Wait => 0,
            Next::Stop(why) => panic!("{why}"),
        }
    }

    #[test]
    fn one_goes_first_and_the_next_only_when_it_went_through() {
        let begun = Progress { total: 500, ..Progress::default() };
        assert_eq!(count(begun), 1);
        let out = Progress { dispatched: 1, since_last: seconds(600.0), ..begun };
        assert_eq!(count(out), 0, "however long it takes");
        assert_eq!(count(Progress { succeeded: 1, ..out }), 5, "then a second's worth, not ten minutes'");
    }

    #[test]
    fn ten_go_next_at_the_pace_and_the_rest_only_when_all_of_them_are_known() {
        let ten = Progress {
            total: 500,
            dispatched: 9,
            succeeded: 1,
            since_last: seconds(1.0),
            ..Progress::default()
        };
        assert_eq!(count(ten), 2, "eleven in all");
        let out = Progress { dispatched: 11, succeeded: 10, ..ten };
        assert_eq!(count(out), 0, "one of them is on its way");
        assert_eq!(count(Progress { failed_again: 1, ..out }), 5);
    }

    #[test]
    fn what_is_left_of_the_time_is_kept_so_that_the_rate_is_exact() {
        let going = Progress { total: 500, dispatched: 11, succeeded: 11, ..Progress::default() };
        let mut since = Duration::ZERO;
        let mut sent = 0;
        for _ in 0..100 {
            since += Duration::from_millis(310);
            if let Next::Dispatch { count, spare } = next(PACE, Progress { since_last: Some(since), ..going })
            {
                sent += count;
                since = spare;
            }
        }
        assert_eq!(sent, 155, "31 s at 5 a second");
    }

    #[test]
    fn it_stops_when_the_first_fails_again_or_too_many_do() {
        let begun = Progress { total: 500, dispatched: 1, ..Progress::default() };
        let stopped = |progress| matches!(next(PACE, progress), Next::Stop(_));
        assert!(stopped(Progress { failed_again: 1, ..begun }));
        assert!(!stopped(Progress { total: 1, failed_again: 1, ..begun }), "there is nothing left to stop");
        let never = Pace { refail_limit: 1.0, ..PACE };
        let all = Progress { dispatched: 40, failed_again: 40, ..begun };
        for progress in [Progress { failed_again: 1, since_last: seconds(1.0), ..begun }, all] {
            assert!(!matches!(next(never, progress), Next::Stop(_)), "1 never stops");
        }
        let going = Progress { dispatched: 11, succeeded: 8, failed_again: 2, ..begun };
        assert!(!stopped(going), "one in five is not more than 20 %");
        let why = next(PACE, Progress { succeeded: 8, failed_again: 3, ..going });
        assert_eq!(why, Next::Stop("3 of 11 failed again, more than 20 %".to_owned()));
        assert!(
            !stopped(Progress { dispatched: 6, succeeded: 3, failed_again: 2, ..begun }),
            "too few to say"
        );
    }

    #[test]
    fn what_is_left_out_neither_counts_against_it_nor_holds_it() {
        let begun = Progress {
            total: 500,
            dispatched: 1,
            skipped: 1,
            since_last: seconds(1.0),
            ..Progress::default()
        };
        assert_eq!(count(begun), 1, "the next one is the first");
        let canary = Progress { dispatched: 2, failed_again: 1, ..begun };
        assert!(matches!(next(PACE, canary), Next::Stop(_)), "the first that was tried");
    }
}
