//! The collector: it is fed what was scraped and asked what that means. No I/O and no clock of its own.
//!
//! What one process said is kept in `process`, what follows for each operation in `judgement`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::{
    chart::{self, Drawn},
    exposition::Exposition,
    judgement::Bench,
    keys,
    process::Process,
    prometheus::{Instances, Prometheus},
    root,
    scrape::{self, ScrapeResult, Scraped, Target},
    sentence,
    signals::{CircuitSignal, OperationSignal, Signals, TargetStatus, Verdict, VerdictKind},
    source::{Owner, Presets},
    target,
    verdict::Rules,
};

/// Everything the metrics have said so far.
pub struct Collector {
    rules: Rules,
    presets: Presets,
    interval: Duration,
    begun: Instant,
    now: (Instant, DateTime<Utc>),
    /// By name and URL: two targets may share a host and port.
    targets: BTreeMap<String, TargetStatus>,
    /// The addresses scraped here: what Prometheus says of them is left out, or they would count twice.
    scraped_here: BTreeSet<String>,
    /// Where each Prometheus server's clock stands on ours.
    anchors: BTreeMap<String, Anchor>,
    processes: BTreeMap<String, Process>,
    bench: Bench,
}

/// One moment on our monotonic clock and on a server's wall clock.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    here: Instant,
    there: DateTime<Utc>,
}

impl Anchor {
    fn here(&self, there: DateTime<Utc>) -> Option<Instant> {
        match (there - self.there).to_std() {
            Ok(later) => self.here.checked_add(later),
            Err(_) => self.here.checked_sub((self.there - there).to_std().ok()?),
        }
    }
}

impl Collector {
    /// A collector that is fed about every `interval`, from `at` (`wall` on the wall clock) on.
    pub fn new(rules: Rules, interval: Duration, at: Instant, wall: DateTime<Utc>) -> Self {
        Self {
            bench: Bench::new(rules.clone(), at, interval),
            rules,
            presets: Presets::default(),
            interval,
            begun: at,
            now: (at, wall),
            targets: BTreeMap::new(),
            scraped_here: BTreeSet::new(),
            anchors: BTreeMap::new(),
            processes: BTreeMap::new(),
        }
    }

    /// Reads what targets say by `presets` instead of those that come along.
    #[must_use]
    pub fn reading(mut self, presets: Presets) -> Self {
        self.presets = presets;
        self
    }

    /// Names a target that will be scraped, so that it is listed before it answers.
    pub fn expect(&mut self, target: &Target) {
        self.target(target.name(), &target.shown());
        self.scraped_here.insert(target.address());
    }

    /// Names a Prometheus server that will be asked, so that it is listed before it answers.
    pub fn expect_server(&mut self, server: &Prometheus) {
        self.target(&server.name(), &server.shown());
    }

    /// Whom it watches from now on, besides others that are listed by name and URL: whoever is not among them is listed
    /// no longer; what it said stays for as long as anything does.
    pub fn watch(&mut self, targets: &[Target], others: &[(String, String)]) {
        let targets =
            targets.iter().map(|target| (target.name().to_owned(), target.shown(), target.address()));
        let targets: Vec<_> = targets.collect();
        self.scraped_here = targets.iter().map(|(_, _, address)| address.clone()).collect();
        let all = targets.iter().map(|(name, url, _)| (name, url)).chain(others.iter().map(|(n, u)| (n, u)));
        let listed: BTreeSet<String> = all.clone().map(|(name, url)| key(name, url)).collect();
        self.targets.retain(|key, _| listed.contains(key));
        for (name, url) in all {
            self.target(name, url);
        }
    }

    /// From now on it is fed about every `interval`.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Takes what was scraped until `at` (`wall` on the wall clock). To be called at every interval, also when nothing
    /// answered: that is how data grows stale.
    pub fn observe(&mut self, at: Instant, wall: DateTime<Utc>, scrapes: Vec<ScrapeResult>) {
        self.now = (at, wall);
        let mut spoke = BTreeSet::new();
        for result in scrapes {
            let key = key(&result.name, &result.url);
            let status = self.target(&result.name, &result.url);
            status.took = result.took;
            status.error = result.outcome.as_ref().err().map(|fault| fault.0.as_str().into());
            match result.outcome {
                Err(_) => {}
                Ok(Scraped::Exposition(exposition)) => {
                    status.last_ok = Some(wall);
                    status.samples = exposition.samples.len();
                    status.warnings = exposition.unreadable;
                    self.scraped_here.insert(result.address);
                    if self.take(&result.name, &result.url, result.took, &exposition) {
                        spoke.insert(key);
                    }
                }
                Ok(Scraped::Instances(instances)) => {
                    status.last_ok = Some(wall);
                    status.samples = instances.samples();
                    if !instances.warnings.is_empty() {
                        let said = instances.warnings.join("; ");
                        status.error = Some(format!("it answered only in part: {said}").as_str().into());
                    }
                    self.take_instances(&key, &instances);
                }
            }
        }
        let forgotten = self.rules.forgotten_after;
        self.processes.retain(|_, process| at.saturating_duration_since(process.read_at) <= forgotten);
        self.bench.judge(&self.processes, self.now, &spoke);
    }

