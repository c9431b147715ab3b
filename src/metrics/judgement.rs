//! The bench: every operation's judge, across all the processes that call it, and the one verdict over them all.
//! Pure. It is handed the processes and never changes them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::{
    arithmetic::Counts,
    history::Window,
    process::Process,
    sentence::Caller,
    signals::VerdictKind,
    verdict::{Evidence, Judge, Rules, severity},
};

/// Every watched process, by key.
type Processes = BTreeMap<String, Process>;

/// The verdict over everything, the operation it is about, and when it became that.
struct Overall {
    kind: VerdictKind,
    operation: Option<String>,
    since: Option<DateTime<Utc>>,
}

/// The judges of all operations.
pub(super) struct Bench {
    rules: Rules,
    judges: BTreeMap<String, Judge>,
    onsets: BTreeMap<String, DateTime<Utc>>,
    overall: Overall,
    /// Before this, silence may be nothing but a beginning.
    settled: Option<Instant>,
}

impl Bench {
    pub(super) fn new(rules: Rules, begun: Instant, interval: Duration) -> Self {
        let rounds = u32::try_from(rules.samples.saturating_sub(1)).unwrap_or(u32::MAX);
        Self {
            rules,
            judges: BTreeMap::new(),
            onsets: BTreeMap::new(),
            overall: Overall { kind: VerdictKind::Unknown, operation: None, since: None },
            settled: begun.checked_add(interval.saturating_mul(rounds)),
        }
    }

    /// The verdict over everything, the operation it is about, and when it became that.
    pub(super) fn overall(&self) -> (VerdictKind, Option<&str>, Option<DateTime<Utc>>) {
        (self.overall.kind, self.overall.operation.as_deref(), self.overall.since)
    }

    /// The usual ρ of an operation; 0 while unknown.
    pub(super) fn baseline(&self, operation: &str) -> f64 {
        self.judges.get(operation).map_or(0.0, Judge::baseline)
    }

    /// Whether a process's last word is too old to judge by.
    pub(super) fn is_stale(&self, process: &Process, now: Instant) -> bool {
        process.is_stale(now, self.rules.stale_after)
    }

