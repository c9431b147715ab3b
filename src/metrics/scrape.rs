//! One target asked over HTTP: its exposition, or the reason in words why there is none. It counts nothing.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode, Url, header};

use super::{
    exposition::{self, Exposition},
    prometheus::Instances,
};
use crate::clock;

/// A metrics endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    name: String,
    url: Url,
}

/// Why a target cannot be asked at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadTarget {
    /// Not a URL.
    #[error("a metrics URL cannot be read ({reason}): write it as http://host:port/metrics")]
    Unreadable {
        /// What is wrong with it; the URL itself may hold a password and is not repeated.
        reason: String,
    },
    /// Some other protocol.
    #[error(
        "a metrics URL begins with {scheme}: only http and https are spoken: write it as http://host:port/metrics"
    )]
    Scheme {
        /// What it begins with.
        scheme: String,
    },
}

impl Target {
    /// Reads `http://host:port/path` or `name=http://host:port/path`. Without a name it goes by host and port; without
    /// a path it is `/metrics`.
    ///
    /// # Errors
    /// When it is no http or https URL.
    pub fn parse(text: &str) -> Result<Self, BadTarget> {
        let (name, url) = match text.split_once('=') {
            Some((name, url)) if !name.contains([':', '/', '?']) => (name.trim(), url),
            _ => ("", text),
        };
        let mut url = checked(url)?;
        if matches!(url.path(), "" | "/") {
            url.set_path("/metrics");
        }
        let name = if name.is_empty() { host_and_port(&url) } else { name.to_owned() };
        Ok(Self { name, url })
    }

    /// The same target under another name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// `worker-a`, or host and port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its URL without credentials.
    pub fn shown(&self) -> String {
        shown(&self.url)
    }

    /// Host and port, in the form `instance` labels have; loopback by any name is `127.0.0.1`.
    pub fn address(&self) -> String {
        address(&host_and_port(&self.url))
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("name", &self.name).field("url", &self.shown()).finish()
    }
}

/// What came of asking one target once.
#[derive(Debug, Clone)]
pub struct ScrapeResult {
    /// The target's name.
    pub name: String,
    /// Its URL without credentials.
    pub url: String,
    /// Its host and port: see [`Target::address`].
    pub address: String,
    /// How long it took.
    pub took: Duration,
    /// What it said, or why nothing was understood.
    pub outcome: Result<Scraped, ScrapeFault>,
}

/// What a target said.
#[derive(Debug, Clone)]
pub enum Scraped {
    /// One process about itself.
    Exposition(Exposition),
    /// A Prometheus server about the processes it scrapes.
    Instances(Instances),
}

/// Why asking a target gave nothing: a sentence for the screen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScrapeFault(pub String);

impl ScrapeFault {
    fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

/// The longest one request may take, from connecting to the last byte.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// No body may be larger than this, in bytes, after decompression.
pub const MAX_BODY: usize = 16 * 1_024 * 1_024;

/// Asks `target` once.
pub async fn scrape(client: &Client, target: &Target) -> ScrapeResult {
    scrape_within(client, target, TIMEOUT).await
}

/// As [`scrape`], with another limit to the time it may take.
pub async fn scrape_within(client: &Client, target: &Target, limit: Duration) -> ScrapeResult {
    let begun = clock::instant();
    let request = client
        .get(target.url.clone())
        .header(header::ACCEPT, "text/plain;version=0.0.4,application/openmetrics-text;q=0.5,*/*;q=0.1");
    let outcome = match get(request, &target.url, limit).await {
        Ok(answer) if !answer.status.is_success() => Err(refused(answer.status)),
        Ok(answer) => match exposition::parse(&answer.body) {
            Ok(exposition) => Ok(Scraped::Exposition(exposition)),
            Err(fault) => Err(ScrapeFault::new(fault.to_string())),
        },
        Err(fault) => Err(fault),
    };
    ScrapeResult {
        name: target.name.clone(),
        url: target.shown(),
        address: target.address(),
        took: clock::instant().duration_since(begun),
        outcome,
    }
}

/// A whole answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: String,
}