    /// What it all means, as of the last [`Collector::observe`].
    pub fn signals(&self) -> Signals {
        let (kind, operation, since) = self.bench.overall();
        let operations = match operation {
            Some(name) => vec![name],
            None => self.bench.operations(&self.processes).into_iter().collect(),
        };
        let callers: Vec<_> = operations
            .iter()
            .flat_map(|name| self.bench.callers(&self.processes, self.now.0, name))
            .collect();
        let baseline = operation.map_or(0.0, |name| self.bench.baseline(name));
        let sentence = match kind {
            VerdictKind::Unknown => self.why_unknown(),
            _ => sentence::proof(&callers),
        };
        let proven = if operation.is_some() { callers } else { Vec::new() };
        // A word comes down a few windows after what it told of is over: nothing has to be done about that any more.
        let window_of = |name: &str| self.bench.callers(&self.processes, self.now.0, name);
        let counts = operation.map(|name| window_of(name).iter().map(|caller| caller.counts).sum());
        let over = counts.is_some_and(|counts| self.rules.level(&counts, baseline) == VerdictKind::Calm);
        let levers = match over {
            true => sentence::coming_down(),
            false => sentence::levers(kind, &proven, baseline),
        };
        let live = |process: &Process| !self.bench.is_stale(process, self.now.0);
        let window = |process: &Process, name: &str| self.bench.window(process, self.now.0, name);
        let root = operation.and_then(|name| root::root(&self.processes, &self.rules, name, window));
        let column = self.processes.values().filter(|p| live(p)).map(|p| p.interval).max();
        Signals {
            verdict: Verdict {
                kind,
                operation: operation.map(Into::into),
                sentence: sentence.as_str().into(),
                callers: sentence::shares(&proven, baseline)
                    .into_iter()
                    .map(|(name, share)| (name.as_str().into(), share))
                    .collect(),
                since,
                began: operation.and_then(|name| self.bench.onset(name)),
                root: root.as_deref().map(Into::into),
                levers,
            },
            operations: self.rows(),
            circuits: self.circuits(),
            keys: keys::signals(self.processes.values().map(|process| &process.keys), self.now.0),
            chart: chart::points(&Drawn {
                now: self.now,
                origin: self.begun,
                column: column.unwrap_or(self.interval).max(Duration::from_secs(1)),
                processes: self.processes.values().map(|p| (&p.history, live(p))).collect(),
            }),
            targets: self.targets.values().cloned().collect(),
        }
    }

    fn circuits(&self) -> Vec<CircuitSignal> {
        let (now, wall) = self.now;
        let mut all = Vec::new();
        for process in self.processes.values().filter(|process| !self.bench.is_stale(process, now)) {
            let age = chrono::TimeDelta::from_std(now.saturating_duration_since(process.read_at));
            all.extend(process.circuits.iter().map(|(name, seen)| CircuitSignal {
                circuit: name.as_str().into(),
                process: process.name.as_str().into(),
                state: seen.to_string().as_str().into(),
                severity: seen.severity(),
                failure_rate: process.failure_rates.get(name).copied(),
                ours: process.owner == Some(Owner::Ours),
                read_at: age.map_or(wall, |age| wall - age),
            }));
        }
        all
    }

    fn target(&mut self, name: &str, url: &str) -> &mut TargetStatus {
        self.targets.entry(key(name, url)).or_insert_with(|| TargetStatus {
            name: name.into(),
            url: url.into(),
            last_ok: None,
            error: None,
            warnings: 0,
            samples: 0,
            preset: None,
            took: Duration::ZERO,
        })
    }

    fn take(&mut self, name: &str, url: &str, took: Duration, exposition: &Exposition) -> bool {
        let (at, wall) = self.now;
        let new = || Process::new(name, self.interval, at);
        let process = self.processes.entry(key(name, url)).or_insert_with(new);
        // One that answers slowly is asked less often.
        process.interval = self.interval + if took > self.interval / 2 { took } else { Duration::ZERO };
        let news = process.read(at, wall, &exposition.samples, &self.presets);
        let (several, preset) = (process.is_several(), process.preset.as_deref().map(Into::into));
        let status = self.target(name, url);
        status.preset = preset;
        if several {
            status.error =
                Some("it is a load balancer, not one process: scrape each process behind it".into());
        }
        news
    }

