//! Attempts and the delays between them, drawn to scale in one line. Knows no screen.

use chrono::{DateTime, TimeDelta, Utc};

/// From when to when something lasted; an attempt that runs ends now.
pub(super) type Span = (DateTime<Utc>, DateTime<Utc>);

const RUNS: char = '█';
const WAITS: char = '─';

/// `attempts`, oldest first, over `columns` from the first one's begin to `until`: `█` where one runs, `─` between them.
/// Each is at least one column wide, however short it was; `None` where there is nothing to compare.
pub(super) fn bar(attempts: &[Span], until: DateTime<Utc>, columns: usize) -> Option<String> {
    let (first, last) = (attempts.first()?, attempts.last()?);
    let until = until.max(last.1);
    let whole = micros(until - first.0);
    if whole == 0 || columns < attempts.len() {
        return None;
    }
    let column = |at: DateTime<Utc>| {
        let share = micros(at - first.0) as f64 / whole as f64;
        (share * columns as f64) as usize
    };
    let mut cells = vec![WAITS; columns];
    for (begin, end) in attempts {
        let from = column(*begin).min(columns - 1);
        let to = column(*end).clamp(from + 1, columns);
        cells[from..to].fill(RUNS);
    }
    Some(cells.into_iter().collect())
}

fn micros(span: TimeDelta) -> i64 {
    span.num_microseconds().unwrap_or(i64::MAX).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn what_lasts_twice_as_long_is_twice_as_wide() {
        let attempts = [(at(0), at(1)), (at(3), at(5)), (at(9), at(10))];
        assert_eq!(bar(&attempts, at(10), 20).as_deref(), Some("██────████────────██"));
        // The delay that is still to come belongs to it.
        assert_eq!(bar(&attempts, at(20), 20).as_deref(), Some("█──██────█──────────"));
    }

    #[test]
    fn the_shortest_attempt_is_seen_and_nonsense_is_not_drawn() {
        assert_eq!(bar(&[(at(0), at(0)), (at(1000), at(1000))], at(1000), 5).as_deref(), Some("█───█"));
        assert_eq!(bar(&[], at(1), 10), None);
        assert_eq!(bar(&[(at(5), at(5))], at(5), 10), None);
        // A clock that was set back.
        assert_eq!(bar(&[(at(5), at(9)), (at(1), at(2))], at(9), 4).as_deref(), Some("████"));
    }
}
