//! The collector: it is fed what was scraped and asked what that means. No I/O and no clock of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};

use super::{
    chart::{self, Drawn},
    process::Process,
    prometheus::{Instance, Instances},
    scrape::{self, ScrapeResult, Scraped, Target},
    sentence::{self, Caller},
    signals::{OperationSignal, Signals, TargetStatus, Verdict, VerdictKind},
    verdict::{Judge, Rules, severity},
};

/// Everything the metrics have said so far.
pub struct Collector {
    rules: Rules,
    interval: Duration,
    begun: Instant,
    now: (Instant, DateTime<Utc>),
    targets: BTreeMap<String, Known>,
    processes: BTreeMap<String, Process>,
    judges: BTreeMap<String, Judge>,
    /// Where each Prometheus server's clock stands on ours.
    anchors: BTreeMap<String, (Instant, DateTime<Utc>)>,
    overall: (VerdictKind, Option<String>, Option<DateTime<Utc>>),
}

struct Known {
    status: TargetStatus,
    /// Scraped here, so that what Prometheus says of the same address is left out.
    direct: bool,
}

/// How one process sees one of its circuits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CircuitSeen {
    /// The process.
    pub process: String,
    /// The circuit: an operation.
    pub circuit: String,
    /// One of the words of `redrive_circuit_state`.
    pub state: String,
}

impl Collector {
    /// A collector that is fed about every `interval`, from `at` (`wall` on the wall clock) on.
    pub fn new(rules: Rules, interval: Duration, at: Instant, wall: DateTime<Utc>) -> Self {
        Self {
            rules,
            interval,
            begun: at,
            now: (at, wall),
            targets: BTreeMap::new(),
            processes: BTreeMap::new(),
            judges: BTreeMap::new(),
            anchors: BTreeMap::new(),
            overall: (VerdictKind::Unknown, None, None),
        }
    }

