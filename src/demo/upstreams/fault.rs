//! What is wrong with the stand-ins, by operation or whole upstream; set in-process or by `PUT /_faults`.
//!
//! A trouble can be plain (a share of the requests gets a status) or a capacity: requests beyond it queue, the queue
//! makes every answer slow, and callers that give up and ask again keep it full. That is how a retry storm outlives
//! what began it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::clock::{self, Random};

/// How a troubled request ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Well.
    #[default]
    None,
    /// 503, nothing is done.
    Unavailable,
    /// 500, nothing is done.
    Error,
    /// An emptied rate limit, 403 at GitHub and 429 at Terraform Cloud; nothing is done.
    RateLimit,
    /// 200 with a login page, nothing is done.
    Html,
    /// It is done, and the connection breaks before the answer.
    LostReply,
    /// It is done, and no answer ever comes.
    Hang,
}

/// What is wrong with one operation or upstream.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trouble {
    /// How the share of the requests ends.
    pub mode: Mode,
    /// Which share, in `[0, 1]`.
    pub share: f64,
    /// Only so many more requests get the mode; `None`: no end.
    pub times: Option<u32>,
    /// Added before each answer, in milliseconds, after the effect.
    pub latency_ms: u64,
    /// Requests a second that can be served; what comes beyond waits in a queue. `None`: any number.
    pub capacity: Option<f64>,
    /// The longest wait in the queue, in milliseconds; what would wait longer is answered 503 at once.
    pub longest_wait_ms: u64,
}

impl Default for Trouble {
    fn default() -> Self {
        Self {
            mode: Mode::None,
            share: 1.0,
            times: None,
            latency_ms: 0,
            capacity: None,
            longest_wait_ms: 5_000,
        }
    }
}

impl Trouble {
    /// Every request ends by `mode`.
    pub fn always(mode: Mode) -> Self {
        Self { mode, ..Self::default() }
    }

    /// The next `times` requests end by `mode`.
    pub fn next(mode: Mode, times: u32) -> Self {
        Self { mode, times: Some(times), ..Self::default() }
    }
}

/// The handle by which troubles are made and ended.
#[derive(Debug)]
pub struct Faults(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    troubles: BTreeMap<String, Trouble>,
    queues: BTreeMap<String, Queue>,
    judged: BTreeMap<String, u64>,
    random: Random,
}

/// Requests waiting at one capacity.
#[derive(Debug)]
struct Queue {
    waiting: f64,
    at: Instant,
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) mode: Mode,
    pub(super) latency: Duration,
}

impl Faults {
    /// Nothing is wrong; chances follow `seed`.
    pub fn seeded(seed: u64) -> Self {
        let random = Random::seeded(seed);
        Self(Mutex::new(Inner::new(random)))
    }

    /// Makes `trouble` for `place`: an operation (`github.create_hook`) or an upstream (`github`).
    pub fn set(&self, place: &str, trouble: Trouble) {
        self.locked(|inner| inner.troubles.insert(place.to_owned(), trouble));
    }

    /// Ends the trouble of `place`; its queue empties at once.
    pub fn clear(&self, place: &str) {
        self.locked(|inner| {
            inner.troubles.remove(place);
            inner.queues.remove(place);
        });
    }

    /// Makes exactly `troubles`; an empty map ends all.
    pub fn replace(&self, troubles: BTreeMap<String, Trouble>) {
        self.locked(|inner| {
            inner.queues.retain(|place, _| troubles.contains_key(place));
            inner.troubles = troubles;
        });
    }

    /// What is wrong, by place.
    pub fn current(&self) -> BTreeMap<String, Trouble> {
        self.locked(|inner| inner.troubles.clone())
    }

    /// How many requests of `operation` have come in, those still waiting for their answer included.
    pub fn judged(&self, operation: &str) -> u64 {
        self.locked(|inner| inner.judged.get(operation).copied().unwrap_or_default())
    }

    /// What happens to a request of `operation` that comes in now.
    pub(super) fn judge(&self, operation: &str) -> Verdict {
        let now = clock::instant();
        self.locked(|inner| inner.judge(operation, now))
    }

