//! A Prometheus server as a source: the raw samples of our metrics, by the instances it scraped them from.
//!
//! It is asked with a range selector (`{…}[5m]`) at `/api/v1/query`, which gives every stored sample with the time it
//! was scraped at. From there on an instance is counted exactly as if it had been scraped here; `/api/v1/query_range`
//! would give values looked up at our own steps, which repeat and skip samples.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use reqwest::{Client, Url};

use super::{
    admission::Admission,
    exposition::Sample,
    keys, reason,
    reply::{Counted, Found, Reply, by_instance, instant_of},
    scrape::{self, BadTarget, ScrapeFault, ScrapeResult, Scraped, TIMEOUT},
    source::Presets,
    target,
};
use crate::clock;

/// A Prometheus server, or one that speaks its API.
pub struct Prometheus {
    url: Url,
    admission: Admission,
    /// What it is asked for: regular expressions of metrics' names.
    metrics: String,
    last: Mutex<Option<Last>>,
}

/// The last good answer: what decides how far back the next question reaches.
#[derive(Clone, Copy)]
struct Last {
    at: Instant,
    slowest: Duration,
}

/// What a server knows of the processes it scrapes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Instances {
    /// The server's time when it answered.
    pub asked_at: DateTime<Utc>,
    /// Each process.
    pub all: Vec<Instance>,
    /// What the server says of its own answer, such as that one of its stores is missing: then this is not all.
    pub warnings: Vec<String>,
}

/// One scraped process.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its label `job`.
    pub job: String,
    /// Its label `instance`, host and port.
    pub instance: String,
    /// What it said, scrape by scrape, oldest first.
    pub scrapes: Vec<(DateTime<Utc>, Vec<Sample>)>,
}

impl Instances {
    /// How many samples their last scrapes had.
    pub fn samples(&self) -> usize {
        self.all.iter().filter_map(|instance| instance.scrapes.last()).map(|(_, samples)| samples.len()).sum()
    }

    /// Each with its name on the screen: its job, followed by its address where the job has several instances.
    pub fn named(&self) -> Vec<(&Instance, String)> {
        let name = |one: &Instance| match self.all.iter().filter(|other| other.job == one.job).count() {
            _ if one.job.is_empty() => one.instance.clone(),
            1 => one.job.clone(),
            _ => format!("{}/{}", one.job, one.instance),
        };
        self.all.iter().map(|one| (one, name(one))).collect()
    }
}

impl Instance {
    /// How often it is scraped: the median distance between scrapes; `None` of fewer than two.
    pub fn interval(&self) -> Option<Duration> {
        let times = self.scrapes.iter().map(|(at, _)| *at);
        let mut apart: Vec<Duration> =
            times.clone().zip(times.skip(1)).filter_map(|(a, b)| (b - a).to_std().ok()).collect();
        apart.sort_unstable();
        apart.get(apart.len() / 2).copied()
    }
}

/// The furthest a question reaches back after a pause, and how far the first one does where that is not too much: the
/// whole chart.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// How far the first question may reach, the furthest first: an hour makes the baseline.
const PASTS: [Duration; 5] = [
    Duration::from_secs(60 * 60),
    Duration::from_secs(30 * 60),
    LONGEST,
    Duration::from_secs(5 * 60),
    Duration::from_secs(60),
];

/// How many samples the first answer may hold where it reaches further than [`LONGEST`]: they are judged one by one.
const CHEAP: f64 = 60_000.0;

/// How many samples fit into one answer, at about 30 bytes each.
const MOST: f64 = 400_000.0;

/// A longer query is not put into a URL, which servers and proxies cut at some length.
const LONG: usize = 4_000;

/// The least a question reaches back.
const SHORTEST: Duration = Duration::from_secs(30);

impl Prometheus {
    /// Reads the server's base URL, `http://host:9090`, with or without a path prefix.
    ///
    /// # Errors
    /// When it is no http or https URL.
    pub fn parse(url: &str) -> Result<Self, BadTarget> {
        let (url, admission) = (target::checked(url)?, Admission::default());
        let asked = Self { url, admission, metrics: String::new(), last: Mutex::new(None) };
        Ok(asked.reading(&Presets::default()))
    }

    /// Asked with this admission; its credentials stand over those of the URL.
    #[must_use]
    pub fn with(mut self, admission: Admission) -> Self {
        target::without_userinfo(&mut self.url, &admission);
        self.admission = admission;
        self
    }

    /// Asks for what `presets` read instead of what those that come along do.
    #[must_use]
    pub fn reading(mut self, presets: &Presets) -> Self {
        let mut names = presets.metrics();
        names.extend(keys::METRICS.iter().map(|name| (*name).to_owned()));
        self.metrics = names.into_iter().collect::<Vec<_>>().join("|");
        self
    }

