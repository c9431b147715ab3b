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

/// The memory of one operation's verdicts.
#[derive(Debug, Clone)]
pub struct Judge {
    kind: VerdictKind,
    since: DateTime<Utc>,
    storms_running: u32,
    lower_running: u32,
    calm_ratios: VecDeque<(Instant, f64)>,
}

impl Judge {
    /// A judge who has seen nothing yet: calm, with an unknown baseline.
    pub fn new(wall: DateTime<Utc>) -> Self {
        Self {
            kind: VerdictKind::Calm,
            since: wall,
            storms_running: 0,
            lower_running: 0,
            calm_ratios: VecDeque::new(),
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
        let mut ratios: Vec<f64> = self.calm_ratios.iter().map(|(_, ratio)| *ratio).collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(0.0)
    }

    /// Evaluates the window that ends with the scrape at `at`.
    pub fn evaluate(
        &mut self,
        at: Instant,
        wall: DateTime<Utc>,
        counts: &Counts,
        rules: &Rules,
    ) -> VerdictKind {
        let level = rules.level(counts, self.baseline());
        self.storms_running = if level == VerdictKind::Storm { self.storms_running + 1 } else { 0 };
        let wanted = match level {
            VerdictKind::Storm
                if self.kind != VerdictKind::Storm && self.storms_running < rules.confirmations =>
            {
                VerdictKind::Elevated
            }
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
        if let (VerdictKind::Calm, VerdictKind::Calm, Some(ratio)) = (self.kind, level, counts.retry_ratio())
        {
            self.calm_ratios.push_back((at, ratio));
            let oldest = rules.scaled(rules.baseline_over);
            while self
                .calm_ratios
                .front()
                .is_some_and(|(then, _)| at.saturating_duration_since(*then) > oldest)
            {
                self.calm_ratios.pop_front();
            }
        }
        self.kind
    }

    fn turn(&mut self, kind: VerdictKind, wall: DateTime<Utc>) {
        if kind != self.kind {
            self.kind = kind;
            self.since = wall;
        }
    }
}