    fn locked<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        // A panic under this lock leaves plain settings behind, which are still good.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn new(random: Random) -> Self {
        Self { troubles: BTreeMap::new(), queues: BTreeMap::new(), judged: BTreeMap::new(), random }
    }

    fn judge(&mut self, operation: &str, now: Instant) -> Verdict {
        let upstream = operation.split('.').next().unwrap_or_default();
        *self.judged.entry(operation.to_owned()).or_default() += 1;
        let mut verdict = Verdict { mode: Mode::None, latency: Duration::ZERO };
        for place in [operation, upstream] {
            let Some(trouble) = self.troubles.get_mut(place) else { continue };
            verdict.latency += Duration::from_millis(trouble.latency_ms);
            let hit = trouble.mode != Mode::None
                && verdict.mode == Mode::None
                && trouble.times != Some(0)
                && self.random.unit() < trouble.share;
            if hit {
                verdict.mode = trouble.mode;
                trouble.times = trouble.times.map(|left| left - 1);
            }
            if let Some(capacity) = trouble.capacity.filter(|c| *c > 0.0) {
                let longest = Duration::from_millis(trouble.longest_wait_ms);
                let queue = self.queues.entry(place.to_owned()).or_insert(Queue { waiting: 0.0, at: now });
                match queue.join(capacity, longest, now) {
                    Some(wait) => verdict.latency += wait,
                    None => verdict.mode = Mode::Unavailable,
                }
            }
        }
        verdict
    }
}

impl Queue {
    /// The wait of one more request, or `None` when it would be too long.
    fn join(&mut self, capacity: f64, longest: Duration, now: Instant) -> Option<Duration> {
        let served = now.saturating_duration_since(self.at).as_secs_f64() * capacity;
        self.waiting = (self.waiting - served).max(0.0);
        self.at = now;
        let wait = Duration::from_secs_f64(self.waiting / capacity);
        (wait <= longest).then(|| {
            self.waiting += 1.0;
            wait
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inner() -> Inner {
        Inner::new(Random::seeded(7))
    }

    #[test]
    fn a_trouble_with_a_number_ends_after_it_and_an_operation_is_asked_before_its_upstream() {
        let (mut inner, now) = (inner(), clock::instant());
        inner.troubles.insert("github".to_owned(), Trouble::always(Mode::Unavailable));
        inner.troubles.insert("github.tree".to_owned(), Trouble::next(Mode::Html, 1));
        assert_eq!(inner.judge("github.tree", now).mode, Mode::Html);
        assert_eq!(inner.judge("github.tree", now).mode, Mode::Unavailable);
        assert_eq!(inner.judge("tfc.workspace", now).mode, Mode::None);
    }

    #[test]
    fn about_the_given_share_of_the_requests_is_troubled() {
        let (mut inner, now) = (inner(), clock::instant());
        let trouble = Trouble { share: 0.3, ..Trouble::always(Mode::Error) };
        inner.troubles.insert("notify".to_owned(), trouble);
        let hit = (0..1_000).filter(|_| inner.judge("notify.send", now).mode == Mode::Error).count();
        assert!((250..350).contains(&hit), "{hit} of 1,000");
    }

    #[test]
    fn load_beyond_the_capacity_waits_then_is_shed_and_the_queue_drains_with_time() {
        let (mut inner, now) = (inner(), clock::instant());
        let trouble = Trouble { capacity: Some(10.0), longest_wait_ms: 2_000, ..Trouble::default() };
        inner.troubles.insert("github".to_owned(), trouble);
        let verdicts: Vec<Verdict> = (0..30).map(|_| inner.judge("github.tree", now)).collect();
        assert_eq!(verdicts[10].latency, Duration::from_secs(1));
        assert_eq!(verdicts[29].mode, Mode::Unavailable);
        let later = inner.judge("github.tree", now + Duration::from_secs(60));
        assert_eq!(later, Verdict { mode: Mode::None, latency: Duration::ZERO });
    }
}
