//! One operation's verdict: the rule table over its window, and the memory that keeps the word from flickering.
//! Pure: evaluated at every scrape with the instants handed in. It knows no callers and makes no sentences.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::{arithmetic::Counts, signals::VerdictKind};

/// The lines of the rule table; all configurable.
#[derive(Debug, Clone, PartialEq)]
pub struct Rules {
    /// ELEVATED from this ρ on, or from `elevated_times` the baseline.
    pub elevated_ratio: f64,
    /// See `elevated_ratio`.
    pub elevated_times: f64,
    /// ELEVATED needs this many retries in the window.
    pub elevated_retries: f64,
    /// STORM from this ρ on, or from `storm_times` the baseline.
    pub storm_ratio: f64,
    /// See `storm_ratio`.
    pub storm_times: f64,
    /// STORM needs this many retries in the window.
    pub storm_retries: f64,
    /// STORM needs the Wilson 95 % lower bound of ρ above this.
    pub storm_surely: f64,
    /// Retries help too little below this η.
    pub poor_efficacy: f64,
    /// Too many calls fail below this g.
    pub poor_goodput: f64,
    /// High ρ with an η above this is planned backoff: RECOVERING.
    pub good_efficacy: f64,
    /// The baseline is never taken to be above this.
    pub highest_baseline: f64,
    /// Evaluations running that a storm takes to be called one.
    pub confirmations: u32,
    /// Windows below its line that a verdict takes to come down.
    pub cooling: u32,
    /// The verdict's window, before `time_factor`.
    pub window: Duration,
    /// The window holds at least this many scrapes; judging begins with as many.
    pub samples: usize,
    /// How far back calm windows make the baseline, before `time_factor`.
    pub baseline_over: Duration,
    /// STUCK: a storm that has lasted this long, before `time_factor`.
    pub stuck_after: Duration,
    /// STUCK: first tries are at most this far from their usual rate, as a share of it.
    pub stuck_drift: f64,
    /// STUCK: α has not fallen by more than this share of what it was during the storm.
    pub stuck_fall: f64,
    /// Data is stale after this, or two intervals. Not scaled: a busy machine is slow in real time.
    pub stale_after: Duration,
    /// A process that said nothing for this long is forgotten.
    pub forgotten_after: Duration,
    /// A demo runs faster than life: the windows are multiplied by this.
    pub time_factor: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            elevated_ratio: 0.10,
            elevated_times: 2.0,
            elevated_retries: 10.0,
            storm_ratio: 0.20,
            storm_times: 3.0,
            storm_retries: 20.0,
            storm_surely: 0.10,
            poor_efficacy: 0.5,
            poor_goodput: 0.9,
            good_efficacy: 0.8,
            highest_baseline: 0.2,
            confirmations: 2,
            cooling: 3,
            window: Duration::from_secs(60),
            samples: 4,
            baseline_over: Duration::from_secs(3_600),
            stuck_after: Duration::from_secs(300),
            stuck_drift: 0.2,
            stuck_fall: 0.1,
            stale_after: Duration::from_secs(30),
            forgotten_after: Duration::from_secs(300),
            time_factor: 1.0,
        }
    }
}

impl Rules {
    /// `duration` in the time the windows live in.
    pub fn scaled(&self, duration: Duration) -> Duration {
        duration.mul_f64(self.time_factor.max(0.0))
    }

    /// How long the window is for a source read every `interval`.
    pub fn window_for(&self, interval: Duration) -> Duration {
        let scrapes = u32::try_from(self.samples).unwrap_or(u32::MAX);
        self.scaled(self.window).max(interval.saturating_mul(scrapes))
    }

    /// Whether a source read every `interval` gives so few scrapes a window that the latest of them is worth a look of its
    /// own: else a storm would be called a scrape or two later than it could be.
    pub fn is_coarse(&self, interval: Duration) -> bool {
        let scrapes = u32::try_from(self.samples).unwrap_or(u32::MAX);
        interval.saturating_mul(scrapes) >= self.scaled(self.window)
    }