    /// Its URL without credentials.
    pub fn shown(&self) -> String {
        target::shown(&self.url)
    }

    /// Its name among the targets.
    pub fn name(&self) -> String {
        format!("prometheus {}", target::host_and_port(&self.url))
    }

    /// Asks for the samples of every metric that is read here: the first time those of the last hour or, where they are
    /// many, of less, then those since the last answer.
    pub async fn fetch(&self, client: &Client) -> ScrapeResult {
        let begun = clock::instant();
        let outcome = self.ask(client, begun).await;
        if let Ok(instances) = &outcome {
            let slowest = instances.all.iter().filter_map(Instance::interval).max().unwrap_or_default();
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Last { at: begun, slowest });
        }
        ScrapeResult {
            name: self.name(),
            url: self.shown(),
            address: target::address(&target::host_and_port(&self.url)),
            took: clock::instant().duration_since(begun),
            outcome: outcome.map(Scraped::Instances),
        }
    }

    async fn ask(&self, client: &Client, begun: Instant) -> Result<Instances, ScrapeFault> {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let range = match last {
            None => self.past(client).await,
            // Far enough back for what was missed, and for the interval of the slowest to show.
            Some(last) => (begun.duration_since(last.at) + last.slowest * 4).clamp(SHORTEST, LONGEST),
        };
        let asked_at = match self.query(client, "time()").await?.data {
            Found::Scalar(at, _) => instant_of(at).ok_or_else(misunderstood)?,
            Found::Matrix(_) | Found::Vector(_) => return Err(misunderstood()),
        };
        let answer = self.query(client, &format!("{}[{}s]", self.selector(), range.as_secs())).await?;
        match answer.data {
            Found::Matrix(series) => {
                let warnings = answer.warnings.into_iter().take(3).map(|w| w.chars().take(200).collect());
                Ok(Instances { asked_at, all: by_instance(series), warnings: warnings.collect() })
            }
            Found::Scalar(..) | Found::Vector(_) => Err(misunderstood()),
        }
    }

    fn selector(&self) -> String {
        format!("{{__name__=~\"{}\"}}", self.metrics)
    }

    /// How far back the first question reaches: it asks how many samples there are, which costs little.
    async fn past(&self, client: &Client) -> Duration {
        let count = format!("sum(count_over_time({}[{}s]))", self.selector(), PASTS[0].as_secs());
        let samples = match self.query(client, &count).await.map(|answer| answer.data) {
            Ok(Found::Vector(found)) => match found.first() {
                None => 0.0,
                Some(Counted { value: (_, count) }) => count.parse().unwrap_or(f64::INFINITY),
            },
            // Whatever is wrong is said of the question itself.
            _ => return LONGEST,
        };
        let holds = |past: &&Duration| {
            let share = past.as_secs_f64() / PASTS[0].as_secs_f64();
            samples * share <= if **past > LONGEST { CHEAP } else { MOST }
        };
        *PASTS.iter().find(holds).unwrap_or(&SHORTEST)
    }

    async fn query(&self, client: &Client, query: &str) -> Result<Answer, ScrapeFault> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/api/v1/query", self.url.path().trim_end_matches('/')));
        // Thanos: of two replicas one, and rather a part than nothing. Others do not know these words.
        let words = [("query", query), ("timeout", "4s"), ("dedup", "true"), ("partial_response", "true")];
        let client = self.admission.client(client);
        let request = match query.len() < LONG {
            true => client.get(url).query(&words),
            false => client.post(url).form(&words),
        };
        let known = self.admission.has_credentials() || !self.url.username().is_empty();
        scrape::within(TIMEOUT, async {
            let response = scrape::send(self.admission.sign(request)).await?;
            let status = response.status();
            let body = scrape::body(response, "it is asked for too many series: name fewer presets").await?;
            match serde_json::from_str(&body) {
                Ok(Reply::Success { data, warnings }) => {
                    Ok(Answer { data, warnings: warnings.unwrap_or_default() })
                }
                Ok(Reply::Error { error }) => {
                    let words: String = error.chars().take(200).collect();
                    Err(ScrapeFault(format!("the server refused the query: {words}")))
                }
                Err(_) if !status.is_success() => Err(reason::refused(status, known)),
                Err(_) => Err(misunderstood()),
            }
        })
        .await
    }
}

/// A good answer.
struct Answer {
    data: Found,
    warnings: Vec<String>,
}

fn misunderstood() -> ScrapeFault {
    ScrapeFault(
        "its answer is not one of Prometheus's API: give the server's base URL, http://host:9090".to_owned(),
    )
}