    /// Takes what a server scraped, scrape by scrape in the order of time, and judges after each as if it had been
    /// scraped here then: so the first answer already knows when a storm began.
    fn take_instances(&mut self, server: &str, instances: &Instances) {
        let (at, wall) = self.now;
        let anchor = self.anchor(server, instances.asked_at);
        let mut rounds: BTreeMap<Instant, Vec<(String, usize)>> = BTreeMap::new();
        let mut scrapes = Vec::new();
        for (instance, name) in instances.named() {
            let key = format!("{server} {} {}", instance.job, instance.instance);
            if self.scraped_here.contains(&target::address(&instance.instance)) {
                self.processes.remove(&key);
                continue;
            }
            for (scraped_at, samples) in &instance.scrapes {
                let known = self.processes.get(&key);
                match anchor.here(*scraped_at) {
                    Some(then) if known.is_none_or(|process| !process.has_read(then)) => {
                        rounds.entry(then).or_default().push((key.clone(), scrapes.len()));
                        scrapes.push(samples);
                    }
                    _ => {}
                }
            }
            let usual = instance.interval();
            let process = self.processes.entry(key).or_insert_with(|| {
                // Prometheus's own default, until two scrapes tell.
                Process::new(&name, usual.unwrap_or(Duration::from_secs(60)), at)
            });
            process.interval = usual.unwrap_or(process.interval);
            process.name = name;
        }
        for (then, round) in rounds {
            let before = chrono::TimeDelta::from_std(at.saturating_duration_since(then)).unwrap_or_default();
            let mut spoke = BTreeSet::new();
            for (key, scrape) in round {
                let read =
                    |process: &mut Process| process.read(then, wall - before, scrapes[scrape], &self.presets);
                if self.processes.get_mut(&key).is_some_and(read) {
                    spoke.insert(key);
                }
            }
            self.bench.judge(&self.processes, (then, wall - before), &spoke);
        }
    }

    /// Where the server's clock stands on ours. It is kept, so that the distances between scrapes are the server's
    /// own, until the two have drifted apart (a suspended machine): then its processes begin anew.
    fn anchor(&mut self, server: &str, asked_at: DateTime<Utc>) -> Anchor {
        let (now, _) = self.now;
        let fresh = Anchor { here: now, there: asked_at };
        let known = *self.anchors.entry(server.to_owned()).or_insert(fresh);
        let apart = known.here(asked_at).map(|then| then.max(now).duration_since(then.min(now)));
        if apart.is_some_and(|apart| apart <= scrape::TIMEOUT * 2) {
            return known;
        }
        let prefix = format!("{server} ");
        self.processes.retain(|key, _| !key.starts_with(&prefix));
        self.anchors.insert(server.to_owned(), fresh);
        fresh
    }

    fn why_unknown(&self) -> String {
        let silent = self.targets.values().filter(|status| status.error.is_some()).count();
        let stale = self.processes.values().filter(|process| self.bench.is_stale(process, self.now.0));
        let stale: Vec<&str> = stale.map(|process| process.name.as_str()).collect();
        sentence::unknown(self.targets.len(), silent, &stale, self.rules.samples)
    }

    fn rows(&self) -> Vec<OperationSignal> {
        let mut rows = Vec::new();
        for operation in self.bench.operations(&self.processes) {
            let verdict = self.bench.kind_of(&self.processes, self.now.0, operation);
            for process in self.processes.values() {
                let Some(caller) = self.bench.caller(process, self.now.0, operation) else { continue };
                let window = self.bench.window(process, self.now.0, operation);
                let per_second = |count: Option<f64>| count.map(|count| window.per_second(count));
                let stale = self.bench.is_stale(process, self.now.0);
                rows.push(OperationSignal {
                    operation: operation.into(),
                    caller: caller.name.as_str().into(),
                    first_rate: per_second(window.tally.first()),
                    retry_rate: per_second(window.tally.retries()),
                    attempt_rate: per_second(window.tally.attempts()),
                    retry_ratio: caller.counts.retry_ratio(),
                    amplification: caller.counts.amplification(),
                    efficacy: caller.counts.efficacy(),
                    budget_remaining: caller.budget,
                    verdict: if stale { VerdictKind::Unknown } else { verdict },
                });
            }
        }
        rows
    }
}

fn key(name: &str, url: &str) -> String {
    format!("{name} {url}")
}