    /// What one window alone amounts to, against `baseline`.
    pub fn level(&self, counts: &Counts, baseline: f64) -> VerdictKind {
        let Some(ratio) = counts.retry_ratio() else { return VerdictKind::Calm };
        let baseline = baseline.min(self.highest_baseline);
        let harms = counts.denied > 0.0
            || counts.efficacy().is_some_and(|share| share < self.poor_efficacy)
            || counts.goodput().is_some_and(|share| share < self.poor_goodput);
        if harms
            && ratio >= self.storm_ratio.max(self.storm_times * baseline)
            && counts.retries >= self.storm_retries
            && counts.surely_retried() > self.storm_surely
        {
            return VerdictKind::Storm;
        }
        if ratio < self.elevated_ratio.max(self.elevated_times * baseline)
            || counts.retries < self.elevated_retries
        {
            return VerdictKind::Calm;
        }
        match counts.efficacy() {
            Some(share) if share > self.good_efficacy => VerdictKind::Recovering,
            _ => VerdictKind::Elevated,
        }
    }
}

/// How bad a verdict is: the worst operation speaks for all.
pub fn severity(kind: VerdictKind) -> u8 {
    match kind {
        VerdictKind::Calm => 0,
        VerdictKind::Unknown => 1,
        VerdictKind::Recovering => 2,
        VerdictKind::Elevated => 3,
        VerdictKind::Storm => 4,
        VerdictKind::Stuck => 5,
    }
}

/// What one evaluation stands on.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Evidence {
    /// The verdict's window.
    pub window: Counts,
    /// The latest scrape alone, where scrapes are [coarse](Rules::is_coarse).
    pub latest: Option<Counts>,
    /// First tries per second over the window.
    pub first_rate: f64,
}

impl From<Counts> for Evidence {
    fn from(window: Counts) -> Self {
        Self { window, ..Self::default() }
    }
}

impl Evidence {
    /// What it amounts to, and how many evaluations it is worth: a whole scrape interval of retries beyond doubt is worth
    /// two of a window that it only begins to fill.
    fn level(&self, rules: &Rules, baseline: f64) -> (VerdictKind, u32) {
        let window = rules.level(&self.window, baseline);
        match self.latest.filter(|latest| rules.level(latest, baseline) == VerdictKind::Storm) {
            Some(latest) if latest.surely_retried() >= 2.0 * rules.storm_ratio => (VerdictKind::Storm, 2),
            Some(_) => (VerdictKind::Storm, 1),
            None => (window, 1),
        }
    }
}

/// One evaluation, remembered.
#[derive(Debug, Clone, Copy)]
struct Past {
    at: Instant,
    /// ρ of a calm window, α of a storm's.
    measure: f64,
    first_rate: f64,
}

/// The memory of one operation's verdicts.
#[derive(Debug, Clone)]
pub struct Judge {
    kind: VerdictKind,
    since: DateTime<Utc>,
    storms_running: u32,
    lower_running: u32,
    /// The calm windows that make the baseline.
    calm: VecDeque<Past>,
    /// The storm that is on, from its first window.
    storm: VecDeque<Past>,
    /// When that window was.
    storm_began: Option<Instant>,
}

impl Judge {
    /// A judge who has seen nothing yet: calm, with an unknown baseline.
    pub fn new(wall: DateTime<Utc>) -> Self {
        Self {
            kind: VerdictKind::Calm,
            since: wall,
            storms_running: 0,
            lower_running: 0,
            calm: VecDeque::new(),
            storm: VecDeque::new(),
            storm_began: None,
        }
    }

    /// The verdict.
    pub fn kind(&self) -> VerdictKind {
        self.kind
    }

    /// When it became that.
    pub fn since(&self) -> DateTime<Utc> {
        self.since
    }

