//! A small world of callers whose counters rise as told, seen by a collector that is handed its time.

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use redrive::{
    clock,
    metrics::{
        collector::Collector,
        exposition,
        prometheus::{Instance, Instances},
        scrape::{ScrapeFault, ScrapeResult, Scraped},
        signals::{Signals, VerdictKind},
        verdict::Rules,
    },
};

pub(super) const INTERVAL: Duration = Duration::from_secs(2);
pub(super) const HOOK: &str = "github.create_hook";

/// What a caller does between two scrapes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    pub(super) first: u32,
    pub(super) first_ok: u32,
    pub(super) retries: u32,
    pub(super) retries_ok: u32,
}

impl Traffic {
    pub(super) const CALM: Self = Self { first: 20, first_ok: 20, retries: 0, retries_ok: 0 };
    pub(super) const STORM: Self = Self { first: 20, first_ok: 1, retries: 34, retries_ok: 1 };
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Ours,
    Legacy,
}

/// One process.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) name: &'static str,
    pub(super) style: Style,
    /// `None`: it does not answer.
    pub(super) budget: Option<f64>,
    total: Traffic,
}

impl Process {
    pub(super) fn new(name: &'static str, style: Style) -> Self {
        Self { name, style, budget: None, total: Traffic { first: 900, first_ok: 900, ..Traffic::default() } }
    }

    pub(super) fn does(&mut self, traffic: Traffic) {
        self.total.first += traffic.first;
        self.total.first_ok += traffic.first_ok;
        self.total.retries += traffic.retries;
        self.total.retries_ok += traffic.retries_ok;
    }

    pub(super) fn restarts(&mut self) {
        self.total = Traffic::default();
    }

    pub(super) fn exposition(&self) -> String {
        let all = self.total;
        let (metric, attempt, failed) = match self.style {
            Style::Ours => ("redrive_attempts_total", "kind", "transient"),
            Style::Legacy => ("http_client_requests_total", "attempt", "failure"),
        };
        let mut text = format!("# TYPE {metric} counter\n");
        for (kind, outcome, count) in [
            ("first", "success", all.first_ok),
            ("first", failed, all.first - all.first_ok),
            ("retry", "success", all.retries_ok),
            ("retry", failed, all.retries - all.retries_ok),
        ] {
            text += &format!(
                "{metric}{{operation=\"{HOOK}\",{attempt}=\"{kind}\",outcome=\"{outcome}\"}} {count}\n"
            );
        }
        if let Some(left) = self.budget {
            text += &format!("redrive_retry_budget_remaining_ratio{{operation=\"{HOOK}\"}} {left}\n");
        }
        text
    }

    pub(super) fn scraped(&self) -> ScrapeResult {
        let read = exposition::parse(&self.exposition()).expect("the world speaks well");
        self.result(Ok(Scraped::Exposition(read)))
    }

    pub(super) fn silent(&self) -> ScrapeResult {
        self.result(Err(ScrapeFault("connection refused".to_owned())))
    }

    fn result(&self, outcome: Result<Scraped, ScrapeFault>) -> ScrapeResult {
        ScrapeResult {
            name: self.name.to_owned(),
            url: format!("http://{}/metrics", self.address()),
            address: self.address(),
            took: Duration::from_millis(3),
            outcome,
        }
    }

    pub(super) fn address(&self) -> String {
        format!("{}:9000", self.name)
    }
}

/// The collector under test and the two clocks it is handed.
pub(super) struct World {
    pub(super) collector: Collector,
    pub(super) at: Instant,
    pub(super) wall: DateTime<Utc>,
    pub(super) processes: Vec<Process>,
}

impl World {
    pub(super) fn new(processes: Vec<Process>) -> Self {
        Self::with(Rules::default(), processes)
    }

    pub(super) fn with(rules: Rules, processes: Vec<Process>) -> Self {
        let (at, wall) = (clock::instant() + Duration::from_secs(7_200), DateTime::UNIX_EPOCH);
        Self { collector: Collector::new(rules, INTERVAL, at, wall), at, wall, processes }
    }

    pub(super) fn passes(&mut self, time: Duration) {
        self.at += time;
        self.wall += TimeDelta::from_std(time).expect("short");
    }

    /// One interval in which every process does its `traffic`, then a scrape of all.
    pub(super) fn step(&mut self, traffic: &[Traffic]) -> Signals {
        self.passes(INTERVAL);
        for (process, traffic) in self.processes.iter_mut().zip(traffic) {
            process.does(*traffic);
        }
        let scrapes = self.processes.iter().map(Process::scraped).collect();
        self.collector.observe(self.at, self.wall, scrapes);
        self.collector.signals()
    }

    /// The verdicts of `steps` such intervals.
    pub(super) fn run(&mut self, steps: usize, traffic: &[Traffic]) -> Vec<VerdictKind> {
        (0..steps).map(|_| self.step(traffic).verdict.kind).collect()
    }

    /// Scrapes in which nobody answers.
    pub(super) fn silence(&mut self, time: Duration) -> Signals {
        self.passes(time);
        let scrapes = self.processes.iter().map(Process::silent).collect();
        self.collector.observe(self.at, self.wall, scrapes);
        self.collector.signals()
    }
}

/// What a Prometheus server answers at `asked_at` about a process it scraped at the given times.
pub(super) fn through_prometheus(
    asked_at: DateTime<Utc>,
    job: &str,
    instance: &str,
    scrapes: &[(DateTime<Utc>, String)],
) -> ScrapeResult {
    let read = |text: &String| exposition::parse(text).expect("the world speaks well").samples;
    let scrapes = scrapes.iter().map(|(at, text)| (*at, read(text))).collect();
    let all = vec![Instance { job: job.to_owned(), instance: instance.to_owned(), scrapes }];
    ScrapeResult {
        name: "prometheus".to_owned(),
        url: "http://prometheus:9090/".to_owned(),
        address: "prometheus:9090".to_owned(),
        took: Duration::from_millis(9),
        outcome: Ok(Scraped::Instances(Instances { asked_at, all, warnings: Vec::new() })),
    }
}