/// Sends `request` to `url` and reads its answer to the end, within `limit` and [`MAX_BODY`].
pub(super) async fn get(
    request: reqwest::RequestBuilder,
    url: &Url,
    limit: Duration,
) -> Result<Answer, ScrapeFault> {
    let whole = async {
        let response = request.send().await.map_err(|error| unsent(&error))?;
        if response.url().host_str() != url.host_str() {
            return Err(ScrapeFault::new(
                "it redirects to another host, which is not followed: give that URL",
            ));
        }
        let status = response.status();
        Ok(Answer { status, body: body(response).await? })
    };
    tokio::time::timeout(limit, whole).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs_f64();
        Err(ScrapeFault::new(format!("it did not answer whole within {seconds} s: is it overloaded?")))
    })
}

async fn body(mut response: Response) -> Result<String, ScrapeFault> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > MAX_BODY => {
                return Err(ScrapeFault::new(format!(
                    "it answered more than {} MiB: drop series at the source",
                    MAX_BODY / 1_024 / 1_024
                )));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => {
                let (_, cause) = causes(&error);
                return Err(ScrapeFault::new(format!("its answer broke off or is damaged ({cause})")));
            }
        }
    }
}

/// The reason in words for a status that is no success.
pub(super) fn refused(status: StatusCode) -> ScrapeFault {
    ScrapeFault::new(match status.as_u16() {
        401 => "401: it wants credentials: put them into the URL of the target".to_owned(),
        403 => "403: it refuses these credentials".to_owned(),
        404 => "404: nothing is served under this path: check the URL".to_owned(),
        429 => "429: it is asked too often: raise the interval".to_owned(),
        code @ 300..=399 => format!("{code}: it redirects elsewhere, which is not followed: give that URL"),
        code @ 500..=599 => format!("{code}: it failed inside: see its log"),
        code => format!("{code}: it refused to answer"),
    })
}

/// Whether a connection was refused, and the deepest cause: the outer ones repeat the URL.
fn causes(error: &reqwest::Error) -> (bool, String) {
    let (mut refused, mut deepest) = (false, String::new());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let io = inner.downcast_ref::<std::io::Error>();
        refused |= io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused);
        deepest = inner.to_string();
        cause = inner.source();
    }
    (refused, deepest)
}

/// The reason in words for a request that got no answer, without the URL.
fn unsent(error: &reqwest::Error) -> ScrapeFault {
    let (refused, deepest) = causes(error);
    ScrapeFault::new(match deepest.to_ascii_lowercase() {
        _ if refused => {
            "connection refused: nothing listens there: is the process up and the port right?".to_owned()
        }
        _ if error.is_timeout() => "it did not answer in time".to_owned(),
        _ if error.is_redirect() => "it redirects elsewhere, which is not followed: give that URL".to_owned(),
        lower if lower.contains("dns") || lower.contains("lookup") || lower.contains("resolve") => {
            format!("its host name cannot be resolved ({deepest})")
        }
        _ if error.is_connect() => format!("no connection ({deepest})"),
        _ => format!("the request failed ({deepest})"),
    })
}

/// An http or https URL; `host:port`, which reads as a scheme of that name, means http.
pub(super) fn checked(text: &str) -> Result<Url, BadTarget> {
    let text = text.trim();
    let authority = text.split(['/', '?']).next().unwrap_or_default();
    let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let scheme = if port.is_some() { "http://" } else { "" };
    let url = Url::parse(&format!("{scheme}{text}"))
        .map_err(|error| BadTarget::Unreadable { reason: error.to_string() })?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(BadTarget::Scheme { scheme: scheme.to_owned() }),
    }
}

/// `url` without credentials: a query may hold a token, so it goes as well.
pub(super) fn shown(url: &Url) -> String {
    let query = if url.query().is_some() { "?…" } else { "" };
    format!("{}://{}{}{query}", url.scheme(), authority(url), url.path())
}

fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

pub(super) fn host_and_port(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(80))
}

/// One form for an address however it is written.
pub(super) fn address(host_and_port: &str) -> String {
    let lower = host_and_port.to_ascii_lowercase();
    for loopback in ["localhost", "[::1]"] {
        if let Some(port) = lower.strip_prefix(loopback).filter(|rest| rest.starts_with(':')) {
            return format!("127.0.0.1{port}");
        }
    }
    lower
}
