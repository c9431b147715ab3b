//! One target asked over HTTP: its exposition, or the reason in words why there is none. It counts nothing.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, header};

pub use super::target::{BadTarget, Target};
use super::{
    exposition::{self, Exposition, Format},
    prometheus::Instances,
    reason,
};
use crate::clock;

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

impl ScrapeResult {
    /// Nothing, for this reason, before anybody was asked.
    pub fn fault(name: String, url: String, why: String) -> Self {
        let (took, outcome) = (Duration::ZERO, Err(ScrapeFault(why)));
        Self { name, address: url.clone(), url, took, outcome }
    }
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

/// The longest one request may take, from connecting to the last byte.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// No body may be larger than this, in bytes, after decompression.
pub const MAX_BODY: usize = 16 * 1_024 * 1_024;

/// What is larger is read on a thread of its own, so that nobody else's answer waits for it.
const LARGE: usize = 128 * 1_024;

/// Metrics in a form that is read here; the text format first, for whose names the presets are written.
const ACCEPT: &str = "text/plain;version=0.0.4,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.1";

/// Asks `target` once.
pub async fn scrape(client: &Client, target: &Target) -> ScrapeResult {
    scrape_within(client, target, TIMEOUT).await
}

/// As [`scrape`], with another limit to the time it may take.
pub async fn scrape_within(client: &Client, target: &Target, limit: Duration) -> ScrapeResult {
    let begun = clock::instant();
    let outcome = within(limit, ask(client, target)).await;
    ScrapeResult {
        name: target.name().to_owned(),
        url: target.shown(),
        address: target.address(),
        took: clock::instant().duration_since(begun),
        outcome: outcome.map(Scraped::Exposition),
    }
}

async fn ask(client: &Client, target: &Target) -> Result<Exposition, ScrapeFault> {
    let request = target.admission().client(client).get(target.url().clone()).header(header::ACCEPT, ACCEPT);
    let response = send(target.admission().sign(request)).await?;
    // What a refusal says besides is not read: it may never end.
    if !response.status().is_success() {
        return Err(reason::refused(response.status(), target.has_credentials()));
    }
    let content_type = response.headers().get(header::CONTENT_TYPE).and_then(|said| said.to_str().ok());
    let content_type = content_type.map(str::to_owned);
    let body = body(response, "drop series at the source").await?;
    let is_large = body.len() > LARGE;
    let read = move || exposition::parse_as(Format::of(content_type.as_deref(), &body), &body);
    let read = match is_large {
        false => read(),
        true => tokio::task::spawn_blocking(read)
            .await
            .map_err(|_| ScrapeFault("its answer could not be read: tell us, this is a bug".to_owned()))?,
    };
    read.map_err(|fault| ScrapeFault(fault.to_string()))
}

/// Lets `asking` take no longer than `limit`.
pub(super) async fn within<T>(
    limit: Duration,
    asking: impl Future<Output = Result<T, ScrapeFault>>,
) -> Result<T, ScrapeFault> {
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| {
        let seconds = limit.as_secs_f64();
        Err(ScrapeFault(format!("it did not answer whole within {seconds} s: is it overloaded?")))
    })
}

/// Sends `request`; the answer begins with a status, of whatever kind.
pub(super) async fn send(request: RequestBuilder) -> Result<Response, ScrapeFault> {
    request.send().await.map_err(|error| reason::unsent(&error))
}

/// Reads an answer to its end, within [`MAX_BODY`]; over that, `instead` says what to do.
pub(super) async fn body(mut response: Response, instead: &str) -> Result<String, ScrapeFault> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > MAX_BODY => {
                return Err(ScrapeFault(format!(
                    "it answered more than {} MiB: {instead}",
                    MAX_BODY / 1_024 / 1_024
                )));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => {
                return Ok(String::from_utf8(bytes)
                    .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()));
            }
            Err(error) => return Err(reason::broken(&error)),
        }
    }
}