    /// Names a target that will be scraped, so that it is listed before it answers.
    pub fn expect(&mut self, target: &Target) {
        self.known(target.address(), target.name(), &target.shown()).direct = true;
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
            self.take(result, &mut spoke);
        }
        let forgotten = self.rules.forgotten_after;
        self.processes.retain(|_, process| at.saturating_duration_since(process.read_at) <= forgotten);
        self.judge(&spoke);
    }

    /// What it all means, as of the last [`Collector::observe`].
    pub fn signals(&self) -> Signals {
        let now = self.now.0;
        let (kind, operation, since) = self.overall.clone();
        let callers = operation.as_deref().map(|name| self.callers(name, false)).unwrap_or_default();
        let baseline = operation.as_ref().and_then(|name| self.judges.get(name)).map_or(0.0, Judge::baseline);
        let column = self.processes.values().filter(|p| !self.stale(p)).map(|p| p.interval).max();
        Signals {
            verdict: Verdict {
                kind,
                operation: operation.as_deref().map(Into::into),
                sentence: self.sentence(kind, &callers).as_str().into(),
                callers: sentence::shares(&callers, baseline)
                    .into_iter()
                    .map(|(name, share)| (name.as_str().into(), share))
                    .collect(),
                since,
                levers: sentence::levers(kind, &callers, baseline),
            },
            operations: self.rows(now),
            chart: chart::points(&Drawn {
                now: self.now,
                origin: self.begun,
                column: column.unwrap_or(self.interval).max(Duration::from_secs(1)),
                processes: self.processes.values().map(|p| (&p.history, !self.stale(p))).collect(),
            }),
            targets: self.targets.values().map(|known| known.status.clone()).collect(),
        }
    }

    /// The circuits of every process that tells, freshly.
    pub fn circuits(&self) -> Vec<CircuitSeen> {
        let fresh = self.processes.values().filter(|process| !self.stale(process));
        fresh
            .flat_map(|process| {
                process.circuits.iter().map(|(circuit, state)| CircuitSeen {
                    process: process.name.clone(),
                    circuit: circuit.clone(),
                    state: state.clone(),
                })
            })
            .collect()
    }

    fn known(&mut self, address: String, name: &str, url: &str) -> &mut Known {
        self.targets.entry(address).or_insert_with(|| Known {
            direct: false,
            status: TargetStatus {
                name: name.into(),
                url: url.into(),
                last_ok: None,
                error: None,
                warnings: 0,
                samples: 0,
                took: Duration::ZERO,
            },
        })
    }

    fn take(&mut self, result: ScrapeResult, spoke: &mut BTreeSet<String>) {
        let (at, wall) = self.now;
        let status = &mut self.known(result.address.clone(), &result.name, &result.url).status;
        status.took = result.took;
        status.error = result.outcome.as_ref().err().map(|fault| fault.0.as_str().into());
        match result.outcome {
            Err(_) => {}
            Ok(Scraped::Exposition(exposition)) => {
                status.last_ok = Some(wall);
                status.samples = exposition.samples.len();
                status.warnings = exposition.unreadable;
                self.known(result.address.clone(), &result.name, &result.url).direct = true;
                let interval = self.interval;
                let process = self.process(&result.address, &result.name, interval);
                process.interval = interval;
                if process.read(at, &exposition.samples) {
                    spoke.insert(result.address);
                }
            }
            Ok(Scraped::Instances(instances)) => {
                status.last_ok = Some(wall);
                status.warnings = 0;
                status.samples = instances
                    .all
                    .iter()
                    .filter_map(|instance| instance.scrapes.last())
                    .map(|(_, samples)| samples.len())
                    .sum();
                self.take_instances(&result.address, instances, spoke);
            }
        }
    }

    fn take_instances(&mut self, server: &str, instances: Instances, spoke: &mut BTreeSet<String>) {
        let anchor = self.anchor(server, instances.asked_at);
        let mut per_job: BTreeMap<String, usize> = BTreeMap::new();
        for instance in &instances.all {
            *per_job.entry(instance.job.clone()).or_default() += 1;
        }
        for instance in &instances.all {
            let address = scrape::address(&instance.instance);
            if self.targets.get(&address).is_some_and(|known| known.direct) {
                self.processes.remove(&via(server, instance));
                continue;
            }
            let name = match per_job.get(&instance.job) {
                _ if instance.job.is_empty() => instance.instance.clone(),
                Some(1) => instance.job.clone(),
                _ => format!("{}/{}", instance.job, instance.instance),
            };
            let key = via(server, instance);
            let fallback = self.interval.max(Duration::from_secs(15));
            let process = self.process(&key, &name, fallback);
            process.name = name;
            if let Some(interval) = instance.interval() {
                process.interval = interval;
            }
            for (scraped_at, samples) in &instance.scrapes {
                let Some(at) = on_our_clock(anchor, *scraped_at) else { continue };
                if process.read(at, samples) {
                    spoke.insert(key.clone());
                }
            }
        }
    }

    /// Where the server's clock stands on ours. It is kept, so that the distances between scrapes are the server's
    /// own, until the two have drifted apart (a suspended machine): then its processes begin anew.
    fn anchor(&mut self, server: &str, asked_at: DateTime<Utc>) -> (Instant, DateTime<Utc>) {
        let fresh = (self.now.0, asked_at);
        let known = *self.anchors.entry(server.to_owned()).or_insert(fresh);
        let drifted = on_our_clock(known, asked_at).is_none_or(|at| {
            let apart = at.max(self.now.0).duration_since(at.min(self.now.0));
            apart > scrape::TIMEOUT * 2
        });
        if !drifted {
            return known;
        }
        let prefix = format!("{server} ");
        self.processes.retain(|key, _| !key.starts_with(&prefix));
        self.anchors.insert(server.to_owned(), fresh);
        fresh
    }

    fn process(&mut self, key: &str, name: &str, interval: Duration) -> &mut Process {
        let at = self.now.0;
        self.processes.entry(key.to_owned()).or_insert_with(|| Process::new(name, interval, at))
    }

    fn stale(&self, process: &Process) -> bool {
        process.is_stale(self.now.0, self.rules.scaled(self.rules.stale_after))
    }

    /// Every operation that somebody counts.
    fn operations(&self) -> BTreeSet<String> {
        self.processes.values().flat_map(|process| process.history.operations()).map(str::to_owned).collect()
    }

    /// Who calls `operation`, over the verdict's window; with `stale` also those whose data is.
    fn callers(&self, operation: &str, stale: bool) -> Vec<Caller> {
        let of = |process: &&Process| stale || !self.stale(process);
        self.processes.values().filter(of).filter_map(|process| self.caller(process, operation)).collect()
    }

    fn caller(&self, process: &Process, operation: &str) -> Option<Caller> {
        process.history.operations().any(|name| name == operation).then(|| Caller {
            name: process.name.clone(),
            owner: process.owner,
            counts: self.window(process, operation).counts,
            budget: process.budgets.get(operation).copied(),
        })
    }

    fn window(&self, process: &Process, operation: &str) -> super::history::Window {
        // A window ends with the last scrape: what Prometheus has not scraped yet is no silence.
        let end = process.read_at.min(self.now.0);
        process.history.window(operation, end, self.rules.window_for(process.interval))
    }

    fn judge(&mut self, spoke: &BTreeSet<String>) {
        let (at, wall) = self.now;
        for operation in self.operations() {
            let mut samples = 0;
            let mut news = false;
            for (key, process) in self.processes.iter().filter(|(_, process)| !self.stale(process)) {
                if process.history.operations().any(|name| name == operation) {
                    samples = samples.max(self.window(process, &operation).samples);
                    news |= spoke.contains(key);
                }
            }
            if news && samples >= self.rules.samples {
                let counts = self.callers(&operation, false).iter().map(|caller| caller.counts).sum();
                let judge = self.judges.entry(operation).or_insert_with(|| Judge::new(wall));
                judge.evaluate(at, wall, &counts, &self.rules);
            }
        }
        self.settle(wall);
    }

    /// One operation's verdict: its judge's, unless the data is stale, or would be calm only because part of it is.
    fn kind_of(&self, operation: &str) -> VerdictKind {
        let Some(judge) = self.judges.get(operation) else { return VerdictKind::Unknown };
        let mut callers = self
            .processes
            .values()
            .filter(|process| process.history.operations().any(|name| name == operation))
            .map(|process| self.stale(process));
        let (mut fresh, mut stale) = (false, false);
        callers.by_ref().for_each(|is_stale| if is_stale { stale = true } else { fresh = true });
        match judge.kind() {
            _ if !fresh => VerdictKind::Unknown,
            VerdictKind::Calm if stale => VerdictKind::Unknown,
            kind => kind,
        }
    }

    /// The worst operation speaks for all; of several equally bad ones the one with the most retries.
    fn settle(&mut self, wall: DateTime<Utc>) {
        let worst = self
            .operations()
            .into_iter()
            .map(|operation| {
                let retries: f64 = self.callers(&operation, false).iter().map(|c| c.counts.retries).sum();
                (self.kind_of(&operation), retries, operation)
            })
            .max_by(|a, b| severity(a.0).cmp(&severity(b.0)).then(a.1.total_cmp(&b.1)));
        let any_fresh = self.processes.values().any(|process| !self.stale(process));
        let (kind, operation) = match worst {
            Some((kind, _, operation)) if severity(kind) > severity(VerdictKind::Unknown) => {
                (kind, Some(operation))
            }
            Some((VerdictKind::Unknown, ..)) => (VerdictKind::Unknown, None),
            None if self.starting() => (VerdictKind::Unknown, None),
            _ if any_fresh => (VerdictKind::Calm, None),
            _ => (VerdictKind::Unknown, None),
        };
        let since = match operation.as_ref().and_then(|name| self.judges.get(name)) {
            Some(judge) => Some(judge.since()),
            None if self.overall.0 == kind && self.overall.2.is_some() => self.overall.2,
            None => Some(wall),
        };
        self.overall = (kind, operation, since);
    }

    /// Whether too few scrapes were made to tell silence from calm.
    fn starting(&self) -> bool {
        let rounds = u32::try_from(self.rules.samples).unwrap_or(u32::MAX).saturating_sub(1);
        self.now.0.duration_since(self.begun) < self.interval.saturating_mul(rounds)
    }

    fn sentence(&self, kind: VerdictKind, callers: &[Caller]) -> String {
        match kind {
            VerdictKind::Unknown => self.why_unknown(),
            VerdictKind::Calm => {
                let all: Vec<Caller> =
                    self.operations().iter().flat_map(|operation| self.callers(operation, false)).collect();
                sentence::proof(&all)
            }
            _ => sentence::proof(callers),
        }
    }

    fn why_unknown(&self) -> String {
        let answering = self.targets.values().filter(|known| known.status.error.is_none()).count();
        let stale = self.processes.values().filter(|process| self.stale(process)).count();
        match self.targets.len() {
            0 => "no metrics target is given: pass --metrics URL or --prometheus URL".to_owned(),
            all if answering == 0 && all == 1 => "the metrics target does not answer".to_owned(),
            all if answering == 0 => format!("none of {all} metrics targets answers"),
            _ if stale > 0 => {
                let names: Vec<&str> =
                    self.processes.values().filter(|p| self.stale(p)).map(|p| p.name.as_str()).collect();
                format!("no fresh metrics from {}", names.join(", "))
            }
            _ => format!("too few scrapes yet: {} are needed to judge", self.rules.samples),
        }
    }

    fn rows(&self, now: Instant) -> Vec<OperationSignal> {
        let mut rows = Vec::new();
        for operation in self.operations() {
            let verdict = self.kind_of(&operation);
            for process in self.processes.values() {
                let Some(caller) = self.caller(process, &operation) else { continue };
                let (first_rate, retry_rate) = self.window(process, &operation).rates();
                let stale = process.is_stale(now, self.rules.scaled(self.rules.stale_after));
                rows.push(OperationSignal {
                    operation: operation.as_str().into(),
                    caller: caller.name.as_str().into(),
                    first_rate,
                    retry_rate,
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

/// The key of a process known through a server: no address, so that it never meets one scraped here.
fn via(server: &str, instance: &Instance) -> String {
    format!("{server} {} {}", instance.job, instance.instance)
}

fn on_our_clock((at, then): (Instant, DateTime<Utc>), when: DateTime<Utc>) -> Option<Instant> {
    match (when - then).to_std() {
        Ok(later) => at.checked_add(later),
        Err(_) => at.checked_sub((then - when).to_std().ok()?),
    }
}