    /// Every operation that somebody counts.
    pub(super) fn operations<'p>(&self, processes: &'p Processes) -> BTreeSet<&'p str> {
        processes.values().flat_map(|process| process.history.operations()).map(String::as_str).collect()
    }

    /// Who calls `operation`, by fresh data, over the verdict's window.
    pub(super) fn callers(&self, processes: &Processes, now: Instant, operation: &str) -> Vec<Caller> {
        let fresh = processes.values().filter(|process| !self.is_stale(process, now));
        fresh.filter_map(|process| self.caller(process, now, operation)).collect()
    }

    /// What `process` has to do with `operation`, if anything.
    pub(super) fn caller(&self, process: &Process, now: Instant, operation: &str) -> Option<Caller> {
        process.history.operations().contains(operation).then(|| {
            let window = self.window(process, now, operation);
            Caller {
                name: process.name.clone(),
                owner: process.owner,
                counts: window.counts(),
                estimated: window.estimated,
                budget: process.budgets.get(operation).copied(),
            }
        })
    }

    /// The verdict's window of one process. It ends with its last scrape: what was not scraped yet is no silence.
    pub(super) fn window(&self, process: &Process, now: Instant, operation: &str) -> Window {
        process.history.window(operation, process.read_at.min(now), self.rules.window_for(process.interval))
    }

    /// What a verdict over `operation` stands on, by fresh data.
    fn evidence(&self, processes: &Processes, at: Instant, operation: &str) -> Evidence {
        let mut evidence = Evidence::default();
        let mut latest = Counts::default();
        let mut coarse = true;
        for process in processes.values().filter(|process| !self.is_stale(process, at)) {
            let window = self.window(process, at, operation);
            evidence.window += window.counts();
            evidence.first_rate += window.tally.first().map_or(0.0, |first| window.per_second(first));
            let last = process.history.window(operation, process.read_at.min(at), Duration::from_nanos(1));
            latest += last.counts();
            coarse &= last.samples == 0 || self.rules.is_coarse(process.interval);
        }
        evidence.latest = coarse.then_some(latest);
        evidence
    }

    /// Keeps when a trouble began from the moment it is noticed until it is over.
    fn notice_onset(&mut self, processes: &Processes, (at, wall): (Instant, DateTime<Utc>), operation: &str) {
        let kind = self.judges.get(operation).map_or(VerdictKind::Calm, Judge::kind);
        if matches!(kind, VerdictKind::Calm | VerdictKind::Unknown) {
            self.onsets.remove(operation);
            return;
        }
        if self.onsets.contains_key(operation) {
            return;
        }
        let line = self.rules.elevated_ratio.max(self.rules.elevated_times * self.baseline(operation));
        let fresh = processes.values().filter(|process| !self.is_stale(process, at));
        let first = fresh.filter_map(|process| process.history.retried_since(operation, line)).min();
        let before = first.map(|first| at.saturating_duration_since(first)).unwrap_or_default();
        let before = chrono::TimeDelta::from_std(before).unwrap_or_default();
        self.onsets.insert(operation.to_owned(), wall - before);
    }

    /// When the trouble with `operation` began: the first scrape interval of the retries that led to its verdict.
    pub(super) fn onset(&self, operation: &str) -> Option<DateTime<Utc>> {
        self.onsets.get(operation).copied()
    }

    /// Evaluates every operation of which one of the processes `spoke` has told something new, then all together.
    pub(super) fn judge(
        &mut self,
        processes: &Processes,
        (at, wall): (Instant, DateTime<Utc>),
        spoke: &BTreeSet<String>,
    ) {
        let operations = self.operations(processes);
        self.judges.retain(|operation, _| operations.contains(operation.as_str()));
        self.onsets.retain(|operation, _| operations.contains(operation.as_str()));
        for operation in operations {
            let calls = |process: &Process| process.history.operations().contains(operation);
            let news = spoke.iter().filter_map(|key| processes.get(key)).any(calls);
            let fresh = processes.values().filter(|process| !self.is_stale(process, at) && calls(process));
            let samples = fresh.map(|process| self.window(process, at, operation).samples).max();
            if news && samples.is_some_and(|samples| samples >= self.rules.samples) {
                let evidence = self.evidence(processes, at, operation);
                let judge = self.judges.entry(operation.to_owned()).or_insert_with(|| Judge::new(wall));
                judge.evaluate(at, wall, &evidence, &self.rules);
                self.notice_onset(processes, (at, wall), operation);
            }
        }
        self.settle(processes, at, wall);
    }

    /// One operation's verdict: its judge's, unless the data is stale, or would be calm only because part of it is.
    pub(super) fn kind_of(&self, processes: &Processes, now: Instant, operation: &str) -> VerdictKind {
        let calls = processes.values().filter(|process| process.history.operations().contains(operation));
        let (stale, fresh): (Vec<_>, Vec<_>) = calls.partition(|process| self.is_stale(process, now));
        match self.judges.get(operation).map(Judge::kind) {
            None => VerdictKind::Unknown,
            Some(_) if fresh.is_empty() => VerdictKind::Unknown,
            Some(VerdictKind::Calm) if !stale.is_empty() => VerdictKind::Unknown,
            Some(kind) => kind,
        }
    }

    /// The worst operation speaks for all; of several equally bad ones the one with the most retries.
    fn settle(&mut self, processes: &Processes, now: Instant, wall: DateTime<Utc>) {
        let worst = self
            .operations(processes)
            .into_iter()
            .map(|operation| {
                let callers = self.callers(processes, now, operation);
                let retries: f64 = callers.iter().map(|caller| caller.counts.retries).sum();
                (self.kind_of(processes, now, operation), retries, operation)
            })
            .max_by(|a, b| severity(a.0).cmp(&severity(b.0)).then(a.1.total_cmp(&b.1)));
        let silent = processes.values().all(|process| self.is_stale(process, now));
        let starting = self.settled.is_some_and(|settled| now < settled);
        let (kind, operation) = match worst {
            Some((VerdictKind::Unknown, ..)) => (VerdictKind::Unknown, None),
            Some((VerdictKind::Calm, ..)) => (VerdictKind::Calm, None),
            Some((kind, _, operation)) => (kind, Some(operation.to_owned())),
            None if silent || starting => (VerdictKind::Unknown, None),
            None => (VerdictKind::Calm, None),
        };
        let since = match operation.as_ref().and_then(|name| self.judges.get(name)) {
            Some(judge) => Some(judge.since()),
            None if self.overall.kind == kind => self.overall.since,
            None => Some(wall),
        };
        self.overall = Overall { kind, operation, since };
    }
}
