//! A Prometheus server as a source: the raw samples of our metrics, by the instances it scraped them from.
//!
//! It is asked with a range selector (`{…}[5m]`) at `/api/v1/query`, which gives every stored sample with the time it
//! was scraped at. From there on an instance is counted exactly as if it had been scraped here; `/api/v1/query_range`
//! would give values looked up at our own steps, which repeat and skip samples.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use reqwest::{Client, Url};
use serde::Deserialize;

use super::{
    exposition::{Kind, Labels, Sample},
    keys,
    scrape::{self, BadTarget, ScrapeFault, ScrapeResult, Scraped, TIMEOUT},
    source::Presets,
};
use crate::clock;

/// A Prometheus server, or one that speaks its API.
pub struct Prometheus {
    url: Url,
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

/// The furthest a question reaches back, and how far the first one does: the whole chart.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The least a question reaches back.
const SHORTEST: Duration = Duration::from_secs(30);

impl Prometheus {
    /// Reads the server's base URL, `http://host:9090`, with or without a path prefix.
    ///
    /// # Errors
    /// When it is no http or https URL.
    pub fn parse(url: &str) -> Result<Self, BadTarget> {
        let asked = Self { url: scrape::checked(url)?, metrics: String::new(), last: Mutex::new(None) };
        Ok(asked.reading(&Presets::default()))
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
        scrape::shown(&self.url)
    }

    /// Its name among the targets.
    pub fn name(&self) -> String {
        format!("prometheus {}", scrape::host_and_port(&self.url))
    }

    /// Asks for the samples of every metric that is read here: the first time those of the last 15 minutes, then those
    /// since the last answer.
    pub async fn fetch(&self, client: &Client) -> ScrapeResult {
        let begun = clock::instant();
        let outcome = self.ask(client, self.range(begun)).await;
        if let Ok(instances) = &outcome {
            let slowest = instances.all.iter().filter_map(Instance::interval).max().unwrap_or_default();
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Last { at: begun, slowest });
        }
        ScrapeResult {
            name: self.name(),
            url: self.shown(),
            address: scrape::address(&scrape::host_and_port(&self.url)),
            took: clock::instant().duration_since(begun),
            outcome: outcome.map(Scraped::Instances),
        }
    }

    /// Far enough back for what was missed, and for the interval of the slowest to show.
    fn range(&self, now: Instant) -> Duration {
        match *self.last.lock().unwrap_or_else(PoisonError::into_inner) {
            None => LONGEST,
            Some(last) => (now.duration_since(last.at) + last.slowest * 4).clamp(SHORTEST, LONGEST),
        }
    }

    async fn ask(&self, client: &Client, range: Duration) -> Result<Instances, ScrapeFault> {
        let selector = format!("{{__name__=~\"{}\"}}[{}s]", self.metrics, range.as_secs());
        let now = self.query(client, "time()").await?;
        let asked_at = match now {
            Found::Scalar(at, _) => instant_of(at).ok_or_else(misunderstood)?,
            Found::Matrix(_) => return Err(misunderstood()),
        };
        match self.query(client, &selector).await? {
            Found::Matrix(series) => Ok(Instances { asked_at, all: by_instance(series) }),
            Found::Scalar(..) => Err(misunderstood()),
        }
    }

    async fn query(&self, client: &Client, query: &str) -> Result<Found, ScrapeFault> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}/api/v1/query", self.url.path().trim_end_matches('/')));
        let request = client.get(url.clone()).query(&[("query", query), ("timeout", "4s")]);
        let answer = scrape::get(request, &url, TIMEOUT).await?;
        match serde_json::from_str(&answer.body) {
            Ok(Reply::Success { data }) => Ok(data),
            Ok(Reply::Error { error }) => {
                let words: String = error.chars().take(200).collect();
                Err(ScrapeFault(format!("the server refused the query: {words}")))
            }
            Err(_) if !answer.status.is_success() => Err(scrape::refused(answer.status)),
            Err(_) => Err(misunderstood()),
        }
    }
}

fn misunderstood() -> ScrapeFault {
    ScrapeFault(
        "its answer is not one of Prometheus's API: give the server's base URL, http://host:9090".to_owned(),
    )
}

#[derive(Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
enum Reply {
    Success { data: Found },
    Error { error: String },
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Found {
    Matrix(Vec<Series>),
    Scalar(f64, #[expect(dead_code, reason = "the same number as text")] String),
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

fn instant_of(seconds: f64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis((seconds * 1_000.0).round() as i64)
}

/// Sorts series by process and time of scrape: all samples of one scrape carry the same time.
fn by_instance(all: Vec<Series>) -> Vec<Instance> {
    let mut found: BTreeMap<(String, String), BTreeMap<DateTime<Utc>, Vec<Sample>>> = BTreeMap::new();
    for Series { mut metric, values } in all {
        let name = metric.remove("__name__").unwrap_or_default();
        let job = metric.remove("job").unwrap_or_default();
        let instance = metric.remove("instance").unwrap_or_default();
        let labels = Labels::new(metric.into_iter().collect());
        let scrapes = found.entry((job, instance)).or_default();
        for (at, value) in values {
            let (Some(at), Ok(value)) = (instant_of(at), value.parse::<f64>()) else { continue };
            scrapes.entry(at).or_default().push(Sample {
                name: name.clone(),
                labels: labels.clone(),
                // The query API does not tell types; the names asked for are ours and their types known.
                kind: Kind::Untyped,
                value,
                timestamp: Some(at),
            });
        }
    }
    found
        .into_iter()
        .map(|((job, instance), scrapes)| Instance { job, instance, scrapes: scrapes.into_iter().collect() })
        .collect()
}
