//! The chart: first tries and retries per second of every process together, and what they come to, in equal columns
//! over 15 minutes.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::{arithmetic::Counts, history::History, signals::Point};

/// What the chart is drawn from.
pub(super) struct Drawn<'a> {
    /// Now, on both clocks.
    pub(super) now: (Instant, DateTime<Utc>),
    /// Columns are counted from here, so that they do not shift from one picture to the next.
    pub(super) origin: Instant,
    /// How wide a column is: not narrower than the slowest source is read.
    pub(super) column: Duration,
    /// Every process, and whether it is still expected to speak.
    pub(super) processes: Vec<(&'a History, bool)>,
}

const SPAN: Duration = Duration::from_secs(15 * 60);

/// The points, oldest first. A column ends the chart when a process that is expected to speak has not come that far.
pub(super) fn points(drawn: &Drawn<'_>) -> Vec<Point> {
    let spans: Vec<_> =
        drawn.processes.iter().filter_map(|(history, live)| Some((history.span()?, *live))).collect();
    let Some(first) = spans.iter().map(|((from, _), _)| *from).min() else { return Vec::new() };
    let last_of =
        |wanted: bool| spans.iter().filter(move |(_, live)| *live == wanted).map(|((_, at), _)| *at);
    let Some(end) = last_of(true).min().or_else(|| last_of(false).max()) else { return Vec::new() };
    let (now, wall) = drawn.now;
    let begin = now.checked_sub(SPAN).map_or(first, |earliest| earliest.max(first));
    let mut points = Vec::new();
    let mut middle = aligned(begin, drawn.origin, drawn.column) + drawn.column / 2;
    while middle <= end {
        if middle > begin {
            let before = now.saturating_duration_since(middle);
            let at = chrono::TimeDelta::from_std(before).map_or(wall, |before| wall - before);
            let rates = rates_at(&drawn.processes, middle);
            points.push(Point {
                at,
                first: rates.map(|rates| rates.first),
                retries: rates.map(|rates| rates.retries),
                amplification: rates.and_then(|rates| rates.amplification()),
                efficacy: rates.and_then(|rates| rates.efficacy()),
            });
        }
        middle += drawn.column;
    }
    points
}

/// The sum over the processes; a hole in one of them is a hole in the sum.
fn rates_at(processes: &[(&History, bool)], instant: Instant) -> Option<Counts> {
    let mut sum: Option<Counts> = None;
    for (history, _) in processes {
        let Some((from, at)) = history.span() else { continue };
        if instant <= from || instant > at {
            continue;
        }
        sum = Some(sum.unwrap_or_default() + history.rates_at(instant)?);
    }
    sum
}

/// The beginning of the column `instant` falls into.
fn aligned(instant: Instant, origin: Instant, column: Duration) -> Instant {
    let width = column.as_nanos().max(1);
    let past = |nanos: u128| Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
    if instant >= origin {
        instant - past(instant.duration_since(origin).as_nanos() % width)
    } else {
        let short = origin.duration_since(instant).as_nanos() % width;
        instant.checked_sub(past(if short == 0 { 0 } else { width - short })).unwrap_or(instant)
    }
}
