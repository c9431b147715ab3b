//! Everything that is asked, round by round: each target has a request of its own under way at most, so that a slow one
//! holds up nobody's next one. What comes too late for one round joins a later one. Nothing is judged here.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::Client;
use tokio::task::JoinSet;

use super::{
    collector::Collector,
    discovery::{Discovered, Origin, Resolver},
    prometheus::Prometheus,
    scrape::{self, ScrapeResult, Target},
};
use crate::clock;

/// How often host names are looked up, as Prometheus does.
const LOOKED_UP_EVERY: Duration = Duration::from_secs(30);

/// A target's or server's name and URL.
type Key = (String, String);

/// Asks all targets and the server in rounds.
pub struct Rounds {
    client: Client,
    origins: Vec<Watched>,
    server: Option<Arc<Prometheus>>,
    resolver: Resolver,
    looked_up_every: Duration,
    interval: Duration,
    tick: Option<Instant>,
    tasks: JoinSet<Arrived>,
    under_way: BTreeSet<Key>,
    /// What has come for the next round.
    said: BTreeMap<Key, ScrapeResult>,
}

/// An origin and what it last named.
struct Watched {
    origin: Arc<Origin>,
    found: Discovered,
    looking: bool,
    due: Option<Instant>,
}

enum Arrived {
    Said(Box<ScrapeResult>),
    Found(usize, Result<Discovered, String>),
}

/// What one round has brought.
#[derive(Debug, Default)]
pub struct Round {
    /// Every target there is now.
    pub targets: Vec<Target>,
    /// What else is listed, by name and URL: the server, and origins with which something is wrong.
    pub others: Vec<(String, String)>,
    /// What has come since the round before: of each one result at most, and of a slow one none.
    pub said: Vec<ScrapeResult>,
}

impl Round {
    /// Hands it to `collector`, as of now.
    pub fn tell(self, collector: &mut Collector) {
        let now = (clock::instant(), clock::now());
        collector.watch(&self.targets, &self.others);
        collector.observe(now.0, now.1, self.said);
    }
}

impl Rounds {
    /// Asks with `client`, or with an own one whoever wants that, every `interval`.
    pub fn new(client: Client, origins: Vec<Origin>, server: Option<Prometheus>, interval: Duration) -> Self {
        let watched = |origin| Watched {
            origin: Arc::new(origin),
            found: Discovered::default(),
            looking: false,
            due: None,
        };
        Self {
            client,
            origins: origins.into_iter().map(watched).collect(),
            server: server.map(Arc::new),
            resolver: Resolver::system(),
            looked_up_every: LOOKED_UP_EVERY,
            interval,
            tick: None,
            tasks: JoinSet::new(),
            under_way: BTreeSet::new(),
            said: BTreeMap::new(),
        }
    }

    /// Asks somebody else for the addresses of hosts, and so often.
    #[must_use]
    pub fn resolving(self, resolver: Resolver, every: Duration) -> Self {
        Self { resolver, looked_up_every: every, ..self }
    }

    /// The next round: at once the first time, then every interval. It waits for those who are asked now, but no longer
    /// than half an interval, and not at all for those who are late already.
    pub async fn next(&mut self) -> Round {
        let now = clock::instant();
        let tick = self.tick.unwrap_or(now);
        clock::sleep(tick.saturating_duration_since(now)).await;
        let began = clock::instant();
        // One that is late by more than an interval (a suspended machine) does not hurry to catch up.
        let next = tick + self.interval;
        self.tick = Some(if next < began { began + self.interval } else { next });
        while let Some(done) = self.tasks.try_join_next() {
            self.take(done, began);
        }
        let mut awaited = self.begin(began);
        let until = began + self.interval / 2;
        while awaited.iter().any(|key| self.under_way.contains(key)) || self.looks() {
            let left = until.saturating_duration_since(clock::instant());
            match tokio::time::timeout(left, self.tasks.join_next()).await {
                Ok(Some(done)) => awaited.extend(self.take(done, began)),
                Ok(None) | Err(_) => break,
            }
        }
        self.round()
    }

    /// Whoever is still asked, to the end: nobody takes longer than [`scrape::TIMEOUT`] by much.
    pub async fn rest(&mut self) -> Round {
        while let Some(done) = self.tasks.join_next().await {
            self.take(done, clock::instant());
        }
        self.round()
    }