    /// The median ρ of the calm windows; 0 while there is none.
    pub fn baseline(&self) -> f64 {
        median(self.calm.iter().map(|past| past.measure)).unwrap_or(0.0)
    }

    /// First tries per second in calm windows, the median; `None` while there is none.
    pub fn usual_rate(&self) -> Option<f64> {
        median(self.calm.iter().map(|past| past.first_rate))
    }

    /// Evaluates the window that ends with the scrape at `at`.
    pub fn evaluate(
        &mut self,
        at: Instant,
        wall: DateTime<Utc>,
        evidence: &Evidence,
        rules: &Rules,
    ) -> VerdictKind {
        let (level, worth) = evidence.level(rules, self.baseline());
        let is_storm = level == VerdictKind::Storm;
        self.storms_running = if is_storm { self.storms_running + worth } else { 0 };
        let on = matches!(self.kind, VerdictKind::Storm | VerdictKind::Stuck);
        if is_storm {
            self.remember_storm(at, evidence, rules);
        } else if !on {
            self.storm.clear();
            self.storm_began = None;
        }
        let wanted = match level {
            VerdictKind::Storm if !on && self.storms_running < rules.confirmations => VerdictKind::Elevated,
            VerdictKind::Storm if on && self.is_stuck(at, evidence, rules) => VerdictKind::Stuck,
            other => other,
        };
        if severity(wanted) >= severity(self.kind) {
            self.lower_running = 0;
            self.turn(wanted, wall);
        } else {
            self.lower_running += 1;
            if self.lower_running >= rules.cooling {
                self.lower_running = 0;
                self.turn(wanted, wall);
            }
        }
        if let (VerdictKind::Calm, VerdictKind::Calm, Some(ratio)) =
            (self.kind, level, evidence.window.retry_ratio())
        {
            self.calm.push_back(Past { at, measure: ratio, first_rate: evidence.first_rate });
            forget(&mut self.calm, at, rules.scaled(rules.baseline_over));
        }
        self.kind
    }

    fn remember_storm(&mut self, at: Instant, evidence: &Evidence, rules: &Rules) {
        self.storm_began.get_or_insert(at);
        let load = evidence.window.amplification().unwrap_or(1.0);
        self.storm.push_back(Past { at, measure: load, first_rate: evidence.first_rate });
        forget(&mut self.storm, at, rules.scaled(rules.stuck_after));
    }

    /// Whether the storm goes on by itself: it has lasted, α does not fall, and the first tries are no more than usual. A
    /// dashboard that was opened in the middle of it does not know what is usual; then first tries that stay the same
    /// are none that drive it.
    fn is_stuck(&self, at: Instant, evidence: &Evidence, rules: &Rules) -> bool {
        // What was called stuck stays so until it moves twice as far: chance alone moves α by a tenth.
        let slack = if self.kind == VerdictKind::Stuck { 2.0 } else { 1.0 };
        let lasted = self
            .storm_began
            .is_some_and(|began| at.saturating_duration_since(began) >= rules.scaled(rules.stuck_after));
        let load = evidence.window.amplification().unwrap_or(1.0);
        let before = median(self.storm.iter().map(|past| past.measure)).unwrap_or(load);
        let usual = self.usual_rate().or_else(|| median(self.storm.iter().map(|past| past.first_rate)));
        let steady = usual.is_some_and(|usual| {
            usual > 0.0 && (evidence.first_rate / usual - 1.0).abs() <= slack * rules.stuck_drift
        });
        lasted && steady && load >= before * (1.0 - slack * rules.stuck_fall)
    }

    fn turn(&mut self, kind: VerdictKind, wall: DateTime<Utc>) {
        if kind != self.kind {
            self.kind = kind;
            self.since = wall;
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

fn forget(past: &mut VecDeque<Past>, at: Instant, older: Duration) {
    while past.front().is_some_and(|first| at.saturating_duration_since(first.at) > older) {
        past.pop_front();
    }
}