    /// Whether somebody is looking for targets for the first time.
    fn looks(&self) -> bool {
        self.origins.iter().any(|watched| watched.looking && watched.found.targets.is_empty())
    }

    fn round(&mut self) -> Round {
        let targets = self.targets();
        let mut others: Vec<Key> = self.server.iter().map(|server| (server.name(), server.shown())).collect();
        // One that is no more may have answered still.
        let listed: BTreeSet<Key> = keys(&targets).into_iter().chain(others.iter().cloned()).collect();
        self.said.retain(|key, _| listed.contains(key));
        let mut said: Vec<ScrapeResult> = std::mem::take(&mut self.said).into_values().collect();
        for watched in &self.origins {
            if let Some(fault) = &watched.found.fault {
                let (name, url) = watched.origin.shown();
                others.push((name.clone(), url.clone()));
                said.push(ScrapeResult::fault(name, url, fault.clone()));
            }
        }
        Round { targets, others, said }
    }

    fn targets(&self) -> Vec<Target> {
        self.origins.iter().flat_map(|watched| watched.found.targets.iter().cloned()).collect()
    }

    /// Begins whatever is due and not under way; answers whom.
    fn begin(&mut self, now: Instant) -> Vec<Key> {
        for (place, watched) in self.origins.iter_mut().enumerate() {
            let every = match &*watched.origin {
                Origin::One(target) => {
                    watched.found.targets = vec![target.clone()];
                    continue;
                }
                Origin::Dns(_) => self.looked_up_every,
                Origin::File(..) => self.interval,
            };
            if !watched.looking && watched.due.is_none_or(|due| due <= now) {
                watched.looking = true;
                watched.due = Some(now + every);
                let (origin, resolver) = (Arc::clone(&watched.origin), self.resolver.clone());
                self.tasks.spawn(async move { Arrived::Found(place, origin.look(&resolver).await) });
            }
        }
        let mut begun = self.ask(self.targets());
        if let Some(server) = &self.server {
            let key = (server.name(), server.shown());
            if self.under_way.insert(key.clone()) {
                let (client, server) = (self.client.clone(), Arc::clone(server));
                self.tasks.spawn(async move { Arrived::Said(Box::new(server.fetch(&client).await)) });
                begun.push(key);
            }
        }
        begun
    }

    fn ask(&mut self, targets: Vec<Target>) -> Vec<Key> {
        let mut begun = Vec::new();
        for target in targets {
            let key = (target.name().to_owned(), target.shown());
            if self.under_way.insert(key.clone()) {
                let client = self.client.clone();
                self.tasks
                    .spawn(async move { Arrived::Said(Box::new(scrape::scrape(&client, &target).await)) });
                begun.push(key);
            }
        }
        begun
    }

    /// Takes what has come; answers who is asked because of it.
    fn take(&mut self, done: Result<Arrived, tokio::task::JoinError>, now: Instant) -> Vec<Key> {
        match done {
            // Asking panicked: whom is not known, so all of them are asked anew.
            Err(error) => {
                if error.is_panic() {
                    self.tasks.abort_all();
                    self.under_way.clear();
                    self.origins.iter_mut().for_each(|watched| watched.looking = false);
                }
                Vec::new()
            }
            Ok(Arrived::Said(result)) => {
                let key = (result.name.clone(), result.url.clone());
                self.under_way.remove(&key);
                self.said.insert(key, *result);
                Vec::new()
            }
            Ok(Arrived::Found(place, found)) => {
                let Some(watched) = self.origins.get_mut(place) else { return Vec::new() };
                watched.looking = false;
                match found {
                    Ok(found) => {
                        let known: BTreeSet<Key> = keys(&watched.found.targets);
                        watched.found = found;
                        let new = watched.found.targets.iter();
                        let new = new.filter(|t| !known.contains(&(t.name().to_owned(), t.shown())));
                        let new = new.cloned().collect();
                        self.ask(new)
                    }
                    Err(fault) => {
                        let kept = match watched.found.targets.len() {
                            0 => "",
                            _ => "; those it named before are scraped still",
                        };
                        watched.found.fault = Some(format!("{fault}{kept}"));
                        // Sooner than usual, for it may be over in a moment.
                        watched.due = Some(now + self.interval.min(self.looked_up_every));
                        Vec::new()
                    }
                }
            }
        }
    }
}

fn keys(targets: &[Target]) -> BTreeSet<Key> {
    targets.iter().map(|target| (target.name().to_owned(), target.shown())).collect()
}
